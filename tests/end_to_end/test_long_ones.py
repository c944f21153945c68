"""What takes its time: deadlines, and long recordings. All of it is lived through at once."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from callapp.simulators.clips import Clip
from callapp.simulators.model_faults import SendRaw, Stall
from callapp.simulators.model_script import Ask, Output, Say, Script
from callapp.simulators.model_session import Session
from callapp.simulators.phone import Call, Callee, HangUp, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.end_to_end.test_doors import CONNECTED, close_of, upgraded
from tests.stage import DEADLINE_S, ROOT, Ending, Server, words

HELLO = words("Hello?", 300)
SPEECH = sorted((ROOT.parent / "shared" / "data" / "speech").glob("*.ulaw"))
# More than the buffers of two sockets hold.
ENDLESS = Clip("endless", bytes(range(128, 256)) * 60_000)


@dataclass
class Evening:
    """The calls, and how they ended."""

    calls: dict[str, Call] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)
    said_s: dict[str, float] = field(default_factory=dict)
    """How long after it came in a call heard Twilio's own voice."""
    doorstep_code: int = 0
    doorstep_s: float = 0.0
    unconfirmed_creates: int = 0
    unasked: Session | None = None
    """The session in whose call nobody ever speaks."""
    voices: dict[str, Call] = field(default_factory=dict)
    """The calls of the recorded voices, by file."""
    heard: set[bytes] = field(default_factory=set)
    """What each session heard, from its first byte to its last."""


def answers(ask: Ask) -> Output:
    """A model that breaks down in one call, does not stop in another, and makes small talk in the rest."""
    instructions = str(ask.session.config["instructions"])
    if "Be quick" in instructions:
        return Stall()
    return Say(ENDLESS) if "tools" in instructions else Say(words("I see.", 300))


@pytest.fixture(scope="module")
def evening(twenty_lines: Server) -> Evening:
    evening = Evening()
    with twenty_lines.scene(Script(otherwise=answers)) as scene:
        scene.model.fail_on("session.update", SendRaw('{"type": "rate_limits.updated", "rate_limits": []}'))
        evening.calls["unconfirmed"] = scene.ring(agent="host")
        unconfirmed = scene.session()
        unconfirmed.expect("session.update")
        evening.calls["limited"] = scene.ring(Callee([Speak(HELLO), WaitForEnd(60)]), agent="hurried")
        scene.session().expect("session.update")
        evening.calls["deaf"] = deaf = scene.ring(Callee([Speak(HELLO)]), agent="handy")
        deaf.wait_for(lambda: deaf.streams and deaf.stream.received, DEADLINE_S)
        deaf.stop_reading()
        evening.calls["silent"] = scene.ring(agent="lonely")
        for path in SPEECH:
            callee = Callee([Speak(Clip(path.stem, path.read_bytes())), HangUp()])
            evening.voices[path.name] = scene.ring(callee, agent="host")
        with upgraded(twenty_lines, CONNECTED) as stream:
            began_s = time.monotonic()
            evening.doorstep_code = close_of(stream, 15)
            evening.doorstep_s = time.monotonic() - began_s
        for name, call in evening.calls.items():
            evening.endings[name] = scene.ending(call)
            evening.said_s[name] = call.said[0].at_s if call.said else 0.0
        for call in evening.voices.values():
            assert scene.ending(call).reason == "caller.hung_up"
        for session in scene.model.sessions:
            session.wait_closed()
            if "Be patient." in session.config["instructions"]:
                evening.unasked = session
            evening.heard.add(session.heard_audio)
        evening.unconfirmed_creates = len(unconfirmed.received_events("response.create"))
    return evening


def test_a_stream_that_does_not_start_within_ten_seconds_is_shown_the_door(evening: Evening) -> None:
    assert evening.doorstep_code == 1008
    assert 9.5 < evening.doorstep_s < 12


def test_a_session_that_is_not_confirmed_within_ten_seconds_ends_the_call(evening: Evening) -> None:
    """Nothing is asked of it before, and the caller hears the closing line."""
    assert evening.endings["unconfirmed"].reason == "openai.no_session"
    assert 9.5 < evening.said_s["unconfirmed"] < 12
    assert evening.unconfirmed_creates == 0


def test_at_its_limit_a_call_is_completed_whatever_the_model_does(evening: Evening) -> None:
    """A goodbye has its time, and no more: at eight seconds over the limit the line is closed."""
    assert evening.endings["limited"].reason == "limit.call_seconds"
    assert 2 < evening.calls["limited"].duration_s < 2 + 8


def test_a_caller_who_says_nothing_is_asked_twice_by_the_service_s_own_timer_and_then_let_go(
    evening: Evening,
) -> None:
    """What it hears in the silence is nobody's words."""
    session = evening.unasked
    assert session is not None
    assert evening.endings["silent"].reason == "limit.silence"
    assert len(session.sent_events("input_audio_buffer.timeout_triggered")) == 2
    asked = [one["response"]["metadata"]["tag"] for one in session.received_events("response.create")]
    assert asked == ["greeting", "goodbye"]
    timers = [
        one["session"]["audio"]["input"]["turn_detection"]["idle_timeout_ms"]
        for one in session.received_events("session.update")
    ]
    assert timers == [5_000, None]


def test_a_phone_that_takes_nothing_more_is_lost(evening: Evening) -> None:
    """Its writes would block for ever, and with them the thread that reads the model."""
    assert evening.endings["deaf"].reason == "twilio.stalled"
    assert evening.endings["deaf"].seconds < 10


@pytest.mark.parametrize("path", SPEECH, ids=lambda path: path.stem)
def test_the_model_receives_every_byte_of_a_real_voice_in_order_once(evening: Evening, path: Path) -> None:
    """Many at a time, so that some chunks are late and joined; the agent answers in between."""
    voice = bytes(evening.voices[path.name].stream.voice)
    assert path.read_bytes() in voice
    assert voice in evening.heard


def test_a_model_that_takes_the_connection_and_says_nothing_is_given_up(one_line: Server) -> None:
    """At the start the caller hears something within five seconds: a line of ours, then Twilio's."""
    with one_line.scene() as scene:
        scene.model.close()
        with socket.create_server(("127.0.0.1", one_line.model_port)):
            call = scene.ring()
            call.wait_for(lambda: call.streams and call.stream.playout.chunks, 5)
            assert scene.ending(call, within_s=20).reason == "openai.unreachable"
            assert call.said


def test_a_caller_who_hangs_up_while_the_model_is_dialled_leaves_nothing_behind(one_line: Server) -> None:
    """No slot and no socket outlives its call, whatever it was waiting for."""
    with one_line.scene() as scene:
        scene.model.close()
        with socket.create_server(("127.0.0.1", one_line.model_port)) as listener:
            listener.settimeout(DEADLINE_S)
            call = scene.ring()
            dialling, _ = listener.accept()
            with dialling:
                dialling.settimeout(DEADLINE_S)
                assert dialling.recv(4096).startswith(b"GET /v1/realtime")
                call.hang_up()
                began_s = time.monotonic()
                assert dialling.recv(4096) == b""
                assert time.monotonic() - began_s < 3
                assert scene.ending(call).reason == "caller.hung_up"
