"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: with a fault a call could not work."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``to_do`` is empty when all is well."""

    level: Level
    what: str
    to_do: str = ""


def ok(what: str) -> Finding:
    return Finding(Level.OK, what)


def warning(what: str, to_do: str) -> Finding:
    return Finding(Level.WARNING, what, to_do)


def fault(what: str, to_do: str) -> Finding:
    return Finding(Level.FAULT, what, to_do)
