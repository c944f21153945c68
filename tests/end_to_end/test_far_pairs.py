"""An interpreted call whose two legs land in two servers that have only a database, or a Redis, in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest

from callapp.call_log import schema
from callapp.simulators.phone import Call, Callee
from tests.balancer import Balancer
from tests.end_to_end.conftest import started
from tests.end_to_end.test_interpreter import (
    BYE_EN,
    ORDER_EN,
    ORDER_JA,
    PARTING_EN,
    REPLY_EN,
    REPLY_JA,
    TRANSLATING,
    ask_answer_and_part,
    dial_both,
    heard,
    into,
    names,
    wait_to_hear,
)
from tests.postgres import cluster
from tests.redis import redis_server
from tests.stage import DEADLINE_S, END_LINE, HUNG_UP, Server, eventually


@dataclass(frozen=True)
class Two:
    """Two servers at one address."""

    first: Server
    second: Server
    balancer: Balancer

    def turn(self) -> None:
        """Let the first stream go to the second server; otherwise it goes to the first."""
        self.balancer.stand_before(self.first.port, self.second.port, streams_from=1)

    def ending(self, call: Call) -> str:
        """Why a call ended, wherever its stream was."""
        call.wait_ended(DEADLINE_S)
        reasons: list[str] = []

        def found() -> bool:
            lines = [*self.first.lines, *self.second.lines]
            endings = [match for line in lines if (match := END_LINE.search(line))]
            reasons[:] = [ending[2] for ending in endings if ending[1] == call.sid]
            return bool(reasons)

        assert eventually(found, DEADLINE_S)
        return reasons[0]

    def in_second(self, *calls: Call) -> list[bool]:
        """For each call whether the second server has it."""
        return [
            any(call.sid in line and "= call live" in line for line in self.second.lines) for call in calls
        ]


@dataclass(frozen=True)
class InCommon:
    """What both servers are told of what they have in common; and the server behind it."""

    environ: dict[str, str]
    stop: Callable[[], None]
    start: Callable[[], None]


@pytest.fixture(scope="module", params=["postgresql", "redis"])
def in_common(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InCommon]:
    with ExitStack() as stack:
        if request.param == "redis":
            redis = stack.enter_context(redis_server())
            path = tmp_path_factory.mktemp("shared") / "calls.sqlite"
            environ = {"REDIS_URL": redis.url, "DATABASE_URL": f"sqlite:///{path}"}
            yield InCommon(environ, redis.stop, redis.start)
            return
        server = stack.enter_context(cluster())
        url = server.new_database()
        schema.upgrade(url)
        yield InCommon({"DATABASE_URL": url}, server.stop, server.start)


@pytest.fixture(scope="module")
def servers(in_common: InCommon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    """They have to end well, with what they opened for each other."""
    with ExitStack() as stack:
        balancer = stack.enter_context(closing(Balancer()))
        common = {"PUBLIC_URL": balancer.url, **in_common.environ}
        first = stack.enter_context(started(tmp_path_factory.mktemp("first"), **common))
        second = stack.enter_context(started(tmp_path_factory.mktemp("second"), **common, **first.services))
        yield Two(first, second, balancer)


@pytest.fixture
def two(servers: Two) -> Two:
    """The first stream of a test goes to the first server, the next one to the second."""
    servers.balancer.stand_before(servers.first.port, servers.second.port)
    return servers


def test_two_people_hear_each_other_whose_calls_are_in_two_servers(two: Two) -> None:
    """All that holds in one process, the last words too."""
    with two.first.scene(translating=TRANSLATING) as scene:
        one, other = dial_both(scene, Callee(), Callee(rings_ms=200))
        into(scene, "en")
        into(scene, "ja")
        ask_answer_and_part(one, other)
        endings = two.ending(one), two.ending(other)
        assert one.faults == other.faults == []
        assert two.in_second(one, other) == [False, True]
        assert heard(other) == names(ORDER_EN, BYE_EN)
        assert heard(one) == names(REPLY_JA)
        assert endings[0] in HUNG_UP
        assert endings[1] == "other.hung_up"
        assert other.said[-1].text == PARTING_EN


def test_who_waits_in_one_server_is_told_that_the_other_is_busy_by_the_other_server(two: Two) -> None:
    """The carrier tells whichever it reaches: here the stream is in the second, the word in the first."""
    two.turn()
    with two.first.scene(translating=TRANSLATING) as scene:
        one, _ = dial_both(scene, Callee(rings_ms=0), Callee(picks_up="busy", rings_ms=600))
        assert two.ending(one) == "other.unreachable"
        assert two.in_second(one) == [True]


def test_voices_are_heard_again_when_what_the_servers_have_in_common_is_back(
    two: Two, in_common: InCommon
) -> None:
    """A restart of the database, say: nobody hears anybody meanwhile, and nothing of it comes late."""
    with two.first.scene(translating=TRANSLATING) as scene:
        one, other = dial_both(scene, Callee(rings_ms=0), Callee(rings_ms=200))
        into(scene, "en")
        into(scene, "ja")
        since = {server: len(server.lines) for server in (two.first, two.second)}
        in_common.stop()
        try:
            for server in since:
                server.wait_for_line("brings nothing from other processes", since=since[server])
        finally:
            in_common.start()
        for server in since:
            server.wait_for_line("is back", since=since[server])
        one.speak(ORDER_JA)
        wait_to_hear(other, ORDER_EN)
        other.speak(REPLY_EN)
        wait_to_hear(one, REPLY_JA)
        other.hang_up()
        assert two.ending(one) == "other.hung_up"
        assert two.ending(other) in HUNG_UP
