"""What a translator is to an interpreted call: a leg that one speaker is heard by, in one language.

There are two: the translation session (`translation`), and an ordinary model that was told to
interpret (`interpreting_model`). Each is dialled and read by one thread of its own, and hears the
speaker by another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from callapp.conversation.events import ModelLost, Usage
from callapp.errors import LegLost

if TYPE_CHECKING:
    from callapp.audio.g711 import Samples


@dataclass(frozen=True, slots=True)
class Ready:
    """The session stands as it was asked for: what is heard from here on is translated."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Translated speech, 8 kHz; it comes in bursts, faster than it is heard."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class Written:
    """More text: of what the speaker said (``source``), or of its translation (``target``)."""

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


class Translator(Protocol):
    """One session."""

    @property
    def heard_ms(self) -> float:
        """How much of the speaker's audio has been sent, where the session is billed by it; else nothing."""

    @property
    def mute_ms(self) -> float:
        """One that was spoken to for so long, and neither says nor writes anything, is as good as lost."""

    def dial(self) -> None:
        """Open the session; ``Ready`` comes through ``receive``.

        Raises:
            LegLost: nobody there, or they do not want us.
        """

    def receive(self) -> list[TranslatorEvent]:
        """Wait for what comes next; ``[]`` when it was nothing that matters.

        Raises:
            LegLost: the session is gone.
        """

    def hear(self, samples: Samples) -> None:
        """Take what the speaker says, silence too. Only one thread may speak.

        Raises:
            LegLost: the session is gone.
        """

    def finish(self) -> None:
        """Have the rest translated; ``Finished`` follows. For the thread that ``hear`` is for.

        Raises:
            LegLost: the session is gone.
        """

    def close(self) -> None:
        """End the session, or the dial under way; wakes whoever reads. From any thread, and twice."""

    def release(self) -> None:
        """Give the socket back, once nobody reads it any more."""

    def meaning_of(self, loss: LegLost) -> ModelLost:
        """What a lost session stands for."""
