"""The database, or Twilio's REST API, is slow: calls that live do not notice."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Call, Callee, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.end_to_end.test_doors import CONNECTED, close_of, upgraded
from tests.end_to_end.test_doors import start as start_of
from tests.stage import DEADLINE_S, THEIR_NUMBER, Server, words

HELLO = words("Hello?", 400)
ANSWER = words("Yes, I am here.", 600)
GOODBYE = words("Goodbye.", 400)


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    return start(MAX_CONCURRENT_CALLS="6")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another process writes into the database, and takes its time."""
    database = sqlite3.connect(folder / "calls.sqlite", isolation_level=None)
    try:
        database.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        database.rollback()
        database.close()


def talks(call: Call) -> float:
    """Let the caller say something; return how many seconds until the answer was heard to its end."""
    heard_ms, began_s = call.stream.heard_ms(), time.monotonic()
    call.speak(HELLO)
    call.wait_for(lambda: call.stream.heard_ms() >= heard_ms + ANSWER.duration_ms, DEADLINE_S)
    return time.monotonic() - began_s


@pytest.mark.alone
def test_a_locked_database_is_noticed_by_new_calls_only(server: Server, tmp_path: Path) -> None:
    script = Script(*[Say(ANSWER)] * 9)
    with server.scene(script) as scene, ThreadPoolExecutor(8) as crowd:
        call, _ = scene.live()
        usual_s = talks(call)
        with locked(tmp_path):
            waiting = [crowd.submit(server.answer_incoming, f"CA{number:032d}") for number in range(4)]
            waiting += [
                crowd.submit(server.webhook, "/call-status", CallSid=call.sid, CallStatus="in-progress")
                for _ in range(4)
            ]
            slow_s = [talks(call) for _ in range(3)]
            health_s = [server.get("/healthz").took_s for _ in range(20)]
            answers = [one.result(DEADLINE_S) for one in waiting]
        assert all(took_s < usual_s + 0.3 for took_s in slow_s), (usual_s, slow_s)
        assert statistics.median(health_s) < 0.1
        # Each phone was answered, with an apology, and none of them holds a slot.
        assert all("申し訳" in text and "<Stream" not in text for text in answers[:4])  # type: ignore[operator]
        assert [one.status for one in answers[4:]] == [204] * 4  # type: ignore[union-attr]
        server.wait_for_line(": ! ", "database", since=scene.since)
        assert "<Stream" in server.answer_incoming("CA" + "3" * 32)
        server.webhook("/call-status", CallSid="CA" + "3" * 32, CallStatus="completed")
        scene.hang_up(call)


@pytest.mark.parametrize(("agent", "requests"), [("bare", 1), ("quiet", 0)])
def test_a_stream_whose_token_cannot_be_looked_up_is_told_to_go_and_the_caller_hears_why(
    server: Server, tmp_path: Path, agent: str, requests: int
) -> None:
    """What the TwiML has after the stream is heard then, if it has anything; a bug would be logged as one."""
    with server.scene() as scene:
        call_sid = "CA" + "3" * 32
        first = start_of(server.token(call_sid, agent), call_sid)
        first["start"]["customParameters"]["agent"] = agent
        with locked(tmp_path), upgraded(server, CONNECTED, first) as stream:
            assert close_of(stream) == 1013
        asked = [one for one in scene.carrier.requests if one.method == "POST" and call_sid in one.path]
        assert len(asked) == requests
        assert all("We are sorry" in one.form["Twiml"][-1] for one in asked)
        assert scene.model.attempts == 0
        server.wait_for_line(": ! stream refused: database", since=scene.since)
        server.webhook("/call-status", CallSid=call_sid, CallStatus="completed")


def test_a_twilio_that_does_not_answer_a_hang_up_is_not_waited_for(server: Server) -> None:
    """One call is to be completed, and its request hangs; the other one talks."""
    script = Script([Say(GOODBYE), ToolCall("end_call")])
    with server.scene(script) as scene:
        other, _ = scene.live(agent="bare")
        scene.carrier.break_next("hang", method="POST")
        leaving = scene.ring(Callee([Speak(HELLO), WaitForEnd()]))
        server.wait_for_line(leaving.sid, "goodbye heard", since=scene.since)
        began_s = time.monotonic()
        assert scene.ending(leaving).reason == "agent.ended"
        assert time.monotonic() - began_s < 2.5 + 5
        assert other.status == "in-progress"
        other.hang_up()
        scene.ending(other)
        # Its stream was closed instead, so that the TwiML after it ends the call.
        assert [said.text for said in leaving.said] == ["That was all."]


@pytest.mark.alone
def test_a_twilio_that_does_not_answer_a_dial_holds_up_nobody(server: Server) -> None:
    script = Script(*[Say(ANSWER)] * 9)
    with server.scene(script) as scene, ThreadPoolExecutor(4) as crowd:
        call, _ = scene.live()
        usual_s = talks(call)
        for _ in range(3):
            scene.carrier.break_next("hang", method="POST")
        dials = [
            crowd.submit(server.request, "POST", "/outgoing-call", {"phoneNumber": THEIR_NUMBER})
            for _ in range(3)
        ]
        slow_s = [talks(call) for _ in range(3)]
        health_s = [server.get("/healthz").took_s for _ in range(20)]
        assert all(took_s < usual_s + 0.3 for took_s in slow_s), (usual_s, slow_s)
        assert statistics.median(health_s) < 0.1
        answers = [dial.result(DEADLINE_S) for dial in dials]
        assert [one.status for one in answers] == [504] * 3, answers
        scene.hang_up(call)
        # A dial that was not answered may ring all the same, so its slot is kept until its time is up.
        assert server.get("/readyz").status == 200
