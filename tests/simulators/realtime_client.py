"""A client of the pretend model, for its tests: plain, synchronous, and distrustful.

Every server event is held against the ``openai`` package's type for it, unknown fields included.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, get_args

import pydantic
from openai.types.realtime import RealtimeServerEvent
from openai.types.realtime.realtime_session_create_response import RealtimeSessionCreateResponse
from openai.types.realtime.realtime_transcription_session_create_response import (
    RealtimeTranscriptionSessionCreateResponse,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.judges import unknown_fields

KNOWN_EXTRA = ".phase"  # Sent by the 2.x models, not in the SDK's types.
MODEL = "?model=gpt-realtime-2.1-mini"
"""Of a session, at the end of a pretend model's URL."""
PCMU = {"audio": {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}}


@cache
def _types(of: Any) -> dict[str, type[pydantic.BaseModel]]:
    union = get_args(of)[0]
    return {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in get_args(union)}


# The SDK reads a session as the type of the request; ``id``, ``object`` and ``expires_at`` are in the type
# of the response only.
_SESSIONS: dict[str, type[pydantic.BaseModel]] = {
    "realtime": RealtimeSessionCreateResponse,
    "transcription": RealtimeTranscriptionSessionCreateResponse,
}


def check_event(event: dict[str, Any], of: Any = RealtimeServerEvent) -> None:
    """Fail unless the event is one that the ``openai`` package knows, to the last field."""
    kind = _types(of)[event["type"]]
    unknown = unknown_fields(pydantic.TypeAdapter(kind).validate_python(event))
    created = _SESSIONS.get(event.get("session", {}).get("type"))
    if created is not None:
        session = pydantic.TypeAdapter(created).validate_python(event["session"])
        unknown = sorted(set(unknown) & set(unknown_fields(session, ".session")))
    assert [field for field in unknown if not field.endswith(KNOWN_EXTRA)] == []


class Client:
    """A connection to a pretend model; use it as a context manager.

    Args:
        speaks: the SDK's type of its events.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = "sk-test",
        headers: dict[str, str] | None = None,
        speaks: Any = RealtimeServerEvent,
    ) -> None:
        self._speaks = speaks
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        self.events: list[dict[str, Any]] = []
        self._read = 0
        dialled = connect(
            url,
            additional_headers=sent,
            compression=None,
            max_size=None,
            # Else unread events would keep the answer to our close frame from being read.
            max_queue=None,
            ping_interval=None,
        )
        self.socket = dialled.__enter__()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, event_type: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": event_type, **fields}))

    def append(self, audio: bytes) -> None:
        self.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    def speak(self, audio: bytes, chunk_bytes: int = 160) -> None:
        """Append audio as the phone does: in chunks of 20 ms, but as fast as it goes."""
        for at in range(0, len(audio), chunk_bytes):
            self.append(audio[at : at + chunk_bytes])

    def update(self, **session: Any) -> dict[str, Any]:
        self.send("session.update", session={"type": "realtime", **session})
        return self.next("session.updated")["session"]

    def receive(self, timeout: float = 5.0) -> dict[str, Any]:
        """The next event, whatever it is."""
        event = json.loads(self.socket.recv(timeout))
        check_event(event, self._speaks)
        self.events.append(event)
        return event

    def next(self, event_type: str, timeout: float = 5.0) -> dict[str, Any]:
        """The next event of this type; those before it are kept in ``events``."""
        deadline_s = time.monotonic() + timeout
        while True:
            event = self.receive(max(0.0, deadline_s - time.monotonic()))
            if event["type"] == event_type:
                return event
            assert event["type"] != "error" or event_type == "error", event

    def error(self) -> dict[str, Any]:
        """The next event, which is an error."""
        event = self.receive()
        assert event["type"] == "error", event
        return event["error"]

    def types(self, *without: str) -> list[str]:
        """The types of all events so far."""
        return [event["type"] for event in self.events if event["type"] not in without]

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == event_type]

    def audio_of(self, item_id: str) -> bytes:
        """All audio received for an item."""
        deltas = self.of_type("response.output_audio.delta")
        return b"".join(base64.b64decode(one["delta"]) for one in deltas if one["item_id"] == item_id)

    def closed(self, timeout: float = 5.0) -> tuple[int, str]:
        """Wait for the close; return its code and reason."""
        try:
            while True:
                self.receive(timeout)
        except ConnectionClosed as end:
            return (1006, "") if end.rcvd is None else (end.rcvd.code, end.rcvd.reason)


def squeezed(types: Iterable[str]) -> list[str]:
    """Types with repetitions left out: a run of deltas counts as one."""
    kept: list[str] = []
    for one in types:
        if not kept or kept[-1] != one:
            kept.append(one)
    return kept
