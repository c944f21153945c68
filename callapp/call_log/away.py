"""Calls that have left their stream: known to all processes, for any may have to bring one back.

A row lives from the moment the carrier is asked to take the call away until its stream is back, the
call is over, or it expires. Who decides what becomes of the call is settled here: a transfer is taken,
or the caller is on the way back, but never both, unless it is overruled from outside. Raises as ``Store``
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Executable, Row, and_, bindparam, delete, insert, select, update

from callapp.call_log.models import AwayRow
from callapp.call_log.records import AwayCall
from callapp.call_log.statements import rows_changed, table_of
from callapp.call_log.store import Store, admission_of, columns_of

_AWAY = table_of(AwayRow)
# A call that is away, with the parameters that `_of` gives.
_IS_AWAY = and_(_AWAY.c.call_sid == bindparam("of_call"), _AWAY.c.expires_at > bindparam("now"))
_FIND = select(_AWAY).where(_IS_AWAY)
# Until it is over for us.
_CHANGE = update(_AWAY).where(_IS_AWAY, _AWAY.c.outcome.is_(None))
_DECIDE = _CHANGE.where(_AWAY.c.coming_back.is_(False))
_SEND_BACK = _DECIDE.values(coming_back=True).returning(_AWAY)
_TAKE = delete(_AWAY).where(_IS_AWAY).returning(_AWAY)


class CallsAway:
    """The rows of the calls that are away. Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, call: AwayCall, lives_s: float) -> None:
        """A call is about to leave. A row of an earlier trip is replaced."""
        now = datetime.now(UTC)
        this_or_expired = (AwayRow.call_sid == call.admission.call_sid) | (AwayRow.expires_at <= now)
        with self._store.transaction() as session:
            session.execute(delete(AwayRow).where(this_or_expired))
            session.execute(
                insert(AwayRow).values(
                    **columns_of(call.admission),
                    trip=dict(call.trip),
                    said=[list(line) for line in call.said],
                    elapsed_ms=call.elapsed_ms,
                    spent_usd=call.spent_usd,
                    room=call.room,
                    colleague_sid=call.colleague_sid,
                    coming_back=False,
                    why=call.why,
                    outcome=call.outcome,
                    expires_at=now + timedelta(seconds=lives_s),
                )
            )

    def find(self, call_sid: str) -> AwayCall | None:
        """The call, if it is away."""
        return self._one(_FIND, call_sid)

    def note_colleague(self, call_sid: str, colleague_sid: str) -> bool:
        """The colleague of a warm transfer is being called; false if nobody waits for them any more."""
        return self._change(_CHANGE, call_sid, colleague_sid=colleague_sid)

    def note_said(self, call_sid: str, said: Sequence[Sequence[Any]]) -> None:
        """What was said has grown since the call left."""
        self._change(_CHANGE, call_sid, said=[list(line) for line in said])

    def send_back(self, call_sid: str, why: str) -> AwayCall | None:
        """Decide that the caller comes back; ``None`` if something was decided already."""
        return self._one(_SEND_BACK, call_sid, why=why)

    def decide(self, call_sid: str, outcome: str) -> bool:
        """Decide that the call is over for us, with this end reason; false if it was decided otherwise."""
        return self._change(_DECIDE, call_sid, outcome=outcome)

    def overrule(self, call_sid: str, outcome: str) -> bool:
        """As ``decide``, also for a caller who is on the way back, and is stopped there."""
        return self._change(_CHANGE, call_sid, outcome=outcome)

    def take(self, call_sid: str) -> AwayCall | None:
        """The call's stream is back, or the call is over: it is away no more."""
        return self._one(_TAKE, call_sid)

    def _one(self, statement: Executable, call_sid: str, **changes: Any) -> AwayCall | None:
        with self._store.transaction() as session:
            row = session.execute(statement, _of(call_sid, **changes)).one_or_none()
        return None if row is None else _call(row)

    def _change(self, statement: Executable, call_sid: str, **changes: Any) -> bool:
        with self._store.transaction() as session:
            return rows_changed(session, statement, _of(call_sid, **changes)) > 0


def _of(call_sid: str, **changes: Any) -> dict[str, Any]:
    """The parameters of a statement about a call that is away, and what it changes."""
    return {"of_call": call_sid, "now": datetime.now(UTC), **changes}


def _call(row: Row[Any]) -> AwayCall:
    return AwayCall(
        admission=admission_of(row),
        trip=row.trip,
        said=row.said,
        elapsed_ms=row.elapsed_ms,
        spent_usd=row.spent_usd,
        room=row.room,
        colleague_sid=row.colleague_sid,
        why=row.why,
        outcome=row.outcome,
    )
