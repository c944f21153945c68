"""Two processes: what a call needs is found whichever of them gets its webhook and its stream."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from callapp.call_log import schema
from callapp.simulators.model_script import Ask, Pace, Say, Script
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.phone import AnsweringMachine, Call, Callee, Ivr, Menu, WaitForEnd
from callapp.simulators.phone import Say as Speak
from callapp.simulators.speech import Speech
from tests.end_to_end.conftest import started
from tests.end_to_end.desk import csrf_token, desk
from tests.postgres import cluster
from tests.stage import (
    API_KEY,
    DEADLINE_S,
    HUNG_UP,
    SALES_NUMBER,
    THEIR_NUMBER,
    Scene,
    Server,
    eventually,
    open_sockets,
    words,
)

MENU = words("For support press two.", 700)
SUPPORT = words("Support, one moment.", 500)
BYE = words("Bye.", 300)
GOODBYE = words("Goodbye.", 300)
HOLD = words("I am putting you through.", 500)
ANSWER = words("I am still here.", 400)
CALLS = 12
SLOTS_TAKEN = "callapp_slots_taken "


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def two_workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("two-workers")
    with ExitStack() as stack:
        environ = {"RECORDINGS_URL": str(folder / "recordings")}
        if request.param == "postgresql":
            environ["DATABASE_URL"] = stack.enter_context(cluster()).new_database()
            schema.upgrade(environ["DATABASE_URL"])
        yield stack.enter_context(started(folder, WEB_CONCURRENCY="2", **environ))


def has_heard(call: Call, ms: float = GOODBYE.duration_ms) -> bool:
    return bool(call.streams) and call.stream.heard_ms() >= ms


def slots_taken(server: Server) -> float:
    """Of both workers."""
    answer = server.request("GET", "/metrics")
    return next(float(line.split()[1]) for line in answer.text.splitlines() if line.startswith(SLOTS_TAKEN))


def test_calls_out_and_in_work_whichever_worker_gets_what(two_workers: Server) -> None:
    """Agents, parameters and tokens are in the database; the kernel deals the connections out."""
    # Where a machine stands still for a second and a half, a "Bye." has silence in its middle, as from a
    # phone that was muted: its end interrupts the first goodbye.
    with two_workers.scene(Script(otherwise=[Say(GOODBYE), ToolCall("end_call")])) as scene:
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


def test_a_machine_is_told_to_its_call_whichever_worker_hears_of_it(two_workers: Server) -> None:
    """Twilio's word comes in a request of its own; half of them reach a process that has not got the call."""
    machine = words("You have reached Bob. Leave a message after the tone.", 2_600)
    message = words("Please call us back.", 600)

    def answer(ask: Ask) -> Say:
        wanted = "Please call us back" in ask.payload.get("instructions", "")
        return Say(message if wanted else GOODBYE, pace=Pace())

    with two_workers.scene(Script(otherwise=answer)) as scene:
        machines = [AnsweringMachine(machine) for _ in range(CALLS // 2)]
        calls = [scene.dial(one, agent="caller", parameters={"name": "Bob"}) for one in machines]
        for call, one in zip(calls, machines, strict=True):
            assert scene.ending(call).reason == "agent.voicemail"
            assert message.audio[:-800] in one.recorded


def test_what_is_whispered_at_the_desk_reaches_a_call_whichever_worker_is_asked(two_workers: Server) -> None:
    """Half of the orders reach the process that has not got the call, and are passed on."""
    with two_workers.scene() as scene, desk(two_workers) as browser:
        call, session = scene.live()
        page = f"{two_workers.url}/desk/calls/{call.sid}"
        form = {"csrf_token": csrf_token(browser.get(page))}
        for number in range(6):
            browser.post(f"{page}/whisper", form | {"words": f"Number {number}."}, timeout=DEADLINE_S)
            told = session.expect("conversation.item.create", DEADLINE_S)["item"]["content"][0]["text"]
            assert f"Number {number}." in told
        call.hang_up()
        scene.ending(call)


def test_the_agent_tells_who_is_put_through_whichever_worker_is_asked(two_workers: Server) -> None:
    with two_workers.scene(Script(otherwise=[Say(HOLD)])) as scene:
        for _ in range(4):
            scene.carrier.phone_at(SALES_NUMBER, Callee([Speak(SUPPORT), WaitForEnd()], rings_ms=100))
            call, _session = scene.live(agent="clerk")
            path = f"/calls/{call.sid}/transfer"
            assert two_workers.request("POST", path, {"destination": "sales"}).status == 202
            call.wait_for(lambda call=call: SUPPORT.audio in bytes(call.talk), DEADLINE_S)  # type: ignore[misc]
            assert call.stream.heard_ms_of(HOLD.audio) == HOLD.duration_ms
            call.hang_up()
            assert scene.ending(call).reason == "agent.transferred"


def test_a_call_that_nobody_answers_frees_its_slot_whichever_worker_hears_of_it(two_workers: Server) -> None:
    with two_workers.scene() as scene:
        calls = [scene.dial(Callee(picks_up="busy", rings_ms=2_500), agent="quiet") for _ in range(CALLS)]
        assert eventually(lambda: slots_taken(two_workers) > 0, DEADLINE_S)  # which is told now and then
        for call in calls:
            call.wait_ended(DEADLINE_S)
        assert eventually(lambda: slots_taken(two_workers) == 0, DEADLINE_S)


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


def test_a_worker_that_is_killed_takes_its_own_calls_with_it_and_no_others(
    start: Callable[..., Server],
) -> None:
    """Out of memory, say. The callers of the others do not notice, and new calls are taken."""
    server = start(WEB_CONCURRENCY="2", MAX_CONCURRENT_CALLS="40")
    with closing(Scene(server, Script(otherwise=Say(ANSWER)))) as scene:
        assert eventually(lambda: len(server.workers) == 2)
        of: dict[int, list[Call]] = {worker: [] for worker in server.workers}
        while min(map(len, of.values())) < 2:  # the kernel chooses who gets a call
            before = {worker: open_sockets(worker, server.model_port) for worker in of}
            call, _ = scene.live()
            (taker,) = (worker for worker in of if open_sockets(worker, server.model_port) > before[worker])
            if len(of[taker]) < 2:
                of[taker].append(call)
            else:  # it has enough: the other one may not be up yet
                call.hang_up()
                scene.ending(call)
                left = partial(open_sockets, taker, server.model_port)
                assert eventually(lambda left=left, at_rest=before[taker]: left() == at_rest)
        doomed, other = of
        os.kill(doomed, signal.SIGKILL)
        for call in of[doomed]:
            call.wait_ended(DEADLINE_S)
        for call in of[other]:
            assert not call.ended
            heard_ms = call.stream.heard_ms()
            call.speak(BYE)
            call.wait_for(partial(has_heard, call, heard_ms + ANSWER.duration_ms), DEADLINE_S)
        assert eventually(lambda: doomed not in server.workers and len(server.workers) == 2, DEADLINE_S)
        of[other].append(scene.live()[0])
        scene.hang_up(*of[other])


def test_who_hangs_up_while_keys_are_sent_has_hung_up_whichever_worker_is_told(two_workers: Server) -> None:
    """Half of the callbacks reach a process that has not got the call; its slot is not held for long."""
    long_keys = ToolCall("send_digits", {"digits": "2" + "w" * 20})
    with two_workers.scene(Script(otherwise=long_keys), speech=Speech([MENU])) as scene:
        machines = [Ivr(Menu(MENU, {"2": Menu(SUPPORT)})) for _ in range(6)]
        calls = [scene.dial(machine, agent="walker") for machine in machines]
        for call, machine in zip(calls, machines, strict=True):
            call.wait_for(lambda machine=machine: machine.path == "2", DEADLINE_S)
            call.hang_up()
        for call in calls:  # the keys alone would take ten seconds, and the call be awaited for fifteen more
            two_workers.wait_for_line(
                call.sid, "x call ended: caller.hung_up", since=scene.since, within_s=DEADLINE_S
            )


def test_calls_that_leave_their_stream_go_on_in_whichever_worker_they_come_back_to(
    two_workers: Server,
) -> None:
    """The one that has the session goes on with it, the other one is told what was said."""

    def answer(ask: Ask) -> list[Say | ToolCall]:
        if MENU.text in ask.heard:
            return [ToolCall("send_digits", {"digits": "2"})]
        return [Say(GOODBYE), ToolCall("end_call")]

    with two_workers.scene(Script(otherwise=answer), speech=Speech([MENU, SUPPORT, GOODBYE])) as scene:
        machines = [Ivr(Menu(MENU, {"2": Menu(SUPPORT)})) for _ in range(8)]
        calls = [scene.dial(machine, agent="taped-walker") for machine in machines]
        for call, machine in zip(calls, machines, strict=True):
            two_workers.wait_for_line(call.sid, "x call ended: agent.ended", since=scene.since)
            assert machine.path == "2"
            assert (len(call.streams), call.faults) == (2, [])
        more = len(scene.model.sessions) - len(calls)
        ended = "x call ended: server.moved"
        assert eventually(lambda: sum(ended in line for line in two_workers.lines[scene.since :]) == more)
        for call in calls:  # each is heard whole, in however many processes it was recorded
            assert eventually(partial(is_heard_whole, two_workers, call.sid), DEADLINE_S)


def is_heard_whole(server: Server, call_sid: str) -> bool:
    request = Request(
        f"{server.url}/calls/{call_sid}/recording", headers={"Authorization": f"Bearer {API_KEY}"}
    )
    try:
        with urlopen(request, timeout=DEADLINE_S) as answer:
            caller = answer.read()[58::2]
    except HTTPError as refusal:  # it is not written yet
        refusal.close()
        return False
    # Their ends: the machine begins to speak as it picks up, and with a key, before the stream is there.
    return MENU.audio[-800:] in caller and SUPPORT.audio[-800:] in caller
