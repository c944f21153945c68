"""The messages of a translation session, decoded once into types and encoded. Pure.

Field names are those of the ``openai`` Python package 3.54.0 (``realtime_translation_*``). Some names
are also those of other sessions, with other fields: nothing here is shared with them.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from callapp.errors import BadMessage
from callapp.realtime.events import Complaint, SessionCreated

FIRST_UPDATE = "session-1"
SECOND_UPDATE = "session-2"
# Writes down what the speaker says; without one there is only the text of the translation.
SOURCE_TRANSCRIBER = "gpt-realtime-whisper"


@dataclass(frozen=True, slots=True)
class SessionSet:
    """The service confirms an update; ``language`` is the one that it will speak."""

    language: str | None


@dataclass(frozen=True, slots=True)
class SpeechTranslated:
    """A piece of translated speech, of any length: PCM, 16 bit little-endian, 24 kHz, mono."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class TextTold:
    """More of what was said (``source``), or of what it means (``target``); no space is to be added."""

    side: Literal["source", "target"]
    text: str


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """All that was heard has been translated, and the session is over."""


Decoded = SessionCreated | SessionSet | SpeechTranslated | TextTold | SessionClosed | Complaint


def decode(data: bytes) -> Decoded | None:
    """Read one server event; ``None`` for a type that nothing here needs.

    Raises:
        BadMessage: it is not a JSON object, or a known type lacks a field.
    """
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadMessage(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise BadMessage("not a JSON object")
    match message.get("type"):
        case "session.output_audio.delta":
            return SpeechTranslated(_pcm(_text(message, "delta")))
        case "session.output_transcript.delta":
            return TextTold("target", _text(message, "delta"))
        case "session.input_transcript.delta":
            return TextTold("source", _text(message, "delta"))
        case "session.created":
            return SessionCreated(_text(_object(message, "session"), "id"))
        case "session.updated":
            return SessionSet(_language(_object(message, "session")))
        case "session.closed":
            return SessionClosed()
        case "error":
            return _complaint(_object(message, "error"))
        case _:
            return None


def _pcm(delta: str) -> bytes:
    try:
        return binascii.a2b_base64(delta, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise BadMessage(f"session.output_audio.delta: delta is not base64: {error}") from error


def _language(session: dict[str, Any]) -> str | None:
    audio = session.get("audio")
    output = audio.get("output") if isinstance(audio, dict) else None
    language = output.get("language") if isinstance(output, dict) else None
    return language if isinstance(language, str) else None


def _complaint(error: dict[str, Any]) -> Complaint:
    def text(key: str) -> str | None:
        value = error.get(key)
        return value if isinstance(value, str) else None

    return Complaint(
        text("code") or text("type") or "unknown", text("message") or "", text("param"), text("event_id")
    )


def _text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise BadMessage(f"{message.get('type')}: {key} is missing or not text")
    return value


def _object(message: dict[str, Any], key: str) -> dict[str, Any]:
    value = message.get(key)
    if not isinstance(value, dict):
        raise BadMessage(f"{message.get('type')}: {key} is missing or not an object")
    return value


# -- what we send -------------------------------------------------------------------------------


def session_update(
    language: str, *, transcribed: bool = True, noise_reduction: str | None = None, essential: bool = False
) -> bytes:
    """Ask for a language; ``essential`` leaves out what may be rejected."""
    audio: dict[str, Any] = {"output": {"language": language}}
    if not essential:
        given: dict[str, Any] = {}
        if transcribed:
            given["transcription"] = {"model": SOURCE_TRANSCRIBER}
        if noise_reduction is not None:
            given["noise_reduction"] = {"type": noise_reduction}
        if given:
            audio["input"] = given
    event_id = SECOND_UPDATE if essential else FIRST_UPDATE
    return orjson.dumps({"type": "session.update", "event_id": event_id, "session": {"audio": audio}})


def encode_audio(pcm: bytes) -> bytes:
    """Write the speaker's audio as an append."""
    payload = binascii.b2a_base64(pcm, newline=False)
    return b'{"type":"session.input_audio_buffer.append","audio":"%b"}' % payload


def encode_close() -> bytes:
    """Ask for the rest; ``session.closed`` comes after it."""
    return b'{"type":"session.close"}'
