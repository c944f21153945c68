"""Letters by way of Redis: ``PUBLISH`` and ``SUBSCRIBE``.

Source: https://redis.io/docs/latest/develop/pubsub/
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from callapp.peers.wire import CONNECT_S, STALL_S, WireLost

# Who only listens would not notice that a Redis has vanished without a word. Not every system has them all.
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", STALL_S), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class Redis:
    """The wire of those who share a Redis, or what speaks as one."""

    name = "Redis"

    def __init__(self, url: str) -> None:
        self._url = url

    def sender(self) -> RedisSender:
        """Connect, to send."""
        return RedisSender(self._client())

    def listener(self, channels: Sequence[str]) -> RedisListener:
        """Connect, and listen."""
        listener = RedisListener(self._client())
        try:
            listener.subscribe(channels)
        except BaseException:
            listener.close()
            raise
        return listener

    def _client(self) -> redis.Redis:
        try:
            # It shall not dial again by itself: what was missed meanwhile has to be known.
            client = redis.Redis.from_url(
                self._url,
                socket_connect_timeout=CONNECT_S,
                socket_timeout=STALL_S,
                socket_keepalive=True,
                socket_keepalive_options=_KEEPALIVE,
                decode_responses=True,
                retry=Retry(NoBackoff(), 0),
            )
            # Not connected yet, but made: only so is it known that the URL has an option that there is not.
            client.connection_pool.make_connection()
        except (TypeError, ValueError, redis.RedisError) as error:
            raise WireLost(str(error)) from error
        return client


class RedisSender:
    """Sends what there is with one write."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def send(self, letters: Sequence[tuple[str, str]]) -> None:
        """Send these."""
        pipeline = self._client.pipeline(transaction=False)
        for channel, text in letters:
            pipeline.publish(channel, text)
        with _told():
            pipeline.execute()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


class RedisListener:
    """Hears what is published."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._pubsub = client.pubsub()  # type: ignore[no-untyped-call]  # the library says no types for it

    def subscribe(self, channels: Sequence[str]) -> None:
        """Listen to these from here on; returns when Redis has said that we do."""
        with _told():
            self._pubsub.subscribe(*channels)
            for _ in channels:
                if self._pubsub.get_message(timeout=STALL_S) is None:
                    raise WireLost(f"no answer within {STALL_S} s")

    def receive(self, within_s: float) -> list[str]:
        """Wait for letters."""
        with _told():
            message = self._pubsub.get_message(timeout=within_s)
        return [message["data"]] if message is not None and message["type"] == "message" else []

    def close(self) -> None:
        """Let go of the connection."""
        self._pubsub.close()
        self._client.close()


@contextmanager
def _told() -> Iterator[None]:
    """Make what the library raises a `WireLost`."""
    try:
        yield
    except WireLost:
        raise
    except redis.RedisError as error:
        raise WireLost(str(error)) from error
    except Exception as error:  # the library trips over what it does not expect, each time elsewhere
        raise WireLost(f"what answers is no Redis: {type(error).__name__}: {error}") from error
