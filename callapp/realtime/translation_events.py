"""The messages of a translation session, decoded once into types and encoded. Pure.

Field names are those of the ``openai`` Python package 3.54.0 (``realtime_translation_*``). Some names
are also those of other sessions, with other fields; what is the same is in ``messages``.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Any

from callapp.errors import BadMessage
from callapp.realtime.messages import (
    Complaint,
    SessionCreated,
    complaint,
    encode_update,
    object_of,
    object_or_empty,
    read,
    text_of,
    text_or_none,
)
from callapp.realtime.translator import Written

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
class SessionClosed:
    """All that was heard has been translated, and the session is over."""


Decoded = SessionCreated | SessionSet | SpeechTranslated | Written | SessionClosed | Complaint


def decode(data: bytes) -> Decoded | None:
    """Read one server event; ``None`` for a type that nothing here needs.

    Raises:
        BadMessage: it is not a JSON object, or a known type lacks a field.
    """
    message = read(data)
    match message.get("type"):
        case "session.output_audio.delta":
            return SpeechTranslated(_pcm(text_of(message, "delta")))
        case "session.output_transcript.delta":
            return Written("target", text_of(message, "delta"))
        case "session.input_transcript.delta":
            return Written("source", text_of(message, "delta"))
        case "session.created":
            return SessionCreated(text_of(object_of(message, "session"), "id"))
        case "session.updated":
            audio = object_or_empty(object_of(message, "session"), "audio")
            return SessionSet(text_or_none(object_or_empty(audio, "output"), "language"))
        case "session.closed":
            return SessionClosed()
        case "error":
            return complaint(message)
        case _:
            return None


def _pcm(delta: str) -> bytes:
    try:
        return binascii.a2b_base64(delta, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise BadMessage(f"session.output_audio.delta: delta is not base64: {error}") from error


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
    return encode_update({"audio": audio}, essential=essential)


def encode_close() -> bytes:
    """Ask for the rest; ``session.closed`` comes after it."""
    return b'{"type":"session.close"}'
