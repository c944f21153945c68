"""Twilio Media Streams messages, decoded once into types and encoded from commands. Pure.

Shapes: https://www.twilio.com/docs/voice/media-streams/websocket-messages
Media comes 50 times a second a call, so its payload is sliced out of the two layouts that Twilio is
known to send; every other legal JSON goes the long way and means the same.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from callapp.conversation.commands import ClearAudio, PlayAudio, SendMark
from callapp.conversation.events import CallerHungUp, DigitPressed, Played
from callapp.errors import BadMessage

Message = dict[str, Any]

KEYS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
class Connected:
    """The first message on the socket."""


@dataclass(frozen=True, slots=True)
class Started:
    """The stream begins: whose it is, and what the TwiML's ``<Parameter>``s carried."""

    call_sid: str
    stream_sid: str
    parameters: Mapping[str, str]


class CallerAudio(NamedTuple):
    """A chunk of the caller's voice: base64 of mu-law, as it came.

    ``at_ms`` is where in the stream it begins, by Twilio's clock; ``None`` if that is not said.
    """

    payload: bytes
    at_ms: int | None


class OtherAudio(NamedTuple):
    """A chunk of what the caller is given to hear, told only by a stream that listens to a call.

    Fields as of `CallerAudio`.
    """

    payload: bytes
    at_ms: int | None


Decoded = Connected | Started | CallerAudio | OtherAudio | Played | DigitPressed | CallerHungUp

# The layouts in which Twilio sends audio. The groups are where in the stream it begins, and its payload,
# which is base64 if its length is a multiple of four.
match_media = re.compile(
    rb'\{"event":"media","sequenceNumber":"\d+",(?:"streamSid":"\w+",)?'
    rb'"media":\{"track":"inbound","chunk":"\d+","timestamp":"(\d{1,15})",'
    rb'"payload":"([A-Za-z0-9+/]++={0,2}+)"\}'
    rb'(?:,"streamSid":"\w+")?\}'
).fullmatch
MEDIA_TAIL = b'"}}'
_MARK = b'{"event":"mark"'
_is_timestamp = re.compile(r"[0-9]{1,15}").fullmatch


def decode(data: bytes) -> Decoded | None:
    """Read one message; ``None`` for an event that nothing here needs.

    Raises:
        BadMessage: it is not a JSON object, or a known event lacks a field.
    """
    media = match_media(data)
    if media is not None and not len(media[2]) & 3:
        return CallerAudio(media[2], int(media[1]))
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadMessage(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise BadMessage("not a JSON object")
    match message.get("event"):
        case "media":
            return _decode_media(_object(message, "media"))
        case "mark":
            return Played(_text(_object(message, "mark"), "name"))
        case "dtmf":
            return _decode_dtmf(_text(_object(message, "dtmf"), "digit"))
        case "connected":
            return Connected()
        case "start":
            return _decode_start(message)
        case "stop":
            return CallerHungUp()
        case _:
            return None


def decode_mark(data: bytes) -> Played | None:
    """Read an echo that begins as Twilio's do; ``None`` for all else, echo or not."""
    if not data.startswith(_MARK):
        return None
    try:
        decoded = decode(data)
    except BadMessage:
        return None
    return decoded if isinstance(decoded, Played) else None


def join(chunks: Sequence[bytes]) -> bytes:
    """Join chunks of base64 that wait together into one; a single one is passed on untouched."""
    if len(chunks) == 1:
        return chunks[0]
    return binascii.b2a_base64(b"".join(map(binascii.a2b_base64, chunks)), newline=False)


def _decode_media(media: Message) -> CallerAudio | OtherAudio | None:
    track = media.get("track", "inbound")
    kind = _TRACKS.get(track) if isinstance(track, str) else None
    if kind is None:
        return None
    payload = _text(media, "payload").encode()
    try:
        binascii.a2b_base64(payload, strict_mode=True)
    except binascii.Error as error:
        raise BadMessage(f"media: payload is not base64: {error}") from error
    timestamp = media.get("timestamp")
    at_ms = int(timestamp) if isinstance(timestamp, str) and _is_timestamp(timestamp) else None
    return kind(payload, at_ms) if payload else None


_TRACKS: dict[str, type[CallerAudio | OtherAudio]] = {"inbound": CallerAudio, "outbound": OtherAudio}


def _decode_dtmf(digit: str) -> DigitPressed:
    if len(digit) != 1 or digit not in KEYS:
        raise BadMessage("dtmf: digit is not one of a phone's keys")
    return DigitPressed(digit)


def _decode_start(message: Message) -> Started:
    start = _object(message, "start")
    parameters = start.get("customParameters")
    if not isinstance(parameters, dict):
        parameters = {}
    return Started(
        _text(start, "callSid"),
        _text(start, "streamSid"),
        {name: value for name, value in parameters.items() if isinstance(value, str)},
    )


def _object(message: Message, key: str) -> Message:
    value = message.get(key)
    if not isinstance(value, dict):
        raise BadMessage(f"{message.get('event')}: {key} is missing or not an object")
    return value


def _text(message: Message, key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise BadMessage(f"{key} is missing or not text")
    return value


class Encoder:
    """Writes the messages of one stream, whose SID stands in each of them.

    Attributes:
        media_head: what stands before the payload of audio; behind it comes `MEDIA_TAIL`.
    """

    __slots__ = ("_clear", "_sid", "media_head")

    def __init__(self, stream_sid: str) -> None:
        self._sid = orjson.dumps(stream_sid).decode()
        self.media_head = f'{{"event":"media","streamSid":{self._sid},"media":{{"payload":"'.encode()
        self._clear = f'{{"event":"clear","streamSid":{self._sid}}}'.encode()

    def encode(self, command: PlayAudio | SendMark | ClearAudio) -> bytes:
        """Write a command as the message that carries it out."""
        if type(command) is PlayAudio:
            return self.media_head + command.payload + MEDIA_TAIL
        if isinstance(command, SendMark):
            name = orjson.dumps(command.name).decode()
            return f'{{"event":"mark","streamSid":{self._sid},"mark":{{"name":{name}}}}}'.encode()
        return self._clear
