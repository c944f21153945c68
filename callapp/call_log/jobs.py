"""What is to be done about calls, in the database: it outlives the process that thought of it.

A job is put in the transaction of what it follows from, so that neither is there without the other. Of any
number of processes one at a time has it: claiming a job puts off the moment from which another may.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from callapp.call_log.models import JobRow
from callapp.call_log.statements import insert_into
from callapp.call_log.store import Store


@dataclass(frozen=True)
class Job:
    """A job as one who claimed it sees it. ``attempts`` counts this one."""

    id: str
    kind: str
    call_sid: str
    created_at: datetime
    attempts: int
    body: str | None

    def age_s(self) -> float:
        """Seconds since it was put."""
        return (datetime.now(UTC) - self.created_at).total_seconds()


def put_job(session: Session, kind: str, call_sid: str, *, after_s: float = 0.0) -> None:
    """Have something done about a call, in a transaction under way. A second time only makes it sooner."""
    now = datetime.now(UTC)
    statement = insert_into(session, JobRow).values(
        id=uuid.uuid4().hex,
        kind=kind,
        call_sid=call_sid,
        created_at=now,
        due_at=now + timedelta(seconds=after_s),
        attempts=0,
    )
    sooner = statement.excluded.due_at
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[JobRow.call_sid, JobRow.kind],
            set_={"due_at": case((sooner < JobRow.due_at, sooner), else_=JobRow.due_at)},
            where=JobRow.attempts == 0,  # one that waits for its next attempt has its reason to
        )
    )


class JobQueue:
    """Hands out jobs that are due. Safe from any thread; raises ``StoreUnavailable``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, kinds: Collection[str], lease_s: float) -> Job | None:
        """Take the job that has been due for longest; nobody else gets it for ``lease_s`` seconds."""
        now = datetime.now(UTC)
        due = (
            select(JobRow)
            .where(JobRow.kind.in_(kinds), JobRow.due_at <= now)
            .order_by(JobRow.due_at)
            .limit(1)
            # On SQLite a transaction has the database to itself.
            .with_for_update(skip_locked=True)
        )
        with self._store.transaction() as session:
            row = session.scalars(due).one_or_none()
            if row is None:
                return None
            row.due_at = now + timedelta(seconds=lease_s)
            row.attempts += 1
            return Job(row.id, row.kind, row.call_sid, row.created_at, row.attempts, row.body)

    def keep_body(self, job: Job, body: str) -> None:
        """Settle what is to be sent, so that every attempt sends the same."""
        self._change(job, body=body)

    def finish(self, job: Job, *, done: bool = True) -> None:
        """It is over: done, or given up."""
        self._change(job, due_at=None, body=None, outcome="done" if done else "failed")

    def put_off(self, job: Job, by_s: float) -> None:
        """It did not work: try again later."""
        self._change(job, due_at=datetime.now(UTC) + timedelta(seconds=by_s))

    def _change(self, job: Job, **values: Any) -> None:
        with self._store.transaction() as session:
            session.execute(update(JobRow).where(JobRow.id == job.id).values(**values))
