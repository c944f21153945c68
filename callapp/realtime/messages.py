"""What the messages of all kinds of realtime sessions have in common, and how they are read. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from callapp.errors import BadMessage

Message = dict[str, Any]

# Event ids of what we ask for: the whole, and if that is refused, the essential.
FIRST_UPDATE = "session-1"
SECOND_UPDATE = "session-2"

_find_wait = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:ms|[hms]))+)").search
_parts_of = re.compile(r"(\d+(?:\.\d+)?)(ms|[hms])").findall
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """The service has opened a session."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """An ``error`` event; ``event_id`` is that of our own event which it answers, if any."""

    code: str
    message: str
    param: str | None
    event_id: str | None


def read(data: bytes) -> Message:
    """Read one message.

    Raises:
        BadMessage: it is not a JSON object.
    """
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadMessage(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise BadMessage("not a JSON object")
    return message


def encode_update(session: Message, *, essential: bool) -> bytes:
    """Ask for a session: for the whole of it, or, where that was refused, for what is essential."""
    event_id = SECOND_UPDATE if essential else FIRST_UPDATE
    return orjson.dumps({"type": "session.update", "event_id": event_id, "session": session})


def text_of(message: Message, key: str) -> str:
    """A text.

    Raises:
        BadMessage: it is missing, or something else.
    """
    value = message.get(key)
    if not isinstance(value, str):
        raise BadMessage(f"{message.get('type')}: {key} is missing or not text")
    return value


def text_or_none(message: Message, key: str) -> str | None:
    """A text; ``None`` where there is none."""
    value = message.get(key)
    return value if isinstance(value, str) else None


def object_of(message: Message, key: str) -> Message:
    """An object.

    Raises:
        BadMessage: it is missing, or something else.
    """
    value = message.get(key)
    if not isinstance(value, dict):
        raise BadMessage(f"{message.get('type')}: {key} is missing or not an object")
    return value


def object_or_empty(message: Message, key: str) -> Message:
    """An object; an empty one where there is none."""
    value = message.get(key)
    return value if isinstance(value, dict) else {}


def index_of(message: Message, key: str) -> int:
    """A whole number.

    Raises:
        BadMessage: it is missing, or something else.
    """
    value = message.get(key)
    if not isinstance(value, int):
        raise BadMessage(f"{message.get('type')}: {key} is missing or not a number")
    return value


def index_or_none(message: Message, key: str) -> int | None:
    """A whole number; ``None`` where there is none."""
    value = message.get(key)
    return value if isinstance(value, int) else None


def wait_ms_of(words: str) -> float:
    """For how long an error asks to be left alone: "Please try again in 1.3s." 0 if it does not say."""
    found = _find_wait(words)
    return sum(float(count) * _UNIT_MS[unit] for count, unit in _parts_of(found[1])) if found else 0.0


def complaint(message: Message) -> Complaint:
    """Read an ``error``.

    Raises:
        BadMessage: it says nothing of any.
    """
    error = object_of(message, "error")
    return Complaint(
        text_or_none(error, "code") or text_or_none(error, "type") or "unknown",
        text_or_none(error, "message") or "",
        text_or_none(error, "param"),
        text_or_none(error, "event_id"),
    )
