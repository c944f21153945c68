"""Facts on their way to those who take their time with them: metrics and traces.

A call's threads leave a fact in a queue and go on; one thread, the relay's own, tells it to the readers.
When the queue is full a fact is dropped and counted: numbers may be late or lacking, audio may not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Protocol

from callapp.call.journal import Particulars
from callapp.conversation.facts import Fact

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Facts; a call makes one or two a second."""

TICK_S = 1.0

GATHER_S = 0.1
"""Facts are read so far apart: to wake up for each one would cost more than to read it."""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact of a call, and when it was told: in milliseconds of the call's clock."""

    call: Particulars
    fact: Fact
    at_ms: float


class Reader(Protocol):
    """What is told; always by the same thread."""

    def note(self, told: Told) -> None:
        """Take a fact."""

    def tick(self) -> None:
        """A second has passed."""


class Relay:
    """A listener of the journal's. Safe from any thread, and never waits."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers
        self._waiting: SimpleQueue[Told] = SimpleQueue()
        self._closed = Event()
        self._thread = Thread(target=self._run, name="relay", daemon=True)
        self.dropped = 0

    def __call__(self, call: Particulars, fact: Fact, at_ms: float) -> None:
        if self._waiting.qsize() >= MOST_WAITING:
            self.dropped += 1  # two threads at once may count as one: it says that something is wrong
        else:
            self._waiting.put(Told(call, fact, at_ms))

    @property
    def depth(self) -> int:
        """How many facts wait."""
        return self._waiting.qsize()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, within_s: float) -> None:
        """Tell the readers what waits, and stop."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)

    def _run(self) -> None:
        tick_at_s = monotonic()
        closed = False
        while not closed:
            closed = self._closed.wait(GATHER_S)
            while not self._waiting.empty():
                told = self._waiting.get()
                for reader in self._readers:
                    _try(partial(reader.note, told))
            if monotonic() >= tick_at_s:
                tick_at_s = monotonic() + TICK_S
                for reader in self._readers:
                    _try(reader.tick)


def _try(deed: Callable[[], None]) -> None:
    try:
        deed()
    except Exception:  # a bug of one reader's must not keep the others
        log.exception("! bug in what reads of calls")
