from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from callapp.peers.postgres import Postgres
from callapp.peers.redis import Redis
from callapp.peers.wire import Wire
from tests.postgres import cluster
from tests.redis import redis_server


@dataclass(frozen=True)
class InCommon:
    """A wire, and the server behind it."""

    wire: Wire
    stop: Callable[[], None]
    start: Callable[[], None]


@pytest.fixture(scope="module", params=["postgresql", "redis"])
def in_common(request: pytest.FixtureRequest) -> Iterator[InCommon]:
    with ExitStack() as stack:
        if request.param == "redis":
            redis = stack.enter_context(redis_server())
            yield InCommon(Redis(redis.url), redis.stop, redis.start)
            return
        server = stack.enter_context(cluster())
        yield InCommon(Postgres(server.new_database()), server.stop, server.start)
