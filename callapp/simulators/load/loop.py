"""One thread, one epoll: sockets, timers, and the metronome that all phones send their chunks by."""

from __future__ import annotations

import heapq
import select
import selectors
from bisect import insort
from collections import deque
from collections.abc import Callable
from itertools import count
from operator import attrgetter
from time import perf_counter
from typing import Protocol

READ = 0x001  # EPOLLIN
WRITE = 0x004  # EPOLLOUT
# So many sockets are served before the metronome is looked at again.
_EVENTS_AT_ONCE = 64
_MOST_WAIT_S = 0.05
_CHECK_S = 0.01

clock = perf_counter
_due = attrgetter("due")


class Beaten(Protocol):
    """Somebody who does something at each beat."""

    due: float

    def beat(self, now: float) -> bool:
        """Do it; false ends it."""


class Loop:
    """Runs until told to stop. Not thread-safe, there is no other thread.

    Args:
        beat_s: time between two beats of the metronome, the same for everybody on it.
    """

    def __init__(self, beat_s: float) -> None:
        self.beat_s = beat_s
        self._poller = select.epoll() if hasattr(select, "epoll") else _Portable()
        self._readers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._beaten: deque[Beaten] = deque()  # sorted by `due`, since all have the same period
        self._stopped = False
        self.closing: set[Callable[[], None]] = set()  # to be called when the loop is closed

    def watch(self, fd: int, handler: Callable[[int], None], mask: int = READ) -> None:
        """Call the handler with the mask of what the socket is ready for."""
        self._readers[fd] = handler
        self._poller.register(fd, mask)

    def want(self, fd: int, mask: int) -> None:
        """Change what a watched socket is watched for."""
        self._poller.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Watch a socket no more; before it is closed."""
        if self._readers.pop(fd, None) is not None:
            self._poller.unregister(fd)

    def at(self, when: float, callback: Callable[[], None]) -> None:
        """Call back at a time of ``clock``."""
        heapq.heappush(self._timers, (when, next(self._order), callback))

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back in so many seconds."""
        self.at(clock() + seconds, callback)

    def start_beating(self, beaten: Beaten) -> None:
        """Beat it from its ``due`` on."""
        insort(self._beaten, beaten, key=_due)

    def run(self, seconds: float) -> None:
        """Run for so long."""
        self.at(clock() + seconds, self._stop)
        self._run()

    def run_until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Run until it holds; false when it did not in time. It is asked a hundred times a second."""
        deadline = clock() + within_s

        def check() -> None:
            if holds() or clock() >= deadline:
                self._stop()
            else:
                self.after(_CHECK_S, check)

        check()
        self._run()
        return holds()

    def close(self) -> None:
        """Close what is open in it, and the poller."""
        for close in list(self.closing):
            close()
        self._poller.close()

    def _stop(self) -> None:
        self._stopped = True

    def _run(self) -> None:
        beaten, timers, readers, poller = self._beaten, self._timers, self._readers, self._poller
        beat_s = self.beat_s
        nap = [poller.fileno()]
        while not self._stopped:
            now = clock()
            while beaten and beaten[0].due <= now:
                somebody = beaten.popleft()
                if somebody.beat(now):
                    due = somebody.due = somebody.due + beat_s
                    if beaten and beaten[-1].due > due:  # one that came while we were late
                        insort(beaten, somebody, key=_due)
                    else:
                        beaten.append(somebody)
                now = clock()
            while timers and timers[0][0] <= now:
                heapq.heappop(timers)[2]()
            events = poller.poll(0, _EVENTS_AT_ONCE)
            if not events:
                until = now + _MOST_WAIT_S
                if beaten:
                    until = min(until, beaten[0].due)
                if timers:
                    until = min(until, timers[0][0])
                wait = until - clock()
                if wait > 0:
                    # epoll counts in milliseconds, select in microseconds; and it can watch an epoll.
                    select.select(nap, (), (), wait)
                continue
            for fd, mask in events:
                reader = readers.get(fd)  # gone when an event before it in the list closed it
                if reader is not None:
                    reader(mask)
        self._stopped = False


class _Portable:
    """What of epoll is used here, where there is none; slower."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, mask: int) -> None:
        self._selector.register(fd, _to_selectors(mask))

    def modify(self, fd: int, mask: int) -> None:
        self._selector.modify(fd, _to_selectors(mask))

    def unregister(self, fd: int) -> None:
        self._selector.unregister(fd)

    def fileno(self) -> int:
        return int(self._selector.fileno())

    def close(self) -> None:
        self._selector.close()

    def poll(self, timeout: float, _most: int) -> list[tuple[int, int]]:
        return [
            (
                key.fd,
                (READ if ready & selectors.EVENT_READ else 0)
                | (WRITE if ready & selectors.EVENT_WRITE else 0),
            )
            for key, ready in self._selector.select(timeout)
        ]


def _to_selectors(mask: int) -> int:
    return (selectors.EVENT_READ if mask & READ else 0) | (selectors.EVENT_WRITE if mask & WRITE else 0)
