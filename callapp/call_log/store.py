"""What must be known across processes: calls placed, one-time tokens and tickets.

Safe from any thread: every method is one short transaction on a connection of its own. Whatever the
database does wrong surfaces as ``StoreUnavailable``.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    case,
    delete,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from callapp.call_log.database import Database, StoreUnavailable, Taken
from callapp.call_log.models import (
    AwayRow,
    CallRow,
    IdempotencyKeyRow,
    StreamTokenRow,
    UpgradeTicketRow,
)
from callapp.call_log.never_was import ENDED_AT_IF_DIALLED, NO_STREAM_AFTER, NOT_DIALLED
from callapp.call_log.records import TERMINAL_STATUSES, Admission, PlacedCall
from callapp.call_log.statements import GOES_ON, insert_new, rows_changed, table_of, unless_known

if TYPE_CHECKING:
    from callapp.call.journal import Particulars

__all__ = ["Store", "StoreUnavailable", "Taken", "admission_of", "answered_call", "columns_of"]

SWEEP_EVERY_S = 60.0
# What Twilio was told to end a moment ago, it may show as it was. And the last words between two people
# come in for some seconds more: Twilio's word would close it without them.
ASK_SOON_AFTER = timedelta(seconds=8)
# The end of a call that Twilio says is over has been written by then, or its process was killed. Twilio is
# asked then: before the call's webhook is due.
WRITTEN_WITHIN = timedelta(seconds=30)
_CALLS, _TOKENS = table_of(CallRow), table_of(StreamTokenRow)
_NEW_SETTLE_AT = bindparam("new_settle_at", type_=_CALLS.c.settle_at.type)
_ANSWER_PLACED = (
    update(_CALLS)
    .where(_CALLS.c.id == bindparam("placed_id"))
    .values(
        call_sid=unless_known(_CALLS.c.call_sid),
        answered_at=unless_known(_CALLS.c.answered_at),
        status=case((NOT_DIALLED, "in-progress"), else_=_CALLS.c.status),
        ended_at=ENDED_AT_IF_DIALLED,
        settle_at=case((NOT_DIALLED, _NEW_SETTLE_AT), else_=_CALLS.c.settle_at),
    )
)
_ISSUE = insert(_TOKENS)
_REDEEM = (
    delete(_TOKENS)
    .where(
        _TOKENS.c.token_hash == bindparam("hash"),
        _TOKENS.c.call_sid == bindparam("of_call"),
        _TOKENS.c.expires_at > bindparam("now"),
    )
    .returning(_TOKENS)
)


class Store(Database):
    """The database. Its schema must be in place: see ``schema.prepare``."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url)
        self._sweep_lock = threading.Lock()
        self._swept_at = time.monotonic()

    # -- one-time tokens ---------------------------------------------------------------------

    def issue_token(self, admission: Admission, lives_s: float) -> str:
        """Make a token that opens one media stream for this call within ``lives_s`` seconds.

        The call is answered by that, and written down.
        """
        token = secrets.token_urlsafe(32)
        now = _now()
        with self.transaction() as session:
            self.sweep(session, now)
            self._note_answer(session, admission, now)
            session.execute(
                _ISSUE,
                {
                    "token_hash": _sha256(token),
                    **columns_of(admission),
                    "expires_at": now + timedelta(seconds=lives_s),
                },
            )
        return token

    def redeem_token(self, token: str, call_sid: str) -> Admission | None:
        """Use a token up. ``None`` if it is unknown, expired, already used, or of another call.

        Of any number of attempts at the same time exactly one succeeds. An attempt for the wrong call
        leaves the token to the right one.
        """
        if not call_sid.isascii() or "\0" in call_sid:  # what the databases would stumble over
            return None
        key = {"hash": _sha256(token), "of_call": call_sid, "now": _now()}
        with self.transaction() as session:
            row = session.execute(_REDEEM, key).one_or_none()
        return None if row is None else admission_of(row)

    def _note_answer(self, session: Session, admission: Admission, now: datetime) -> None:
        if admission.direction == "outgoing":
            answer = {
                "placed_id": admission.slot_key,
                "new_call_sid": admission.call_sid,
                "new_answered_at": now,
                "new_settle_at": now + NO_STREAM_AFTER,
            }
            session.execute(_ANSWER_PLACED, answer)
            return
        call = answered_call(admission, now)
        session.execute(insert_new(session, CallRow), {**call, "settle_at": now + NO_STREAM_AFTER})

    # -- tickets of browsers -----------------------------------------------------------------

    def issue_ticket(self, session_id: str, lives_s: float) -> str:
        """Make a ticket that lets one browser session open one WebSocket within ``lives_s`` seconds."""
        ticket = secrets.token_urlsafe(32)
        now = _now()
        with self.transaction() as session:
            self.sweep(session, now)
            session.execute(
                insert(UpgradeTicketRow).values(
                    ticket_hash=_sha256(ticket),
                    session_id=session_id,
                    expires_at=now + timedelta(seconds=lives_s),
                )
            )
        return ticket

    def redeem_ticket(self, ticket: str, session_id: str) -> bool:
        """Use a ticket up; false if it is unknown, expired, already used, or of another session.

        Of any number of attempts at the same time exactly one succeeds.
        """
        redeem = delete(UpgradeTicketRow).where(
            UpgradeTicketRow.ticket_hash == _sha256(ticket),
            UpgradeTicketRow.session_id == session_id,
            UpgradeTicketRow.expires_at > _now(),
        )
        with self.transaction() as session:
            return rows_changed(session, redeem) == 1

    # -- calls we place ----------------------------------------------------------------------

    def place_call(self, call: PlacedCall) -> None:
        """Write down that we are about to dial, so that Twilio's webhooks find the call in any process."""
        now = _now()
        with self.transaction() as session:
            session.execute(
                insert(CallRow).values(
                    id=call.id,
                    call_sid=call.call_sid,
                    direction="outgoing",
                    agent=call.agent,
                    parameters=dict(call.parameters),
                    from_number=call.from_number,
                    to_number=call.to_number,
                    status=call.status,
                    created_at=now,
                    settle_at=now + NO_STREAM_AFTER,
                )
            )

    def call_dialled(self, placed_id: str, call_sid: str, status: str) -> None:
        """Twilio accepted the dial. A callback that was faster keeps its word about the status."""
        with self.transaction() as session:
            session.execute(update(CallRow).where(CallRow.id == placed_id).values(call_sid=call_sid))
            session.execute(
                update(CallRow)
                .where(
                    CallRow.id == placed_id,
                    CallRow.status_sequence.is_(None),
                    CallRow.status.not_in(TERMINAL_STATUSES),
                )
                .values(status=status)
            )

    def find_status(self, call_sid: str) -> str | None:
        """The newest of the carrier's words about a call; ``None`` for one that is not known."""
        with self.transaction() as session:
            return session.scalar(select(CallRow.status).where(CallRow.call_sid == call_sid))

    def find_placed(self, placed_id: str) -> PlacedCall | None:
        with self.transaction() as session:
            row = session.get(CallRow, placed_id)
        if row is None:
            return None
        return PlacedCall(
            id=row.id,
            agent=row.agent,
            parameters=row.parameters,
            from_number=row.from_number,
            to_number=row.to_number,
            call_sid=row.call_sid,
            status=row.status,
            answered=row.answered_at is not None,
        )

    def no_longer_awaited(self, ids: Collection[str]) -> list[str]:
        """Those of these calls that are over, or whose stream has come."""
        query = select(CallRow.id).where(
            CallRow.id.in_(ids), or_(CallRow.status.in_(TERMINAL_STATUSES), CallRow.model.is_not(None))
        )
        with self.transaction() as session:
            return list(session.scalars(query))

    def ask_soon(self, call_sid: str) -> None:
        """Have Twilio asked how a call stands, unless it is over; its process, if it lives, puts that off."""
        soon = update(CallRow).where(CallRow.call_sid == call_sid, GOES_ON)
        with self.transaction() as session:
            session.execute(soon.values(settle_at=_now() + ASK_SOON_AFTER))

    def note_status(
        self,
        call_sid: str,
        status: str,
        sequence_number: int | None,
        placed_id: str | None = None,
        on_over: Callable[[Session, str], None] | None = None,
    ) -> bool:
        """Take a status callback. True if it was news.

        Callbacks come late, twice and out of order: a later one is never overwritten by an earlier one,
        and the end of a call by nothing. ``placed_id`` finds a call whose SID we have not been told yet,
        since the first callback can outrun the answer to our own request. ``on_over`` is called in the
        transaction that notes the end of a call, with its SID.
        """
        this_call = _call(call_sid, placed_id)
        terminal = status in TERMINAL_STATUSES
        conditions = [this_call, or_(CallRow.status.not_in(TERMINAL_STATUSES), NOT_DIALLED)]
        values: dict[str, Any] = {"call_sid": call_sid, "status": status}
        if sequence_number is not None:
            values["status_sequence"] = sequence_number
        if terminal:
            values["ended_at"] = _now()
            values["settle_at"] = case(
                (CallRow.model.is_(None), null()),  # it had no stream: nothing more is to be asked about
                (CallRow.ended_at.is_(None), _now() + WRITTEN_WITHIN),
                else_=CallRow.settle_at,
            )
        else:
            values["ended_at"] = ENDED_AT_IF_DIALLED
            values["settle_at"] = case((NOT_DIALLED, _now() + NO_STREAM_AFTER), else_=CallRow.settle_at)
            newer: ColumnElement[bool] = CallRow.status_sequence.is_(None)
            if sequence_number is not None:
                newer = or_(newer, CallRow.status_sequence < sequence_number)
            conditions.append(newer)
        with self.transaction() as session:
            news = rows_changed(session, update(CallRow).where(*conditions).values(**values)) > 0
            if news and terminal and on_over is not None:
                on_over(session, call_sid)
            return news

    def note_answered_by(self, call_sid: str, answered_by: str, placed_id: str | None = None) -> bool:
        """Take the carrier's word of who answered. True if it was news: the first one stays.

        ``placed_id`` is as in ``note_status``.
        """
        with self.transaction() as session:
            note = update(CallRow).where(_call(call_sid, placed_id), CallRow.answered_by.is_(None))
            return rows_changed(session, note.values(call_sid=call_sid, answered_by=answered_by)) > 0

    def note_recording(self, call_sid: str, path: str, seconds: float | None) -> bool:
        """Write down where a call's recording is; false if there is no such call."""
        note = update(CallRow).where(CallRow.call_sid == call_sid)
        with self.transaction() as session:
            return rows_changed(session, note.values(recording_path=path, recording_seconds=seconds)) > 0

    def find_answered_by(self, call_sids: Collection[str]) -> dict[str, str]:
        """Who answered these calls, as far as it is known."""
        query = select(CallRow.call_sid, CallRow.answered_by).where(
            CallRow.call_sid.in_(call_sids), CallRow.answered_by.is_not(None)
        )
        with self.transaction() as session:
            return {sid: who for sid, who in session.execute(query) if sid and who}

    def note_end_reason(self, call_sid: str, reason: str) -> None:
        """Write down why a call is about to end. The first reason stays."""
        with self.transaction() as session:
            session.execute(
                update(CallRow)
                .where(CallRow.call_sid == call_sid, CallRow.end_reason.is_(None))
                .values(end_reason=reason)
            )

    def take_back_end_reason(self, call_sid: str, reason: str) -> None:
        """The call does not end for this reason after all."""
        with self.transaction() as session:
            session.execute(
                update(CallRow)
                .where(CallRow.call_sid == call_sid, CallRow.end_reason == reason)
                .values(end_reason=None)
            )

    # -- what has expired --------------------------------------------------------------------

    def sweep(self, session: Session, now: datetime) -> None:
        """Delete what has expired, at most once a minute in a process."""
        with self._sweep_lock:
            if time.monotonic() - self._swept_at < SWEEP_EVERY_S:
                return
            self._swept_at = time.monotonic()
        session.execute(delete(StreamTokenRow).where(StreamTokenRow.expires_at <= now))
        session.execute(delete(UpgradeTicketRow).where(UpgradeTicketRow.expires_at <= now))
        session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.expires_at <= now))
        session.execute(delete(AwayRow).where(AwayRow.expires_at <= now))


def answered_call(call: Admission | Particulars, at: datetime) -> dict[str, Any]:
    """The row of a call that was not dialled: it begins with its answer."""
    return {
        "id": call.call_sid,
        "call_sid": call.call_sid,
        "direction": call.direction,
        "agent": call.agent,
        "parameters": dict(call.parameters),
        "from_number": call.from_number,
        "to_number": call.to_number,
        "status": "in-progress",
        "created_at": at,
        "answered_at": at,
    }


def columns_of(admission: Admission) -> dict[str, Any]:
    """What a row holds of an admission: a column for each field, of its name."""
    return {**vars(admission), "parameters": dict(admission.parameters)}


def admission_of(row: Row[Any]) -> Admission:
    """The admission that a row holds."""
    return Admission(**{field.name: getattr(row, field.name) for field in fields(Admission)})


def _call(call_sid: str, placed_id: str | None) -> ColumnElement[bool]:
    """The row of a call, also of one that is not known by its SID yet."""
    if placed_id is None:
        return CallRow.call_sid == call_sid
    return or_(CallRow.call_sid == call_sid, and_(CallRow.id == placed_id, CallRow.call_sid.is_(None)))


def _now() -> datetime:
    return datetime.now(UTC)


def _sha256(text: str) -> str:
    # Half a surrogate pair can come out of JSON; it is no token of ours, but no reason to fall over.
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
