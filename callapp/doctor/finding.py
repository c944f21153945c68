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
    """One line of the report.

    Args:
        to_do: empty when all is well.
        fixable: whether we can set it right ourselves.
    """

    level: Level
    what: str
    to_do: str = ""
    fixable: bool = False


def ok(what: str) -> Finding:
    return Finding(Level.OK, what)


def warning(what: str, to_do: str) -> Finding:
    return Finding(Level.WARNING, what, to_do)


def fault(what: str, to_do: str, *, fixable: bool = False) -> Finding:
    return Finding(Level.FAULT, what, to_do, fixable)
