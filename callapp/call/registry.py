"""The calls of this process: how many it may take, which are alive, and how they end at a stop.

A *slot* is taken when a webhook is answered or a dial is made, becomes *live* when the call's
stream comes in, and is given back when the call ends or its stream never comes. One janitor thread
looks after the slots whose time is up, and after the drain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Event, Thread
from time import monotonic
from typing import Protocol

from callapp.call.threads import Threads
from callapp.call_log.records import end_reason_of

log = logging.getLogger(__name__)

JANITOR_S = 0.25
# So long before the drain is over, the calls that still live are told to say goodbye.
GOODBYE_S = 8.0
# Between the answer of a call and its stream is the opening: at a stop, one answered so lately is waited for.
OPENING_S = 10.0
# Calls that are told something are waited for so long, all together.
TELL_S = 1.0
# So many calls that the carrier said are over are remembered: a webhook of theirs may come late.
MOST_PAST = 1000
# Calls that were cut are waited for so long, all together: they have yet to say that they are over, which
# the record does not take any more once it is closed.
LEAVE_S = 1.0


class LiveCall(Protocol):
    """What the registry asks of a call that is alive; safe from any thread."""

    def wind_up(self, reason: str) -> None:
        """Say goodbye and end, soon."""

    def cut(self, reason: str) -> None:
        """End now."""


@dataclass(slots=True)
class _Slot:
    until_s: float  # given back then, unless live
    keys: set[str] = field(default_factory=set)
    answered_s: float = float("-inf")
    live: LiveCall | None = None
    winding_up: bool = False  # the live one was told to
    call_sid: str = ""  # of the live one


class Registry:
    """Capacity and live calls of one process. Safe from any thread.

    Args:
        max_calls: how many calls may be under way at once.
        drain_s: how long live calls may go on once the process was asked to stop.
    """

    def __init__(self, max_calls: int, drain_s: float) -> None:
        self.max_calls = max_calls
        self.drain_s = drain_s
        # The process is about to stop, and takes no new calls. Set by a signal handler, which may take no
        # lock: the janitor sees it within JANITOR_S.
        self.drain_requested = False
        self.on_drained: Callable[[], None] | None = None
        self._lock = Condition()  # notified when a call has left
        self._slots: dict[str, _Slot] = {}  # a slot stands under each name that it goes by
        self._past: dict[str, None] = {}  # names of calls that are over, oldest first
        self._drain_ends_s: float | None = None
        self._stopped = Event()
        self._janitor = Thread(target=self._look_after, name="janitor", daemon=True)

    def start(self) -> None:
        """Start the janitor."""
        self._janitor.start()

    def close(self) -> None:
        """Stop the janitor; live calls are cut, and waited for."""
        self._stopped.set()
        if self._janitor.is_alive():
            self._janitor.join()
        for call in self.live_calls().values():
            call.cut("server.stopped")
        with self._lock:
            self._lock.wait_for(lambda: all(slot.live is None for slot in self._slots.values()), LEAVE_S)

    # -- slots ----------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether all slots are taken."""
        with self._lock:
            return self._count() >= self.max_calls

    @property
    def active(self) -> int:
        """How many calls are alive."""
        return len(self.live_calls())

    @property
    def taken(self) -> int:
        """How many slots are taken, by calls that are alive and by those that may come to be."""
        with self._lock:
            return self._count()

    def take_slot(self, key: str) -> bool:
        """Take a slot under a name, or find it taken under it; false when there is none left.

        A call that is known to be over needs none; should its stream come nevertheless, it takes one then.
        """
        with self._lock:
            if key in self._slots or key in self._past:
                return True
            if self.drain_requested or self.full:
                return False
            self._slots[key] = _Slot(float("inf"), {key})
            return True

    def also_known_as(self, key: str, call_sid: str) -> None:
        """Let the slot taken under ``key`` go by its call's SID as well."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is not None and call_sid not in self._slots:
                slot.keys.add(call_sid)
                self._slots[call_sid] = slot

    @property
    def awaited(self) -> set[str]:
        """The names of the slots whose stream has not come."""
        with self._lock:
            return {key for key, slot in self._slots.items() if slot.live is None}

    def expect_stream(self, key: str, within_s: float) -> None:
        """Give the slot back unless its stream comes in by then."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is not None:
                slot.until_s = monotonic() + within_s

    def answered(self, key: str) -> None:
        """Somebody is on the line, whose stream comes once the opening has been spoken."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is not None:
                slot.answered_s = monotonic()

    def give_back(self, key: str) -> None:
        """Give a slot back, by any of its names. A live one, or an unknown one, is left alone."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is not None and slot.live is None:
                self._remove(slot)

    # -- live calls -----------------------------------------------------------------------------

    def enter(self, key: str, call_sid: str, call: LiveCall) -> str | None:
        """A call's stream has come in; return why it is refused, or ``None`` when it is live.

        A stream whose slot was taken by another process takes one here, if there is one.
        """
        with self._lock:
            slot = self._slots.get(call_sid) or self._slots.get(key)
            if slot is None:
                if self.drain_requested or self.full:
                    return "at capacity"
                slot = _Slot(float("inf"))
            if slot.live is not None:
                return "the call has a stream already"
            slot.live, slot.call_sid = call, call_sid
            slot.keys |= {key, call_sid}
            for name in slot.keys:
                self._slots[name] = slot
            return None

    def find(self, call_sid: str) -> LiveCall | None:
        """The call of this SID, if it is alive here, also while it is away from its stream."""
        with self._lock:
            slot = self._slots.get(call_sid)
            return slot.live if slot is not None else None

    def live_calls(self) -> dict[str, LiveCall]:
        """The calls that are alive here, by their SIDs."""
        with self._lock:
            return {slot.call_sid: slot.live for slot in self._slots.values() if slot.live is not None}

    def leave(self, call_sid: str) -> None:
        """A live call is over: its slot is free."""
        with self._lock:
            slot = self._slots.get(call_sid)
            if slot is not None:
                self._remove(slot)
                self._lock.notify_all()

    def call_ended_elsewhere(self, call_sid: str, status: str) -> None:
        """The carrier says that a call is over: end what is left of it here."""
        with self._lock:
            slot = self._slots.get(call_sid)
            call = slot.live if slot is not None else None
            for name in slot.keys if slot is not None else (call_sid,):
                self._past[name] = None
            while len(self._past) > MOST_PAST:
                del self._past[next(iter(self._past))]
        if call is not None:
            # What else completes a call is our own doing, and has set its reason already.
            call.cut(end_reason_of(status))
        else:
            self.give_back(call_sid)

    # -- the janitor ----------------------------------------------------------------------------

    def _look_after(self) -> None:
        while not self._stopped.wait(JANITOR_S):
            self._give_back_expired()
            if self.drain_requested:
                self._drain()

    def _give_back_expired(self) -> None:
        now_s = monotonic()
        with self._lock:
            expired = {id(s): s for s in self._slots.values() if s.live is None and s.until_s <= now_s}
            for slot in expired.values():
                self._remove(slot)
        for _ in expired:
            log.info("= no stream came: a slot is free again")

    def _drain(self) -> None:
        now_s = monotonic()
        if self._drain_ends_s is None:
            self._drain_ends_s = now_s + self.drain_s
            log.info("= draining: %d live calls, %g s", self.active, self.drain_s)
        live = list(self.live_calls().values())
        if (live or self._is_promised(now_s)) and now_s < self._drain_ends_s:
            if now_s >= self._drain_ends_s - GOODBYE_S:
                _tell_each(self._to_wind_up(), lambda call: call.wind_up("server.draining"))
            return
        _tell_each(live, lambda call: call.cut("server.draining"))
        on_drained, self.on_drained = self.on_drained, None
        if on_drained is not None:
            on_drained()

    def _is_promised(self, now_s: float) -> bool:
        """Whether somebody hears an opening, and their stream is to come."""
        with self._lock:
            return any(
                slot.live is None and now_s < slot.answered_s + OPENING_S for slot in self._slots.values()
            )

    def _to_wind_up(self) -> list[LiveCall]:
        """The live calls that were not told so before: a stream may come in when others have been."""
        calls = []
        with self._lock:
            for slot in self._slots.values():
                if slot.live is not None and not slot.winding_up:
                    slot.winding_up = True
                    calls.append(slot.live)
        return calls

    # -- with the lock held ---------------------------------------------------------------------

    def _count(self) -> int:
        return len({id(slot) for slot in self._slots.values()})

    def _remove(self, slot: _Slot) -> None:
        for key in slot.keys:
            self._slots.pop(key, None)


def _tell_each(calls: list[LiveCall], tell: Callable[[LiveCall], None]) -> None:
    """Tell all calls at once: one whose socket is stuck takes seconds, for which the others must not wait."""
    threads = Threads()
    for call in calls:
        try:
            threads.start(partial(tell, call), "drain")
        except RuntimeError:  # the system has none left: one after another, then
            tell(call)
    threads.join(monotonic() + TELL_S)
