from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from callapp.peers.postgres import Postgres
from callapp.peers.redis import Redis
from callapp.peers.wire import Wire
from tests.postgres import cluster, programs
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
            if redis is None:
                pytest.skip("no Redis on this machine: redis-server was not found")
            yield InCommon(Redis(redis.url), redis.stop, redis.start)
            return
        bin_folder = programs()
        if bin_folder is None:
            pytest.skip("no PostgreSQL on this machine: initdb was not found")
        server = stack.enter_context(cluster(bin_folder))
        yield InCommon(Postgres(server.new_database()), server.stop, server.start)
