"""Whatever comes from either side, a call ends in an orderly way. Hypothesis sits at the far ends."""

from __future__ import annotations

import json
import logging
import socket
import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callapp.call.bridge import Bridge
from callapp.call.outside import Outside
from callapp.conversation.events import ModelLost
from callapp.conversation.plan import Plan
from callapp.errors import LegLost
from callapp.realtime.dialling import Endpoint
from callapp.realtime.leg import ModelLeg
from callapp.realtime.session import SessionConfig
from callapp.telephony.leg import CallerLeg
from callapp.websocket import connection
from callapp.websocket.connection import Connection

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
MOST_BYTES = 65_536
CONFIRMED = {
    "type": "session.updated",
    "session": {
        "audio": {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}
    },
}
START = {
    "event": "start",
    "start": {"callSid": "CA1", "streamSid": "MZ1", "customParameters": {}},
}

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
ids = st.sampled_from(["r1", "r2", "i1", "i2", "c1", "c2", "mark-1", "ask-1"])
base64s = st.sampled_from(["", "/w==", "////", "/" * 400, "/" * 20_000, "no", "%%%%"])


def either(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the right kind of value, sometimes anything."""
    return st.one_of(right, right, right, right, json_values)


from_twilio = st.fixed_dictionaries(
    {"event": either(st.sampled_from(["connected", "start", "media", "mark", "dtmf", "news"]))},
    optional={
        "streamSid": either(st.just("MZ1")),
        "media": either(
            st.fixed_dictionaries(
                {"payload": either(base64s)}, optional={"track": either(st.just("inbound"))}
            )
        ),
        "mark": either(st.fixed_dictionaries({"name": either(ids)})),
        "dtmf": either(st.fixed_dictionaries({"digit": either(st.sampled_from("0123456789*#"))})),
        "start": either(st.just(START["start"])),
    },
)
items = st.fixed_dictionaries(
    {"id": either(ids), "type": either(st.sampled_from(["message", "function_call"]))},
    optional={
        "call_id": either(ids),
        "name": either(st.sampled_from(["end_call", "look_up"])),
        "arguments": either(st.just("{}")),
        "status": either(st.sampled_from(["completed", "incomplete", "in_progress"])),
    },
)
responses = st.fixed_dictionaries(
    {"id": either(ids)},
    optional={
        "status": either(st.sampled_from(["completed", "cancelled", "failed", "incomplete"])),
        "status_details": either(st.fixed_dictionaries({"error": either(st.just({"code": "x"}))})),
        "metadata": either(st.fixed_dictionaries({"tag": either(st.sampled_from(["greeting", "answer"]))})),
        "output": either(st.lists(either(items), max_size=3)),
    },
)
from_openai = st.fixed_dictionaries(
    {
        "type": either(
            st.sampled_from(
                [
                    "session.created",
                    "session.updated",
                    "error",
                    "response.created",
                    "response.done",
                    "response.output_item.added",
                    "response.output_item.done",
                    "response.output_audio.delta",
                    "response.output_audio.done",
                    "response.output_audio_transcript.done",
                    "conversation.item.input_audio_transcription.completed",
                    "input_audio_buffer.speech_started",
                    "input_audio_buffer.speech_stopped",
                ]
            )
        )
    },
    optional={
        "session": either(st.just(CONFIRMED["session"])),
        "response": either(responses),
        "response_id": either(ids),
        "item_id": either(ids),
        "item": either(items),
        "content_index": either(st.integers(0, 1)),
        "delta": either(base64s),
        "transcript": either(st.text(max_size=10)),
        "error": either(
            st.fixed_dictionaries(
                {},
                optional={
                    "code": either(
                        st.sampled_from(["conversation_already_has_active_response", "invalid_api_key", "x"])
                    ),
                    "event_id": either(ids),
                },
            )
        ),
    },
)


def frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """A WebSocket frame; its mask, where there has to be one, changes nothing."""
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, masked << 7 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, masked << 7 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, masked << 7 | 127, length)
    return head + bytes(4 * masked) + payload


def text(message: Any, *, masked: bool) -> bytes:
    # Half surrogates, as JSON may escape them, stay escaped.
    return frame(TEXT, json.dumps(message).encode(), masked=masked)


class FarEnd:
    """The peer of a leg: what it says was written before the call began, and then it is gone."""

    def __init__(self, name: str, *, client: bool) -> None:
        ours, self._theirs = socket.socketpair()
        for one in (ours, self._theirs):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.ours = ours
        self.connection = Connection(
            ours, name=name, client=client, max_message_bytes=MOST_BYTES, quiet_s=0.02, write_s=1.0
        )

    def says(self, data: bytes, *, leaves: bool) -> None:
        self._theirs.setblocking(False)
        self._theirs.send(data)
        if leaves:
            self._theirs.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.connection.release()
        self._theirs.close()


class DialledModel(ModelLeg):
    """A model's leg that was dialled already."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(
            Endpoint("", "", ""), SessionConfig("", "coral", "en"), logging.getLogger("callapp.call")
        )
        self._connection = connection

    def dial(self) -> None:
        assert self._connection is not None
        self._connection.taker = self._skimmer

    def meaning_of(self, loss: LegLost) -> ModelLost:
        """There is no second model here."""
        return ModelLost("openai.disconnected", hopeless=True)


def carry(twilio: bytes, openai: bytes, *, twilio_leaves: bool) -> str:
    """Carry a call between two peers that say this, one of which then leaves; return why it ended."""
    far_caller = FarEnd("caller", client=False)
    far_model = FarEnd("model", client=True)
    try:
        far_caller.says(text(START, masked=True) + twilio, leaves=twilio_leaves)
        far_model.says(text(CONFIRMED, masked=False) + openai, leaves=not twilio_leaves)
        caller = CallerLeg(far_caller.connection)
        caller.wait_for_start(1)
        outside = Outside(
            new_model=lambda: DialledModel(far_model.connection),
            run_tool=lambda name, arguments, done: done("ok"),
            complete_call=lambda: None,
        )
        bridge = Bridge(
            caller,
            Plan(greeting="Hello!", most_ms=2_000),
            outside,
            logging.getLogger("callapp.call"),
        )
        return bridge.run()
    except LegLost as loss:  # before the start: the door's business
        return f"refused: {loss.reason}"
    finally:
        far_caller.close()
        far_model.close()


ENDS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.CRITICAL, "callapp")
    monkeypatch.setattr(connection, "LINGER_S", 0.0)  # a peer that stays says nothing more


@ENDS
@given(st.binary(max_size=2000))
def test_any_bytes_of_twilio_end_in_an_orderly_way(data: bytes) -> None:
    assert carry(data, b"", twilio_leaves=True) != "server.error"


@settings(ENDS, max_examples=15)
@given(st.binary(max_size=2000))
def test_any_bytes_of_openai_end_in_an_orderly_way(data: bytes) -> None:
    assert carry(b"", data, twilio_leaves=False) != "server.error"


@ENDS
@given(
    st.lists(
        st.tuples(st.sampled_from([TEXT, TEXT, TEXT, BINARY, PING]), st.binary(max_size=200)), max_size=10
    )
)
def test_any_frames_end_in_an_orderly_way(frames: list[tuple[int, bytes]]) -> None:
    twilio = b"".join(frame(opcode, data[:125], masked=True) for opcode, data in frames)
    openai = b"".join(frame(opcode, data[:125], masked=False) for opcode, data in frames)
    assert carry(twilio, b"", twilio_leaves=True) != "server.error"
    assert carry(b"", openai, twilio_leaves=False) != "server.error"


@ENDS
@given(st.lists(from_twilio | json_values, max_size=12))
def test_any_json_of_twilio_ends_in_an_orderly_way(messages: list[Any]) -> None:
    data = b"".join(text(message, masked=True) for message in messages)
    assert carry(data, b"", twilio_leaves=True) in {"twilio.disconnected", "caller.hung_up"}


@ENDS
@given(st.lists(from_openai | json_values, max_size=16))
def test_any_json_of_openai_ends_in_an_orderly_way(messages: list[Any]) -> None:
    data = b"".join(text(message, masked=False) for message in messages)
    assert carry(b"", data, twilio_leaves=False) in {
        "openai.disconnected",
        "openai.refused",
        "openai.failed",
        "openai.not_pcmu",
        "agent.ended",
        "limit.call_seconds",
    }
