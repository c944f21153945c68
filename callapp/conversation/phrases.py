"""What was said in an interpreted call, in both languages side by side. Pure.

A translation session tells texts as they grow and never says where a sentence ends; a pause does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from callapp.conversation.facts import Role, Uttered

# A pause in which neither language grows ends a phrase. A translation lags behind by less.
PAUSE_MS = 2_000

Side = Literal["source", "target"]
_ROLES: dict[Side, Role] = {"source": "caller", "target": "agent"}


@dataclass
class _Text:
    text: str
    start_ms: float
    end_ms: float


class Phrases:
    """The phrases of one speaker. What they said is the caller's, its translation the agent's."""

    def __init__(self) -> None:
        self._number = 0
        self._growing: dict[Side, _Text] = {}

    def take(self, side: Side, text: str, now_ms: float) -> None:
        """More of what was said, or of its translation."""
        growing = self._growing.setdefault(side, _Text("", now_ms, now_ms))
        growing.text += text
        growing.end_ms = now_ms

    def ended(self, now_ms: float) -> list[Uttered]:
        """The phrase that is over, in each language; nothing while it grows."""
        if not self._growing or now_ms < max(one.end_ms for one in self._growing.values()) + PAUSE_MS:
            return []
        return self.rest(now_ms)

    def rest(self, now_ms: float) -> list[Uttered]:
        """What there is of a phrase: the call is over."""
        self._number += 1
        growing, self._growing = self._growing, {}
        return list(self._told(growing, now_ms))

    def _told(self, growing: dict[Side, _Text], now_ms: float) -> Iterator[Uttered]:
        source, target = growing.get("source"), growing.get("target")
        if source is not None and target is not None:
            # A transcript can be told after the translation; what was said was said before it all the same.
            source.start_ms = min(source.start_ms, target.start_ms)
            target.start_ms = max(target.start_ms, source.start_ms + 1)
            target.end_ms = max(target.end_ms, target.start_ms)
        for side, role in _ROLES.items():
            one = growing.get(side)
            if one is not None:
                item_id = f"phrase-{self._number}-{side}"
                yield Uttered(now_ms, role, item_id, one.text.strip(), one.start_ms, one.end_ms)
