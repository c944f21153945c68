"""Streams that only listen: ``<Start><Stream>``, and what it hears of a call between two people."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from callapp.simulators.callee import Callee
from callapp.simulators.phone import Call, Carrier, HangUp, Hear, Pause, Say
from callapp.simulators.phone_listening import ListeningStream
from callapp.simulators.phone_stream import FRAME_NS
from callapp.simulators.speech import babble_clip
from tests.simulators.phone_app import App, Wire

CALLER, OTHER = "+819012345678", "+819011112222"
HELLO = babble_clip("hello", "hello", 400)
ANSWER = babble_clip("answer", "answer", 400)
WAIT_S = 10
TWIML = (
    '<Response><Start><Stream url="{ws}" track="both_tracks"><Parameter name="a" value="b"/></Stream></Start>'
    f"<Dial>{OTHER}</Dial></Response>"
)


@pytest.fixture
def app(app: App) -> App:
    app.twiml = TWIML
    return app


def ring(carrier: Carrier, app: App, caller: Callee, other: Callee) -> Call:
    carrier.phone_at(OTHER, other)
    return carrier.incoming_call(f"{app.url}/voice", callee=caller, from_number=CALLER)


def sound(messages: list[dict[str, Any]], track: str) -> bytes:
    of_track = [message["media"] for message in messages if message.get("media", {}).get("track") == track]
    return b"".join(base64.b64decode(media["payload"]) for media in of_track)


def test_both_people_are_heard_each_on_a_track_of_its_own(carrier: Carrier, app: App) -> None:
    """And neither waits for it: the call goes on at once, and they hear each other."""
    call = ring(
        carrier, app, Callee([Pause(200), Say(HELLO), Hear(300)]), Callee([Hear(300), Say(ANSWER), HangUp()])
    )
    call.wait_ended(WAIT_S)
    assert (call.faults, call.violations, call.callee.failure) == ([], [], None)
    (wire,) = app.wires
    assert wire.of("start")[0]["start"]["tracks"] == ["inbound", "outbound"]
    assert wire.of("start")[0]["start"]["customParameters"] == {"a": "b"}
    assert HELLO.audio in sound(wire.seen, "inbound")
    assert ANSWER.audio in sound(wire.seen, "outbound")
    assert HELLO.audio not in sound(wire.seen, "outbound")
    assert wire.seen[-1]["event"] == "stop"
    assert ANSWER.audio in bytes(call.talk)


def test_the_call_goes_on_when_the_application_closes_the_stream(carrier: Carrier, app: App) -> None:
    app.on_stream = Wire.read
    call = ring(carrier, app, Callee([Hear(300)]), Callee([Pause(500), Say(ANSWER), HangUp()]))
    call.wait_ended(WAIT_S)
    assert (call.faults, call.callee.failure) == ([], None)
    assert ANSWER.audio in bytes(call.talk)


def test_a_word_of_the_application_is_a_violation(carrier: Carrier, app: App) -> None:
    def speak(wire: Wire) -> None:
        wire.read_until("media")
        wire.clear()
        wire.drain()

    app.on_stream = speak
    call = ring(carrier, app, Callee(), Callee())
    call.wait_for(lambda: call.violations, WAIT_S)
    call.hang_up()
    call.wait_ended(WAIT_S)
    assert "only listens" in call.violations[0]


def test_a_stream_that_is_refused_is_a_fault_and_no_more(carrier: Carrier, app: App) -> None:
    app.twiml = TWIML.replace("{ws}", "{ws}/nowhere")
    call = ring(carrier, app, Callee([Hear(300)]), Callee([Say(ANSWER), HangUp()]))
    call.wait_ended(WAIT_S)
    assert [fault.code for fault in call.faults] == [31920]
    assert ANSWER.audio in bytes(call.talk)


def test_each_track_counts_its_own_chunks() -> None:
    """As in the documentation; the order of all messages is in their sequence numbers."""
    stream = ListeningStream(
        account_sid="AC1",
        call_sid="CA1",
        stream_sid="MZ1",
        parameters={},
        callee=Callee(),
        tracks=["inbound", "outbound"],
    )
    stream.begin()
    stream.listen(b"\x10" * 160, b"\x20" * 160)
    stream.listen(b"\x30" * 160, b"")
    texts, hangs_up = stream.frame()
    media = [json.loads(text)["media"] for text in texts]
    assert not hangs_up
    assert [(one["track"], one["chunk"], one["timestamp"]) for one in media] == [
        ("inbound", "1", "0"),
        ("outbound", "1", "0"),
        ("inbound", "2", "20"),
        ("outbound", "2", "20"),
    ]
    assert base64.b64decode(media[3]["payload"]) == b"\xff" * 160
    assert stream.frame() == ([], False)
    assert stream.next_frame_ns == 3 * FRAME_NS
