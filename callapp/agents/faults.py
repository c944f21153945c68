"""What is wrong with an agent's file, in words that say what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import BaseModel

from callapp.agents.fields import (
    Idle,
    Interruptions,
    McpServer,
    Recording,
    Transcription,
    TurnDetection,
    Voicemail,
)
from callapp.agents.model import Agent
from callapp.errors import ConfigError

Place = tuple[str | int, ...]
"""The way to a value: the names of fields, and indices in lists."""

_WITHIN: Mapping[str, type[BaseModel]] = {
    "idle": Idle,
    "interruptions": Interruptions,
    "mcp": McpServer,
    "record": Recording,
    "transcription": Transcription,
    "turn_detection": TurnDetection,
    "voicemail": Voicemail,
}
# What stands there may hold a secret that was put in the wrong place.
_NEVER_SHOWN = frozenset({"mcp", "server_url", "authorization"})
_LONGEST_SHOWN = 40


class Faults:
    """Those of one file, each with its line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, line: int, what: str) -> None:
        """Something is wrong with a line of the file."""
        self.found.append(f"{self._path}:{line}: {what}")

    def of_field(self, line: int, place: Place, what: str) -> None:
        """Something is wrong with a field, or with what is inside it."""
        self.add(line, f"field {dotted(place)!r}: {what}")

    def does_not_fit(self, line: int, place: Place, value: object) -> None:
        """A field has a value that it cannot have."""
        innermost = [part for part in place if isinstance(part, str)][-1]
        shown = "what is written there" if innermost in _NEVER_SHOWN else _shown(value)
        self.of_field(line, place, f"{shown} does not fit; expected {description(place)}")

    def no_such_field(self, line: int, place: Place, known: Collection[str] | None = None) -> None:
        """A field has a name that there is not; ``known`` are those that there are, besides of this place."""
        known = _WITHIN[str(place[0])].model_fields if known is None else known
        self.of_field(line, place, f"there is no such field; {expected(str(place[-1]), known)}")

    def error(self) -> ConfigError:
        """What tells them all, in the order of their lines."""
        return ConfigError(sorted(self.found, key=_line_of))


def dotted(place: Place) -> str:
    """The name of a place as it is told; the line tells which item of a list it is."""
    return ".".join(part for part in place if isinstance(part, str))


def description(place: Place) -> str | None:
    """What to write in this place."""
    top, *inner = (part for part in place if isinstance(part, str))
    within = _WITHIN.get(top)
    field = (within.model_fields.get(inner[0]) if inner and within else None) or Agent.model_fields[top]
    return field.description


def expected(name: str, known: Collection[str]) -> str:
    """What to write instead of a name that is not known."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"expected perhaps {near[0]!r}"
    return f"expected one of {', '.join(sorted(known)) or '(none)'}"


def _shown(value: object) -> str:
    """A value as the operator would know it again."""
    if value is None or value == "":
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _line_of(fault: str) -> int:
    found = re.search(r":(\d+): ", fault)
    return int(found[1]) if found else 0
