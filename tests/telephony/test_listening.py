"""A stream to which we only listen, without a socket: two tracks, each in its own time."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

import pytest

from callapp.conversation.events import CallerHungUp
from callapp.telephony.leg import CallerLeg
from callapp.telephony.listening import ListeningLeg, Sound
from callapp.websocket.connection import Connection
from callapp.websocket.framing import Binary

START = b'{"event":"start","start":{"callSid":"CA1","streamSid":"MZ1"}}'


class FakeConnection:
    """Brings what it was given, a batch at a time."""

    def __init__(self, *batches: list[bytes | Binary]) -> None:
        self.batches = list(batches)
        self.closed: list[int] = []

    def receive(self) -> list[bytes | Binary]:
        return self.batches.pop(0) if self.batches else []

    def close(self, code: int, reason: str) -> None:
        self.closed.append(code)


def media(track: str, at_ms: int | None, sound: bytes = b"\xff" * 160) -> bytes:
    body: dict[str, Any] = {"track": track, "chunk": "1", "payload": base64.b64encode(sound).decode()}
    if at_ms is not None:
        body["timestamp"] = str(at_ms)
    return json.dumps({"event": "media", "sequenceNumber": "4", "media": body}).encode()


def leg(*batches: list[bytes | Binary], with_start: bytes | None = None) -> ListeningLeg:
    start = [START] if with_start is None else [START, with_start]
    caller = CallerLeg(cast(Connection, FakeConnection(start, *batches)))
    caller.wait_for_start(1)
    return caller.listening()


def places(heard: list[Sound | CallerHungUp]) -> list[tuple[str, float]]:
    return [(one.speaker, one.at_ms) for one in heard if isinstance(one, Sound)]


def test_what_each_of_the_two_says_comes_with_its_speaker_and_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    both = [media("inbound", 0, b"\x10" * 160), media("outbound", 0, b"\x20" * 160), media("inbound", 20)]
    one = leg(both)  # type: ignore[arg-type]
    heard = one.receive()
    assert heard[:2] == [Sound("caller", b"\x10" * 160, 0), Sound("other", b"\x20" * 160, 0)]
    assert places(heard)[2] == ("caller", 20)
    assert caplog.records == []
    assert one.receive() == []


def test_a_gap_moves_what_follows_and_jitter_does_not() -> None:
    one = leg([media("outbound", at_ms) for at_ms in (0, 45, 1000, 1020)])
    assert places(one.receive()) == [("other", 0), ("other", 20), ("other", 1000), ("other", 1020)]


def test_without_timestamps_one_chunk_follows_another() -> None:
    one = leg([media("inbound", None), media("inbound", None)])
    assert places(one.receive()) == [("caller", 0), ("caller", 20)]


def test_what_came_with_the_start_is_heard_first() -> None:
    one = leg([media("inbound", 20)], with_start=media("inbound", 0))
    assert places(one.receive()) == [("caller", 0)]
    assert places(one.receive()) == [("caller", 20)]


def test_the_stop_is_told_and_nonsense_is_not(caplog: pytest.LogCaptureFixture) -> None:
    nonsense: list[bytes | Binary] = [
        Binary(b"x"),
        b"{",
        START,
        b'{"event":"mark","mark":{"name":"a"}}',
        b'{"event":"new"}',
        b'{"event":"stop"}',
    ]
    assert leg(nonsense).receive() == [CallerHungUp()]
    odd = [record.getMessage().removeprefix("! caller leg: ignored ") for record in caplog.records]
    assert odd[0] == "a binary message"
    assert odd[1].startswith("not JSON: ")
    assert odd[2:] == ["a second start", "a message of an unknown kind"], "each kind once"
