"""Letters by way of PostgreSQL: ``LISTEN`` and ``NOTIFY``.

Source: https://www.postgresql.org/docs/current/sql-notify.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import psycopg

from callapp.call_log.engine import parse_url
from callapp.peers.wire import CONNECT_S, STALL_S, WireLost

_NOTIFY = "SELECT pg_notify(channel, letter) FROM unnest(%s::text[], %s::text[]) AS letters(channel, letter)"


class Postgres:
    """The wire of those who share a PostgreSQL. Not through a pooler that deals out transactions."""

    name = "PostgreSQL"

    def __init__(self, database_url: str) -> None:
        url = parse_url(database_url).set(drivername="postgresql")
        self._conninfo = url.render_as_string(hide_password=False)

    def sender(self) -> PostgresSender:
        """Connect, to send."""
        return PostgresSender(self._connect())

    def listener(self, channels: Sequence[str]) -> PostgresListener:
        """Connect, and listen."""
        return PostgresListener(self._connect(*(f'LISTEN "{channel}"' for channel in channels)))

    def _connect(self, *first: str) -> psycopg.Connection:
        """Connect, and say this first."""
        with _told():
            connection = psycopg.connect(
                self._conninfo,
                autocommit=True,
                connect_timeout=CONNECT_S,
                tcp_user_timeout=STALL_S * 1000,
                keepalives_idle=STALL_S,
                keepalives_interval=1,
                keepalives_count=3,
            )
            try:
                # Not as its `options`: PgBouncer takes none, and the URL may have some of its own.
                # What is sent is of no use after a crash, so nobody waits for the disc.
                connection.execute(
                    f"SET synchronous_commit = off; SET statement_timeout = {STALL_S * 1000}".encode()
                )
                for statement in first:
                    connection.execute(statement.encode())
            except psycopg.Error:
                connection.close()
                raise
        return connection


class PostgresSender:
    """Sends what there is in one transaction.

    Equal letters of a transaction are delivered once, and silence is like silence: so each has a number.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._numbers = count()

    def send(self, letters: Sequence[tuple[str, str]]) -> None:
        """Send these."""
        channels = [channel for channel, _ in letters]
        texts = [f"{next(self._numbers)} {text}" for _, text in letters]
        with _told():
            self._connection.execute(_NOTIFY, (channels, texts))

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class PostgresListener:
    """Hears of each ``NOTIFY``."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def receive(self, within_s: float) -> list[str]:
        """Wait for letters."""
        with _told():
            heard = list(self._connection.notifies(timeout=within_s, stop_after=1))
        return [one.payload.partition(" ")[2] for one in heard]

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


@contextmanager
def _told() -> Iterator[None]:
    """Make what the library raises a `WireLost`, of one line."""
    try:
        yield
    except psycopg.Error as error:
        raise WireLost((str(error).strip() or type(error).__name__).splitlines()[0]) from error
