"""Where the recordings of calls are, in the parts in which they were made."""

from __future__ import annotations

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from callapp.call_log.models import CallRow, RecordingPartRow
from callapp.call_log.statements import insert_new, rows_changed
from callapp.call_log.store import Store
from callapp.conversation.facts import Recorded


def write_part(session: Session, call_sid: str, recorded: Recorded) -> bool:
    """Write down a part of a call's recording, once; false if there is no such call."""
    until_s = round(recorded.from_ms / 1000 + recorded.seconds, 3)
    known = CallRow.recording_seconds
    note = (
        update(CallRow)
        .where(CallRow.call_sid == call_sid)
        .values(
            recording_path=func.coalesce(CallRow.recording_path, recorded.path),
            recording_seconds=case((known > until_s, known), else_=until_s),
        )
    )
    if not rows_changed(session, note):
        return False
    part = {"call_sid": call_sid, "from_ms": recorded.from_ms, "path": recorded.path}
    session.execute(insert_new(session, RecordingPartRow), part)
    return True


def note_part(store: Store, call_sid: str, recorded: Recorded) -> bool:
    """The same in a transaction of its own.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    with store.transaction() as session:
        return write_part(session, call_sid, recorded)


def recording_path(store: Store, call_sid: str) -> str | None:
    """Where the recording of a call is kept, or the first part of it, if there is one.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    with store.transaction() as session:
        return _path(session, call_sid)


def recording_parts(store: Store, call_sid: str) -> list[tuple[int, str]]:
    """The parts of a call's recording in order, each after the millisecond of the call at which it begins."""
    parts = select(RecordingPartRow).where(RecordingPartRow.call_sid == call_sid)
    with store.transaction() as session:
        found = [(row.from_ms, row.path) for row in session.scalars(parts.order_by(RecordingPartRow.from_ms))]
        if found:
            return found
        path = _path(session, call_sid)
        return [] if path is None else [(0, path)]


def _path(session: Session, call_sid: str) -> str | None:
    return session.scalar(select(CallRow.recording_path).where(CallRow.call_sid == call_sid))
