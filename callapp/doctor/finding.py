"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from callapp.sentences import Quoted, Sentence


class Level(StrEnum):
    """How bad it is: with a fault a call could not work."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        what: somebody else's words, where these say what is wrong.
        to_do: ``None`` when all is well.
        fixable: whether we can set it right ourselves.
    """

    level: Level
    what: Sentence | Quoted
    to_do: Sentence | None = None
    fixable: bool = False


def ok(what: Sentence) -> Finding:
    return Finding(Level.OK, what)


def warning(what: Sentence, to_do: Sentence) -> Finding:
    return Finding(Level.WARNING, what, to_do)


def fault(what: Sentence | Quoted, to_do: Sentence, *, fixable: bool = False) -> Finding:
    return Finding(Level.FAULT, what, to_do, fixable)
