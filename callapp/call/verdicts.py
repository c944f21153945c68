"""Who answered: brings the carrier's word to the call, whichever process it was told.

The carrier tells it in a request of its own, which may reach another process than the one that holds the
call's stream. So each process notes in the database what it is told, and looks there for its own calls:
one query for all of them, twice a second. One thread does that, and is there only while a call waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic

from callapp.call_log.store import StoreUnavailable
from callapp.threads import leave, try_start

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
# The carrier's request comes later than its timeout, by the network and a little more.
GRACE_S = 10.0


@dataclass(frozen=True)
class _Waiting:
    tell: Callable[[str], None]
    until_s: float


class Verdicts:
    """The calls of this process that have yet to be told who answered. Safe from any thread.

    Args:
        find: looks calls up by their SIDs; returns those that are known, with the carrier's word.
            Raises `StoreUnavailable`.
    """

    def __init__(self, find: Callable[[Collection[str]], Mapping[str, str]]) -> None:
        self._find = find
        self._changed = Condition()
        self._waiting: dict[str, _Waiting] = {}
        self._closed = False
        self._thread: Thread | None = None

    def expect(self, call_sid: str, tell: Callable[[str], None], within_s: float) -> None:
        """Tell a call once it is known who answered; the word may be there already."""
        with self._changed:
            self._waiting[call_sid] = _Waiting(tell, monotonic() + within_s + GRACE_S)
            self._changed.notify()
            if self._thread is None and not self._closed:
                self._thread = try_start(self._look_out, "verdicts")

    def forget(self, call_sid: str) -> None:
        """The call is over, or does not wait any more."""
        with self._changed:
            self._waiting.pop(call_sid, None)
            self._changed.notify()

    def arrived(self, call_sid: str, answered_by: str) -> None:
        """The carrier has told this process; the call may be one of another."""
        with self._changed:
            waiting = self._waiting.pop(call_sid, None)
        if waiting is not None:
            waiting.tell(answered_by)

    def close(self) -> None:
        """Stop looking; a look that is under way is not waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        leave(thread)

    def _look_out(self) -> None:
        silent = False  # a database that is away is told once
        while (call_sids := self._who_waits()) is not None:
            try:
                found = self._find(call_sids)
            except StoreUnavailable as error:
                if not silent:
                    log.error("! who answered is not known: database: %s", error)
                silent, found = True, {}
            else:
                silent = False
            for call_sid, answered_by in found.items():
                self.arrived(call_sid, answered_by)
            with self._changed:
                if not self._closed and self._waiting:
                    self._changed.wait(LOOK_EVERY_S)

    def _who_waits(self) -> list[str] | None:
        """The calls to look up; ``None`` when there are none, and this thread is not needed any more."""
        with self._changed:
            now_s = monotonic()
            self._waiting = {sid: one for sid, one in self._waiting.items() if one.until_s > now_s}
            if self._waiting and not self._closed:
                return list(self._waiting)
            self._thread = None
            return None
