"""Two processes: what a call needs is found whichever of them gets its webhook and its stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from callapp.call_log import schema
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Call, Callee, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.end_to_end.conftest import started
from tests.postgres import cluster, programs
from tests.stage import DEADLINE_S, HUNG_UP, THEIR_NUMBER, Server, words

BYE = words("Bye.", 300)
GOODBYE = words("Goodbye.", 300)
CALLS = 12


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def two_workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("two-workers")
    with ExitStack() as stack:
        environ = {}
        if request.param == "postgresql":
            bin_folder = programs()
            if bin_folder is None:
                pytest.skip("no PostgreSQL on this machine: initdb was not found")
            environ["DATABASE_URL"] = stack.enter_context(cluster(bin_folder)).new_database()
            schema.upgrade(environ["DATABASE_URL"])
        yield stack.enter_context(started(folder, WEB_CONCURRENCY="2", **environ))


def has_heard(call: Call) -> bool:
    return bool(call.streams) and call.stream.heard_ms() >= GOODBYE.duration_ms


def test_calls_out_and_in_work_whichever_worker_gets_what(two_workers: Server) -> None:
    """Agents, parameters and tokens are in the database; the kernel deals the connections out."""
    with two_workers.scene(Script([Say(GOODBYE), ToolCall("end_call")])) as scene:
        calls = []
        for number in range(CALLS):
            callee = Callee([Speak(BYE), WaitForEnd()], rings_ms=0)
            if number % 2:
                calls.append(scene.ring(callee))
            else:
                parameters = {"name": f"Caller {number}", "age": "30"}
                calls.append(scene.dial(callee, agent="named", parameters=parameters))
        for call in calls:
            if call.plan.direction == "inbound":
                assert scene.ending(call).reason == "agent.ended"
            else:
                call.wait_for(partial(has_heard, call), DEADLINE_S)
                call.hang_up()
                assert scene.ending(call).reason in HUNG_UP
            assert call.faults == []
        prompts = [
            one.received_events("session.update")[0]["session"]["instructions"]
            for one in scene.model.sessions
        ]
        for number in range(0, CALLS, 2):
            assert sum(f"Caller {number}," in prompt for prompt in prompts) == 1


def test_an_idempotency_key_dials_once_whichever_worker_is_asked(two_workers: Server) -> None:
    with two_workers.scene() as scene:
        answers = [
            two_workers.request(
                "POST", "/outgoing-call", {"phoneNumber": THEIR_NUMBER}, **{"Idempotency-Key": "once"}
            )
            for _ in range(8)
        ]
        assert {answer.status for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        (call,) = scene.carrier.calls
        scene.session()
        call.hang_up()
        assert scene.ending(call).reason in HUNG_UP
