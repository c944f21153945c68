"""What the carrier knows of a call once it is over: what it charged, and how the call ended.

Twilio prices a call some minutes after its end, so it is asked again, ever more rarely. It is asked about
calls of which nobody told us the end, too: their process may have been killed, or no stream of theirs come.
Where it has no name for such a call, none came to be: a dial that was not placed, a browser that stayed away.
Which calls are due stands in the database, so it does not matter which process asks, and none is forgotten
at a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Protocol

from sqlalchemy import select, update

from callapp.call_log.follow_ups import FollowUps
from callapp.call_log.models import CallRow
from callapp.call_log.never_was import AT_ONCE, KNOWN_TO_CARRIER, close_due
from callapp.call_log.records import TERMINAL_STATUSES
from callapp.call_log.store import Store
from callapp.errors import CallappError, CarrierRefused
from callapp.threads import leave

log = logging.getLogger(__name__)

# From the end of a call to the first question, and from each to the next. After the last there is no more.
FIRST_AFTER = timedelta(minutes=1)
NEXT_AFTER = (
    timedelta(minutes=4),
    timedelta(minutes=25),
    timedelta(hours=2),
    timedelta(hours=10),
    timedelta(hours=24),
)
# A call that is alive is asked about only if it should be over for so long: each question costs it a try.
NO_END_AFTER = timedelta(minutes=10)
LOOK_S = 15.0


class Settlement(Protocol):
    """What the carrier says of a call. ``price_usd`` is ``None`` while, or where, that is not known."""

    @property
    def status(self) -> str: ...
    @property
    def duration_s(self) -> int | None: ...
    @property
    def price_usd(self) -> float | None: ...


class Settler:
    """Asks the carrier about the calls that are due, on a thread of its own.

    Args:
        ask: how a call stands, by its SID. Blocks; raises `CallappError`.
    """

    def __init__(
        self, store: Store, ask: Callable[[str], Settlement], follow_ups: FollowUps | None = None
    ) -> None:
        self._store = store
        self._follow_ups = follow_ups or FollowUps()
        self._ask = ask
        self._closed = Event()
        self._thread = Thread(target=self._run, name="settler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End it; a question that is under way is not waited for."""
        self._closed.set()
        leave(self._thread)

    def settle_due(self) -> int:
        """Ask about the calls that are due; return how many those were.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        close_due(self._store)
        asked = 0
        # One at a time: if the carrier does not answer, only the one that was asked about has lost a try.
        while asked < AT_ONCE and not self._closed.is_set() and (call_sid := self._take_due()) is not None:
            asked += 1
            try:
                self._settle(call_sid)
            except CarrierRefused as refusal:
                log.info("= no price: %s", refusal, extra={"call_sid": call_sid})
                if refusal.status == 404:
                    self._write(call_sid, settle_at=None)
        return asked

    def _run(self) -> None:
        failing = False
        while not self._closed.wait(LOOK_S):
            try:
                while self.settle_due() == AT_ONCE and not self._closed.is_set():
                    pass
                failing = False
            except CallappError as error:  # the database, the carrier, or settings that are missing
                if not failing:
                    log.warning("! prices of calls cannot be asked for at present: %s", error)
                failing = True
            except Exception:  # a bug with one call's price must not keep the others
                log.exception("! bug in the settler")

    def _take_due(self) -> str | None:
        """A call that is due, if there is one, put off at once: no other process asks about it."""
        now = datetime.now(UTC)
        due = (
            select(CallRow)
            .where(CallRow.settle_at <= now, KNOWN_TO_CARRIER)
            .order_by(CallRow.settle_at)
            .limit(1)
            # On SQLite a transaction has the database to itself.
            .with_for_update(skip_locked=True, key_share=True)
        )
        with self._store.transaction() as session:
            row = session.scalars(due).one_or_none()
            if row is None:
                return None
            tries = row.settle_tries
            row.settle_at = now + NEXT_AFTER[tries] if tries < len(NEXT_AFTER) else None
            row.settle_tries = tries + 1
            return row.call_sid

    def _settle(self, call_sid: str) -> None:
        told = self._ask(call_sid)
        if told.status not in TERMINAL_STATUSES:
            return
        self._note_end(call_sid, told)
        if told.price_usd is not None:
            self._write(call_sid, carrier_usd=told.price_usd, settle_at=None)

    def _note_end(self, call_sid: str, told: Settlement) -> None:
        """Close a call that is open here: whoever carried it cannot have lived to tell of its end."""
        with self._store.transaction() as session:
            row = session.scalars(select(CallRow).where(CallRow.call_sid == call_sid)).one_or_none()
            if row is None:
                return
            # Its process may have noted why it ended, and been killed before it closed it.
            unsure = row.status not in TERMINAL_STATUSES or row.settle_tries <= 1
            if row.status not in TERMINAL_STATUSES:
                row.status = told.status
            if row.model is None:  # no stream of it has come: nobody here knows why
                self._follow_ups.said_to_be_over(session, call_sid)
            elif row.end_reason is None or unsure:
                row.end_reason = row.end_reason or "server.lost"
                self._follow_ups.ended(session, call_sid, row.agent)
            if row.ended_at is None and row.answered_at is not None and told.duration_s is not None:
                row.ended_at = row.answered_at + timedelta(seconds=told.duration_s)

    def _write(self, call_sid: str, **values: float | datetime | None) -> None:
        with self._store.transaction() as session:
            session.execute(update(CallRow).where(CallRow.call_sid == call_sid).values(**values))
