"""What two processes write each other about the sides of a pair. Pure: texts of a few words, in ASCII."""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seeks:
    """To everybody: a side of this pair is here and waits."""

    process: str
    pair: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """To everybody: one of the two will not come any more. Of no effect on those who have met."""

    process: str
    pair: str
    reason: str


@dataclass(frozen=True, slots=True)
class Meets:
    """To who seeks: the partner is here."""

    process: str
    pair: str


@dataclass(frozen=True, slots=True)
class Says:
    """To the partner: let the phone hear this, mu-law."""

    process: str
    pair: str
    ulaw: bytes


@dataclass(frozen=True, slots=True)
class Leaves:
    """To the partner: the side that was here is over."""

    process: str
    pair: str
    reason: str


Letter = Seeks | GaveUp | Meets | Says | Leaves


def encode(letter: Letter) -> str:
    """Write a letter."""
    match letter:
        case Seeks() | Meets():
            rest = ""
        case GaveUp(reason=reason) | Leaves(reason=reason):
            rest = reason
        case Says(ulaw=ulaw):
            rest = b64encode(ulaw).decode()
    return f"{type(letter).__name__} {letter.process} {letter.pair} {rest}"


def decode(text: str) -> Letter | None:
    """Read a letter; ``None`` for what another version of callapp may write."""
    match text.split(" "):
        case ["Says", process, pair, audio]:
            try:
                return Says(process, pair, b64decode(audio, validate=True))
            except ValueError:
                return None
        case ["Seeks", process, pair, _]:
            return Seeks(process, pair)
        case ["Meets", process, pair, _]:
            return Meets(process, pair)
        case ["Leaves", process, pair, reason]:
            return Leaves(process, pair, reason)
        case ["GaveUp", process, pair, reason]:
            return GaveUp(process, pair, reason)
    return None
