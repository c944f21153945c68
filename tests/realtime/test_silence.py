"""The service's own timer for silences: what is asked of it, and what it says."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any, cast

from callapp.conversation.commands import TimeSilence
from callapp.conversation.events import CallerSaid, SessionConfirmed, SilenceTimedOut, Usage
from callapp.realtime.dialling import Endpoint
from callapp.realtime.leg import ModelLeg
from callapp.realtime.session import session_update
from callapp.websocket.connection import Connection
from tests.realtime.conftest import CONFIG, FakeConnection

TIMED = replace(CONFIG, silence_ms=15_000)


def message(kind: str, **known: Any) -> bytes:
    return json.dumps({"type": kind, "event_id": "e", **known}).encode()


def updated(**turn_detection: Any) -> bytes:
    sides = {"format": {"type": "audio/pcmu"}}
    audio = {"input": {**sides, "turn_detection": turn_detection}, "output": sides}
    return message("session.updated", session={"audio": audio})


def test_the_timer_is_switched_by_saying_the_whole_of_the_input_again(connection: FakeConnection) -> None:
    leg = ModelLeg(Endpoint("wss://x", "m", "k"), TIMED, logging.getLogger("test"))
    leg._connection = cast(Connection, connection)
    first = json.loads(session_update(TIMED))["session"]["audio"]["input"]
    assert first["turn_detection"]["idle_timeout_ms"] == 15_000
    leg.send(TimeSilence(False))
    leg.send(TimeSilence(True))
    off, on = ({**one["session"]["audio"]["input"]} for one in connection.sent)
    assert on == first
    assert off["turn_detection"] == {**first["turn_detection"], "idle_timeout_ms": None}
    assert "output" not in connection.sent[0]["session"]["audio"]  # a voice is settled once it has spoken


def test_the_session_says_whether_it_has_one(leg: ModelLeg, connection: FakeConnection) -> None:
    connection.messages = [updated(type="server_vad", idle_timeout_ms=15_000)]
    assert leg.receive() == [SessionConfirmed(None, times_silence=True)]


def test_a_session_without_one_is_timed_by_us(leg: ModelLeg, connection: FakeConnection) -> None:
    """The service took the essential parts alone, or is another one."""
    connection.messages = [updated(type="server_vad", idle_timeout_ms=None)]
    assert leg.receive() == [SessionConfirmed(None, times_silence=False)]


def test_nobody_is_believed_to_have_said_what_was_understood_of_silence(
    leg: ModelLeg, connection: FakeConnection
) -> None:
    """The service transcribes the silence that it took for a turn, and charges for it."""
    kind = "conversation.item.input_audio_transcription.completed"
    usage = {"type": "duration", "seconds": 15}
    connection.messages = [
        message("input_audio_buffer.timeout_triggered", item_id="i1", audio_start_ms=0, audio_end_ms=15_000),
        message(kind, item_id="i1", content_index=0, transcript="Thank you for watching.", usage=usage),
        message(kind, item_id="i2", content_index=0, transcript="Hello?", usage=usage),
    ]
    charged = Usage(transcribed_s=15)
    assert leg.receive() == [SilenceTimedOut()]
    assert leg.receive() == [CallerSaid("i1", "", charged)]
    assert leg.receive() == [CallerSaid("i2", "Hello?", charged)]
