"""The messages of a transcription session, decoded once into types and encoded. Pure.

Field names are those of the ``openai`` Python package 3.54.0 (``realtime_transcription_session_*``,
``conversation_item_input_audio_transcription_*``); what the words of a speaker come to are events of the
conversation's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from callapp.agents.fields import Transcription
from callapp.conversation.dictation import PieceTaken, Said, TextDone, TextFailed, TextGrew
from callapp.realtime.messages import (
    Complaint,
    Message,
    SessionCreated,
    complaint,
    encode_update,
    object_of,
    object_or_empty,
    read,
    text_of,
    text_or_none,
)
from callapp.realtime.session import transcription_fields

# The only format that the service's documentation promises for these sessions.
_FORMAT = {"type": "audio/pcm", "rate": 24_000}


@dataclass(frozen=True, slots=True)
class SessionSet:
    """The service confirms an update; whether it takes PCM, and which model writes."""

    takes_pcm: bool
    model: str | None


Decoded = SessionCreated | SessionSet | Said | Complaint


def decode(data: bytes) -> Decoded | None:
    """Read one server event; ``None`` for a type that nothing here needs.

    Raises:
        BadMessage: it is not a JSON object, or a known type lacks a field.
    """
    message = read(data)
    match message.get("type"):
        case "conversation.item.input_audio_transcription.delta":
            return TextGrew(text_of(message, "item_id"), text_or_none(message, "delta") or "")
        case "input_audio_buffer.committed":
            return PieceTaken(text_of(message, "item_id"))
        case "conversation.item.input_audio_transcription.completed":
            return TextDone(
                text_of(message, "item_id"),
                text_of(message, "transcript"),
                _seconds(object_or_empty(message, "usage")),
            )
        case "conversation.item.input_audio_transcription.failed":
            return TextFailed(text_of(message, "item_id"))
        case "session.created":
            return SessionCreated(text_of(object_of(message, "session"), "id"))
        case "session.updated":
            return _session_set(object_of(message, "session"))
        case "error":
            return complaint(message)
        case _:
            return None


def _seconds(usage: Message) -> float | None:
    """What is billed, where that is time; the older models report tokens."""
    seconds = usage.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and seconds >= 0 else None


def _session_set(session: Message) -> SessionSet:
    audio_input = object_or_empty(object_or_empty(session, "audio"), "input")
    takes = object_or_empty(audio_input, "format")
    transcription = object_or_empty(audio_input, "transcription")
    return SessionSet(takes.get("type") == _FORMAT["type"], text_or_none(transcription, "model"))


# -- what we send -------------------------------------------------------------------------------


def session_update(
    wanted: Transcription, language: str, *, noise_reduction: str | None = None, essential: bool = False
) -> bytes:
    """Ask for a transcription; ``essential`` leaves out what may be rejected.

    There is no voice detection: the models that write while they hear have none, and we say ourselves
    where a piece ends.
    """
    audio_input: dict[str, Any] = {
        "format": _FORMAT,
        "transcription": {"model": wanted.model} if essential else transcription_fields(wanted, language),
        "turn_detection": None,
    }
    if noise_reduction is not None and not essential:
        audio_input["noise_reduction"] = {"type": noise_reduction}
    return encode_update({"type": "transcription", "audio": {"input": audio_input}}, essential=essential)


def encode_commit() -> bytes:
    """Say that what was sent is a piece."""
    return b'{"type":"input_audio_buffer.commit"}'
