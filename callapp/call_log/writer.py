"""One thread that writes, so that nobody who has something to write waits for the database.

What is put in is kept in a queue, taken from it a batch at a time, and written in order. While the
database does not answer, the batch is tried again and the queue fills. It is bounded: once it is full,
what comes is dropped and counted, and the first drop is logged; what has been queued is never given up
for it. What the database refuses for its content is tried piece by piece, so that only the bad piece
is lost.
"""

from __future__ import annotations

import atexit
import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

from callapp.call_log.database import StoreUnavailable
from callapp.errors import CallappError
from callapp.threads import try_start

log = logging.getLogger(__name__)

T = TypeVar("T")

# What is put in together is written together, and nothing waits for longer than that before it is.
GATHER_S = 0.2
MOST_BATCH = 500
# A hundred busy calls tell some 500 facts a second: this lasts them for more than a minute.
MOST_QUEUED = 50_000
RETRY_S = (0.25, 0.5, 1.0, 2.0)
FLUSH_S = 3.0


class Writer(Generic[T]):
    """A queue and the thread that empties it, which runs from the first ``put`` on.

    Args:
        write: writes a batch, all of it or nothing. Any `CallappError` has it tried again, but a
            `StoreUnavailable` that is hopeless.
        name: of the thread.
    """

    def __init__(self, write: Callable[[Sequence[T]], None], *, name: str) -> None:
        self._write = write
        self._name = name
        self._changed = Condition()
        self._queue: deque[T] = deque()
        self._since_s = 0.0  # when something was written last, or had to be
        self._thread: Thread | None = None
        self._closing = False
        self._give_up_s = 0.0  # once it is closing
        self.dropped = 0

    @property
    def queued(self) -> int:
        """How much waits to be written."""
        return len(self._queue)

    @property
    def lag_s(self) -> float:
        """For how long nothing was written though something waits."""
        return monotonic() - self._since_s if self._queue else 0.0

    def put(self, piece: T) -> None:
        """Have something written soon. Never waits; safe from any thread."""
        with self._changed:
            if len(self._queue) >= MOST_QUEUED or self._closing:
                self.dropped += 1
                if self.dropped == 1:
                    log.error("! the call log does not keep up: what comes now is not written down")
                return
            if not self._queue:
                self._since_s = monotonic()
            self._queue.append(piece)
            if self._thread is None:
                self._thread = try_start(self._run, self._name)
                if self._thread is not None:
                    atexit.register(self.close)
            if len(self._queue) in (1, MOST_BATCH):
                self._changed.notify_all()

    def flush(self, within_s: float) -> bool:
        """Wait until all that was put in is written; false if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, within_s)

    def close(self, within_s: float = FLUSH_S) -> None:
        """Write what is left, take no more, and end. What cannot be written in time is lost, and logged."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._give_up_s = monotonic() + within_s
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(within_s + 1.0)
            atexit.unregister(self.close)
        if self._queue:
            log.error("! %d entries of the call log could not be written before the end", len(self._queue))
        if self.dropped:
            log.error("! %d entries of the call log were dropped", self.dropped)

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while True:
            batch = self._next_batch(gather=not failures)
            if not batch:
                return
            try:
                self._write_batch(batch)
            except CallappError as error:
                if not failures:
                    reason = str(error).partition("\n")[0]  # drivers tell stories
                    log.error("! the call log cannot be written, it is kept and tried again: %s", reason)
                failures += 1
                if not self._wait(RETRY_S[min(failures, len(RETRY_S)) - 1]):
                    return
                continue
            if failures:
                log.warning("= the call log is written again, %d entries waited", len(self._queue))
                failures = 0
            self._written(len(batch))

    def _next_batch(self, *, gather: bool) -> list[T]:
        """What is to be written next; it stays in the queue until it is. Empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            if gather:
                self._changed.wait_for(lambda: len(self._queue) >= MOST_BATCH or self._closing, GATHER_S)
            return list(islice(self._queue, MOST_BATCH))

    def _write_batch(self, batch: Sequence[T]) -> None:
        try:
            self._write(batch)
        except StoreUnavailable as error:
            if not error.hopeless:
                raise
            if len(batch) == 1:
                self.dropped += 1
                log.error("! an entry of the call log was refused: %s", error)
                return
            for piece in batch:
                self._write_batch([piece])
        except CallappError:
            raise
        except Exception:  # a bug of ours: it would come again with every try, and hold up all that follows
            self.dropped += len(batch)
            log.exception("! bug in the writer of the call log: %d entries are lost", len(batch))

    def _wait(self, seconds: float) -> bool:
        """Wait for the next try; false when there is to be none."""
        with self._changed:
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, seconds)
            else:
                self._changed.wait(max(0.0, min(seconds, self._give_up_s - monotonic())))
            return not self._closing or monotonic() < self._give_up_s

    def _written(self, count: int) -> None:
        with self._changed:
            for _ in range(count):
                self._queue.popleft()
            self._since_s = monotonic()
            self._changed.notify_all()
