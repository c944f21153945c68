"""What of a caller's messages is dealt with where it is read, and what is left to the call's thread."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from callapp.conversation.events import Played
from callapp.telephony.leg import CallerLeg
from callapp.telephony.media_streams import decode_mark

MARK = {"event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": {"name": "mark-1"}}


def written(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def media(at_ms: int, payload: str = "/" * 216) -> bytes:
    inner = {"track": "inbound", "chunk": "1", "timestamp": str(at_ms), "payload": payload}
    return written({"event": "media", "sequenceNumber": "3", "media": inner, "streamSid": "MZ1"})


class Wire:
    """A connection from which nothing comes."""

    taker: Any = None
    heard_s = 0.0

    def __init__(self, *messages: bytes) -> None:
        self._messages = list(messages)

    def receive(self) -> list[bytes]:
        return [self._messages.pop(0)]


class Listening:
    """Hears the audio, and the echoes that it wants to hear."""

    def __init__(self, wanted: str = "") -> None:
        self._wanted = wanted
        self.heard: list[object] = []

    def offer(self, payload: bytes) -> None:
        self.heard.append(payload)

    def hear_mark(self, mark: Played) -> bool:
        self.heard.append(mark)
        return mark.mark == self._wanted


def leg(listening: Listening, *messages: bytes) -> CallerLeg:
    leg = CallerLeg(cast(Any, Wire(*messages)))
    leg.listen(listening, listening.hear_mark)
    return leg


def test_audio_that_follows_is_handed_on_and_what_does_not_is_left() -> None:
    listening = Listening()
    caller = leg(listening, media(0))
    assert not caller.take(media(0))  # follows on nothing yet
    caller.receive()
    assert not caller.take(media(20, "/" * 214))  # no base64: it may not go to the model as it is
    assert caller.take(media(20))
    assert not caller.take(media(900))
    assert listening.heard == [b"/" * 216]


def test_an_echo_is_handed_on_and_left_if_nobody_wants_it() -> None:
    listening = Listening("mark-1")
    caller = leg(listening)
    assert caller.take(written(MARK))
    assert not caller.take(written({**MARK, "mark": {"name": "mark-2"}}))
    assert listening.heard == [Played("mark-1"), Played("mark-2")]


@pytest.mark.parametrize(
    "message",
    [
        {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "1"}},
        {"event": "stop"},
        {"event": "mark"},
        {"event": "mark", "mark": {"name": 7}},
        {"sequenceNumber": "4", **{k: MARK[k] for k in ("mark", "event")}},  # means the same, and is decoded
    ],
)
def test_all_else_is_left(message: dict[str, object]) -> None:
    listening = Listening("mark-1")
    assert not leg(listening).take(written(message))
    assert listening.heard == []
    assert decode_mark(written(message)) is None


def test_who_has_let_go_takes_nothing() -> None:
    """A message may just be on its way there."""
    listening = Listening("mark-1")
    caller = leg(listening, media(0))
    caller.receive()
    caller.let_go()
    assert not caller.take(media(20))
    assert not caller.take(written(MARK))
    assert listening.heard == []
