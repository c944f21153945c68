"""Calls that never came to be: dials that failed, browsers that stayed away.

Raises as ``Database`` does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, case, null, select, update

from callapp.call_log.database import Database
from callapp.call_log.models import CallRow
from callapp.call_log.records import TERMINAL_STATUSES

# Of a call of which no stream comes nobody here sees the end, and the carrier's word of it may get lost: so
# long after the dial or the answer the carrier is asked, as of any call that is over. One that it cannot be
# asked about has not come to be by then.
NO_STREAM_AFTER = timedelta(minutes=10)
AT_ONCE = 20

# A dial that failed, as far as we know; of a call that has a SID, such a word is the carrier's.
NOT_DIALLED = and_(CallRow.call_sid.is_(None), CallRow.status.in_(TERMINAL_STATUSES))
ENDED_AT_IF_DIALLED = case((NOT_DIALLED, null()), else_=CallRow.ended_at)
KNOWN_TO_CARRIER = and_(CallRow.call_sid.is_not(None), CallRow.direction != "browser")


def dial_failed(database: Database, placed_id: str) -> None:
    """Twilio did not take the dial, or is silent: the call never was, unless we hear of it after all."""
    with database.transaction() as session:
        session.execute(
            update(CallRow)
            .where(CallRow.id == placed_id, CallRow.call_sid.is_(None))
            .values(status="failed", ended_at=datetime.now(UTC), settle_at=None)
        )


def close_due(database: Database) -> None:
    """Close the calls that are due and that the carrier cannot be asked about."""
    query = (
        select(CallRow.id, CallRow.direction)
        .where(CallRow.settle_at <= datetime.now(UTC), ~KNOWN_TO_CARRIER)
        .limit(AT_ONCE)
    )
    with database.transaction() as session:
        unknown = session.execute(query).all()
    for call_id, direction in unknown:
        if direction == "browser":
            _stayed_away(database, call_id)
        else:
            dial_failed(database, call_id)


def _stayed_away(database: Database, call_sid: str) -> None:
    """The stream of a browser's call has not come: there was none, so it took no time."""
    with database.transaction() as session:
        session.execute(
            update(CallRow)
            .where(
                CallRow.call_sid == call_sid,
                CallRow.model.is_(None),
                CallRow.status.not_in(TERMINAL_STATUSES),
            )
            .values(status="canceled", ended_at=CallRow.answered_at, settle_at=None)
        )
