"""Where the two sides of a call between two people find each other, in one process; `far_pairs` for several.

The sides come one after the other, each with its own stream; one may never come.
"""

from __future__ import annotations

from threading import Lock
from typing import Protocol

# So many pairs that are over are remembered: a side of theirs may still come.
MOST_PAST = 1000


class Side(Protocol):
    """A side that can be met; safe from any thread, and returns at once."""

    def meet(self, partner: Side) -> None:
        """The partner is on the line."""

    def hear(self, ulaw: bytes) -> None:
        """Let the phone hear this, after all it was given before."""

    def partner_left(self, reason: str) -> None:
        """The partner is gone, or will not come."""


class Pairs:
    """Sides that wait for their partners, by the name of the pair. Safe from any thread."""

    across_processes = False

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[str, Side] = {}
        self._past: dict[str, None] = {}  # pairs that are complete or over, oldest first

    def join(self, pair: str, side: Side) -> None:
        """A side has come: let it meet its partner, or wait; or learn that there will be none."""
        with self._lock:
            partner = self._waiting.pop(pair, None)
            over = pair in self._past
            if partner is None and not over:
                self._waiting[pair] = side
                return
            self._remember(pair)
        if partner is None:
            side.partner_left("other.hung_up")
        else:
            side.meet(partner)
            partner.meet(side)

    def give_up(self, pair: str, reason: str) -> None:
        """One of the two will not come any more, or has left while it waited: who waits is told.

        Of no effect on a pair that has met: they tell each other.
        """
        with self._lock:
            waiting = self._waiting.pop(pair, None)
            self._remember(pair)
        if waiting is not None:
            waiting.partner_left(reason)

    def leave(self, pair: str, side: Side) -> None:
        """A side is over; nobody will meet it any more."""
        with self._lock:
            if self._waiting.get(pair) is side:
                del self._waiting[pair]
            self._remember(pair)

    def close(self) -> None:
        """Nothing to give back."""

    # -- for those who know of other processes --------------------------------------------------

    def waits(self, pair: str) -> bool:
        """Whether a side of this pair waits here."""
        return pair in self._waiting

    def waiting(self) -> list[str]:
        """The pairs of which a side waits here."""
        with self._lock:
            return list(self._waiting)

    def is_over(self, pair: str) -> bool:
        """Whether a pair has met here, or will not any more."""
        return pair in self._past

    def take(self, pair: str) -> Side | None:
        """The side that waits here, if one does; it waits no longer."""
        with self._lock:
            side = self._waiting.pop(pair, None)
            if side is not None:
                self._remember(pair)
            return side

    def _remember(self, pair: str) -> None:
        self._past[pair] = None
        while len(self._past) > MOST_PAST:
            del self._past[next(iter(self._past))]
