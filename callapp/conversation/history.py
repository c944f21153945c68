"""What was said on the call, in order, as it was heard: for a model that has to be told again.

A session that is lost takes the conversation with it, and a new one begins empty. Words come late
and out of order, so they are kept by item, and items in the order in which they began. Of what the
agent said, the part counts that was heard: when it was cut, its text is cut in proportion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

AGENT: Final = "agent"
CALLER: Final = "caller"
NOTE: Final = "system"


class Line(NamedTuple):
    """Something said. ``interrupted`` lines end where the caller stopped hearing them."""

    role: str
    text: str
    interrupted: bool


class Said(NamedTuple):
    """An item's words: those that were heard, and all that were meant."""

    text: str
    meant: str


@dataclass(slots=True)
class _Utterance:
    role: str
    text: str = ""
    heard_share: float | None = None  # of its audio; None when nothing cut it


class History:
    """Who said what."""

    def __init__(self) -> None:
        self._utterances: dict[str, _Utterance] = {}

    def note(self, text: str) -> None:
        """Something that the model knows and nobody said, such as what a tool returned."""
        self._utterances[f"note-{len(self._utterances)}"] = _Utterance(NOTE, text)

    def take_over(self, lines: Iterable[Line]) -> None:
        """Begin with what was said elsewhere on this call."""
        for role, text, interrupted in lines:
            self._utterances[f"before-{len(self._utterances)}"] = _Utterance(
                role, text, heard_share=1.0 if interrupted else None
            )

    def begin(self, role: str, item_id: str) -> None:
        """An item takes its place in the order; its words may come later."""
        self._utterances.setdefault(item_id, _Utterance(role))

    def add(self, role: str, item_id: str, words: str) -> None:
        """More of an item's text. What was cut gets no more."""
        utterance = self._utterances.setdefault(item_id, _Utterance(role))
        if utterance.heard_share is None:
            utterance.text += words

    def settle(self, role: str, item_id: str, text: str) -> None:
        """An item's text, whole; one that was cut keeps what had come by then, if anything had."""
        utterance = self._utterances.setdefault(item_id, _Utterance(role))
        if utterance.heard_share is None or not utterance.text:
            utterance.text = text

    def cut(self, item_id: str, heard_share: float) -> None:
        """Only a share of the item, 0 to 1, was heard."""
        utterance = self._utterances.get(item_id)
        if utterance is not None and utterance.heard_share is None:
            utterance.heard_share = heard_share

    @property
    def agent_heard(self) -> bool:
        """Whether anything of the agent was heard, or may be still."""
        return any(one.role == AGENT and one.heard_share != 0 for one in self._utterances.values())

    def said(self, item_id: str) -> Said | None:
        """What is known of an item's words; ``None`` for an item that is not known itself."""
        utterance = self._utterances.get(item_id)
        return None if utterance is None else Said(_heard(utterance), utterance.text.strip())

    def lines(self) -> list[Line]:
        """All that was said and heard, in order."""
        lines = []
        for utterance in self._utterances.values():
            text = _heard(utterance)
            if text:
                lines.append(Line(utterance.role, text, utterance.heard_share is not None))
        return lines


def _heard(utterance: _Utterance) -> str:
    text = utterance.text.strip()
    return text if utterance.heard_share is None else _beginning(text, utterance.heard_share)


def _beginning(text: str, share: float) -> str:
    """So much of a text, not ending within a word where words have spaces between them."""
    end = round(len(text) * share)
    if 0 < end < len(text) and " " in text and text[end] != " ":
        end = text.rfind(" ", 0, end) + 1
    return text[:end].rstrip()
