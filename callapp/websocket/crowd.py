"""Threads that have something to do, many at once: how soon one of them gives up the interpreter to another.

A thread that wants the interpreter looks for it once in a *switch interval*, until it is its turn. The
interval is short, so that the reader has its turn soon. But each look takes some microseconds of the one core
there is. When a process has stood still for a moment, there is something to do on all its calls, and of 150
threads that look every half a millisecond hardly one gets to do anything: together they did a fortieth of
what they do at 5 ms. What comes meanwhile keeps it so. Hence the more there are, the longer the interval.
"""

from __future__ import annotations

import sys
from typing import Protocol

# All together look so often at most. With a hundred threads that takes a fifth of the core, or a quarter; at
# half of it the reader would wait twice as long for its turn.
LOOKS_A_SECOND = 20_000
# Who has not come back for so long does not want the interpreter, but waits: for a call that is away, say.
WAITS_AFTER_S = 5.0


class Busy(Protocol):
    """Somebody whose thread was given something to do."""

    @property
    def busy(self) -> bool:
        """Whether it has not come back for more yet."""


class Crowd:
    """Those whose threads are busy."""

    def __init__(self) -> None:
        self._alone_s = self._interval_s = sys.getswitchinterval()
        self._joined: list[Busy] = []
        self._members: dict[Busy, float] = {}  # since when

    def join(self, one: Busy) -> None:
        """Their thread was just given something to do. From any thread."""
        self._joined.append(one)

    def settle(self, now_s: float) -> None:
        """See who is still busy, and have threads switch accordingly. From one thread, again and again.

        Args:
            now_s: by any clock.
        """
        joined = self._joined[:]  # there may be more at any moment
        if not (joined or self._members):
            return
        del self._joined[: len(joined)]
        self._members.update(dict.fromkeys(joined, now_s))
        self._members = {
            one: since_s
            for one, since_s in self._members.items()
            if one.busy and now_s - since_s < WAITS_AFTER_S
        }
        interval_s = max(self._alone_s, len(self._members) / LOOKS_A_SECOND)
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            sys.setswitchinterval(interval_s)
