"""What is to be forgotten: a call, old calls, the calls of one person."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import String, cast, delete, or_, select, update

from callapp.call_log.models import (
    AwayRow,
    CallEventRow,
    CallRow,
    JobRow,
    RecordingPartRow,
    StreamTokenRow,
    ToolRunRow,
    TurnRow,
    UsageRow,
    UtteranceRow,
)
from callapp.call_log.statements import GOES_ON
from callapp.call_log.store import Store

# A call that has ended but of which nobody said so is over by then: its process was killed.
ENDED_FOR_SURE = timedelta(minutes=10)
# So many calls are deleted in one transaction: live calls write to the same database.
AT_ONCE = 200
# The calls first: who writes down what belongs to one holds on to it meanwhile, and is waited for.
_TABLES = (
    CallRow,
    StreamTokenRow,
    RecordingPartRow,
    AwayRow,
    UtteranceRow,
    TurnRow,
    ToolRunRow,
    UsageRow,
    CallEventRow,
    JobRow,
)


def delete_calls(store: Store, call_sids: Collection[str]) -> None:
    """Delete calls with everything that the database has of them.

    What their processes still tell of them afterwards is not written: it has no call to belong to.

    Raises:
        StoreUnavailable: the database does not answer; some may be gone already.
    """
    for some in _batches(call_sids):
        with store.transaction() as session:
            for table in _TABLES:
                session.execute(delete(table).where(table.call_sid.in_(some)))


def going_on(store: Store, call_sids: Collection[str], longest_s: float) -> list[str]:
    """Those of some calls that go on: they write more, so there is no forgetting them yet.

    Args:
        longest_s: how long a call may last.
    """
    since = datetime.now(UTC) - timedelta(seconds=longest_s) - ENDED_FOR_SURE
    found: list[str] = []
    for some in _batches(call_sids):
        query = select(CallRow.call_sid).where(
            CallRow.call_sid.in_(some), GOES_ON, CallRow.created_at > since
        )
        with store.transaction() as session:
            found += [call_sid for call_sid in session.scalars(query) if call_sid is not None]
    return found


def calls_before(store: Store, moment: datetime) -> list[str]:
    """The calls that began before a moment."""
    with store.transaction() as session:
        found = session.scalars(select(CallRow.call_sid).where(CallRow.created_at < moment))
        return [call_sid for call_sid in found if call_sid is not None]


def delete_unplaced(store: Store, moment: datetime) -> None:
    """Delete what is known of calls from before a moment that never came to be, and so have no SID."""
    with store.transaction() as session:
        session.execute(delete(CallRow).where(CallRow.created_at < moment, CallRow.call_sid.is_(None)))


def delete_unplaced_to(store: Store, number: str) -> None:
    """Delete what is known of calls to a number that never came to be; one may be being dialled just now."""
    over = or_(CallRow.ended_at.is_not(None), CallRow.created_at < datetime.now(UTC) - ENDED_FOR_SURE)
    with store.transaction() as session:
        session.execute(delete(CallRow).where(CallRow.to_number == number, CallRow.call_sid.is_(None), over))


def delete_from_parameters(store: Store, number: str) -> None:
    """Delete a number from the calls of those who were to talk with its owner: there it is a parameter.

    A webhook that has yet to tell of such a call is written anew when it is sent again.
    """
    holds_it = cast(CallRow.parameters, String).contains(number, autoescape=True)
    tells_it = JobRow.body.contains(number, autoescape=True)
    with store.transaction() as session:
        for call in session.scalars(select(CallRow).where(holds_it)):
            call.parameters = {
                name: "" if value == number else value for name, value in call.parameters.items()
            }
        session.execute(update(JobRow).where(tells_it).values(body=None))


def calls_of(store: Store, number: str) -> list[str]:
    """The calls from and to a number, oldest first."""
    query = (
        select(CallRow.call_sid)
        .where(or_(CallRow.from_number == number, CallRow.to_number == number))
        .order_by(CallRow.created_at)
    )
    with store.transaction() as session:
        return [call_sid for call_sid in session.scalars(query) if call_sid is not None]


def _batches(call_sids: Collection[str]) -> Iterator[list[str]]:
    sids = list(call_sids)
    for start in range(0, len(sids), AT_ONCE):
        yield sids[start : start + AT_ONCE]
