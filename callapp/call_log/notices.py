"""What processes tell each other, in passing: a call's owner is asked for something, others watch.

The database is all that they share. Notices live for seconds, whether anybody has read them or not, so
there are never more than a handful. Raises as ``Store`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, select

from callapp.call_log.models import NoticeRow
from callapp.call_log.statements import insert_into, rows_changed, table_of
from callapp.call_log.store import Store

# Far more than a process takes to look, and than the clocks of two machines differ by.
LIVES_S = 15

_NOTICES = table_of(NoticeRow)
_UP = select(_NOTICES).where(_NOTICES.c.expires_at > bindparam("now"))


@dataclass(frozen=True)
class Notice:
    """What is told; one that is put up again under its key takes the place of the last."""

    key: str
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)


class Notices:
    """The notices that are up. Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def exchange(self, mine: Sequence[Notice] = ()) -> list[Notice]:
        """Put these up, and read all that are up."""
        now = datetime.now(UTC)
        with self._store.transaction() as session:
            if mine:
                session.execute(delete(NoticeRow).where(NoticeRow.expires_at <= now))
                until = now + timedelta(seconds=LIVES_S)
                rows = [
                    {"key": one.key, "kind": one.kind, "body": dict(one.body), "expires_at": until}
                    for one in mine
                ]
                put = insert_into(session, NoticeRow)
                session.execute(
                    put.on_conflict_do_update(
                        index_elements=["key"],
                        set_={"body": put.excluded["body"], "expires_at": put.excluded["expires_at"]},
                    ),
                    rows,
                )
            return [Notice(row.key, row.kind, row.body) for row in session.execute(_UP, {"now": now})]

    def find(self, key: str) -> Notice | None:
        """The one with this key, if it is up."""
        with self._store.transaction() as session:
            row = session.execute(select(_NOTICES).where(_NOTICES.c.key == key)).one_or_none()
        return None if row is None else Notice(row.key, row.kind, row.body)

    def take_down(self, key: str) -> bool:
        """Take one down; false if somebody else was faster."""
        with self._store.transaction() as session:
            return rows_changed(session, delete(NoticeRow).where(NoticeRow.key == key)) > 0
