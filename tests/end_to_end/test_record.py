"""The record of whole calls: what it says, where its recording lies in time, what a crash leaves of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event
from urllib.request import Request, urlopen

import numpy as np
import pytest

from callapp.audio import g711
from callapp.call_log import schema
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Callee, HangUp, Hear, HearPause, Pause, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.postgres import cluster
from tests.stage import API_KEY, DEADLINE_S, Scene, Server, eventually, has_heard, words

GREETING = words("Welcome!", 600)
QUESTION = words("When are you open?", 900)
LONG = words("We are open from ten to seven, but for the day on which we are not.", 4_000)
STOP = words("And on Sunday?", 700)
ANSWER = words("On Sunday from noon.", 900)
BYE = words("Thank you, goodbye.", 800)
GOODBYE = words("Goodbye.", 500)

# On loopback nothing is on its way for long; a busy machine sends late.
OFF_MS = 100.0
# How many calls there are, and how long the database stays away after they have gone on without it.
CALLS = int(os.environ.get("RECORD_CALLS", "3"))
OUTAGE_S = float(os.environ.get("RECORD_OUTAGE_S", "0"))


@pytest.fixture
def server(start: Callable[..., Server], tmp_path: Path) -> Server:
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "recorded.md").write_text(
        "---\nlanguage: en-US\ngreeting: Welcome!\ntools: [end_call, opening_hours]\n"
        "record: {by: ours, notice: This call is recorded.}\n---\nYou answer the phone.\n"
    )
    (agents / "taped.md").write_text(
        "---\nlanguage: en-US\ngreeting: Welcome!\ntools: [end_call]\nrecord: twilio\n---\nYou answer.\n"
    )
    return start(RECORDINGS_URL=str(tmp_path / "recordings"))


def fetch(server: Server, path: str) -> bytes:
    request = Request(server.url + path, headers={"Authorization": f"Bearer {API_KEY}"})
    with urlopen(request, timeout=DEADLINE_S) as answer:
        return bytes(answer.read())


def offset_ms(side: bytes, clock: bytes) -> float:
    """How much later a side of the recording is than the simulator's own; the best match decides."""
    ours, theirs = g711.decode(side).astype(np.float64), g711.decode(clock).astype(np.float64)
    size = 1 << (len(ours) + len(theirs)).bit_length()
    match = np.fft.irfft(np.fft.rfft(ours, size) * np.conj(np.fft.rfft(theirs, size)), size)
    lag = int(np.argmax(match))
    return (lag if lag < size // 2 else lag - size) / g711.SAMPLES_PER_MS


def test_a_call_with_a_tool_and_a_barge_in(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(
        Say(GREETING),
        [ToolCall("opening_hours", {"day": "today"})],
        Say(LONG),
        Say(ANSWER),
        [Say(GOODBYE), ToolCall("end_call", {"reason": "done"})],
    )
    with server.scene(script) as scene:
        callee = Callee(
            [
                HearPause(),
                Speak(QUESTION),
                Hear(1_500),
                Speak(STOP),
                HearPause(),
                Speak(BYE),
                WaitForEnd(),
            ]
        )
        call = scene.ring(callee, agent="recorded")
        assert scene.ending(call).reason == "agent.ended"
        assert callee.failure is None
        record = server.record(call.sid, lambda seen: seen["recording"])

        said = [(one["role"], one["text"], one["interrupted"]) for one in record["utterances"]]
        assert [(role, cut) for role, _, cut in said] == [
            ("agent", False),
            ("caller", False),
            ("agent", True),
            ("caller", False),
            ("agent", False),
            ("caller", False),
            ("agent", False),
        ]
        assert all(text for _, text, _ in said)
        cut_text = said[2][1]
        assert LONG.text.startswith(cut_text)
        assert 0 < len(cut_text) < len(LONG.text)
        starts = [one["startMs"] for one in record["utterances"]]
        assert starts == sorted(starts)

        (barge_in,) = [one for one in record["events"] if one["type"] == "barge_in"]
        heard_ms = call.stream.heard_ms_of(LONG.audio)
        assert barge_in["detail"]["heardMs"] == pytest.approx(heard_ms, abs=40)
        assert [(run["name"], run["outcome"]) for run in record["toolRuns"]] == [
            ("opening_hours", "ok"),
            ("end_call", "ok"),
        ]
        assert record["toolRuns"][0]["output"] == "today: 10:00-19:00"
        assert [turn["bargeIn"] for turn in record["turns"]] == [False, True, False]
        assert record["endReason"] == "agent.ended"
        assert record["status"] == "completed"
        assert record["cost"]["modelUsd"] > 0
        assert [one.text for one in call.said] == ["This call is recorded."]

        wav = fetch(server, f"/calls/{call.sid}/recording")
        samples = wav[58:]
        spoken = bytes(call.stream.voice).replace(b"\xff", b"")
        assert len(samples[0::2].replace(b"\xff", b"")) > 0.9 * len(spoken)
        caller_ms = offset_ms(samples[0::2], bytes(call.stream.voice))
        agent_ms = offset_ms(samples[1::2], call.stream.heard_track())
        with capsys.disabled():
            print(f"\nWAV against the phone's clock: caller {caller_ms:.1f} ms, agent {agent_ms:.1f} ms")
        # The call's clock begins when the stream's start was dealt with; the two sides belong together.
        assert abs(agent_ms - caller_ms) < OFF_MS + call.stream.late_ms
        assert abs(caller_ms) < 5 * OFF_MS + call.stream.late_ms


def test_a_recording_of_twilios_is_ordered_told_of_handed_on_and_deleted(server: Server) -> None:
    with server.scene(Script(Say(GREETING))) as scene:
        call = scene.ring(Callee([HearPause(), HangUp()]), agent="taped")
        assert scene.ending(call).reason == "caller.hung_up"
        record = server.record(call.sid, lambda seen: seen["recording"])
        assert record["recording"]["seconds"] >= 1
        assert fetch(server, f"/calls/{call.sid}/recording")[:4] == b"RIFF"
        assert server.request("DELETE", f"/calls/{call.sid}").status == 204
        assert server.get(f"/calls/{call.sid}").status == 404
        assert [one.status for one in scene.carrier.requests if one.method == "DELETE"] == [204]


def test_a_worker_that_is_killed_in_mid_call_leaves_the_record_up_to_its_last_second(server: Server) -> None:
    scene = Scene(server, Script(Say(GREETING), Say(ANSWER)))
    try:
        callee = Callee([HearPause(), Speak(QUESTION), Hear(800), Pause(60_000)])
        call = scene.ring(callee, agent="recorded")
        before = server.record(call.sid, lambda seen: len(seen["utterances"]) == 3)
        (worker,) = server.workers
        os.kill(worker, signal.SIGKILL)
        call.wait_ended(DEADLINE_S)
        assert eventually(lambda: server.workers not in ([], [worker]), DEADLINE_S)
        after = server.record(call.sid, lambda seen: seen["recording"])  # its successor saves that
        wav = fetch(server, f"/calls/{call.sid}/recording")
    finally:
        scene.close()
    assert [one["role"] for one in after["utterances"]] == ["agent", "caller", "agent"]
    assert {**after, "recording": None} == before
    assert after["recording"]["seconds"] * 1000 > after["utterances"][1]["endMs"]
    assert QUESTION.audio in wav[58::2]
    assert (after["status"], after["endReason"]) == ("in-progress", None)


def test_a_database_that_is_away_during_calls_delays_their_record_and_nothing_else(
    start: Callable[..., Server],
) -> None:
    with cluster() as database:
        url = database.new_database()
        schema.upgrade(url)
        server = start(DATABASE_URL=url)
        with server.scene(Script(Say(GREETING), Say(ANSWER), Say(GOODBYE))) as scene:
            callees = [Callee([HearPause(), Speak(QUESTION), Pause(120_000)]) for _ in range(CALLS)]
            calls = [scene.ring(callee, agent="host") for callee in callees]
            for call in calls:
                server.record(call.sid, lambda seen: len(seen["utterances"]) == 3)
            database.stop()
            for call in calls:
                call.speak(STOP)
            for call in calls:
                call.wait_for(partial(has_heard, call, GOODBYE), DEADLINE_S)
            server.wait_for_line("the call log cannot be written, it is kept and tried again")
            Event().wait(OUTAGE_S)
            scene.hang_up(*calls)
            database.start()
            for call in calls:
                seen = server.record(call.sid, lambda seen: seen["status"] == "completed")
                assert [one["role"] for one in seen["utterances"]] == ["agent", "caller"] * 2 + ["agent"]
                assert len(seen["turns"]) == 2
                assert seen["endReason"] == "caller.hung_up"
