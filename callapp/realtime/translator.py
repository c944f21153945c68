"""What a translator tells: a leg by which one speaker is heard in another language.

There are two: the translation session (`translation`), and an ordinary model that was told to
interpret (`interpreting_model`). Each is dialled and read by one thread of its own, and hears the
speaker by another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from callapp.audio.g711 import Samples
from callapp.conversation.events import Usage


@dataclass(frozen=True, slots=True)
class Ready:
    """The session stands as it was asked for: what is heard from here on is translated."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Translated speech, 8 kHz; it comes in bursts, faster than it is heard."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class Written:
    """More of what the speaker said (``source``), or of its translation (``target``), spaces included."""

    side: Literal["source", "target"]
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All that was heard has been translated."""


@dataclass(frozen=True, slots=True)
class Took:
    """What a piece of work used, where that is not counted by the minute."""

    usage: Usage


TranslatorEvent = Ready | Spoken | Written | Finished | Took
