"""What statements are made of. Those that every call executes are made once: that takes as long as ten rows.

For the same reason they are about tables, and not about rows as objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import Column, ColumnElement, CursorResult, Executable, Select, Table, and_, bindparam, func
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from callapp.call_log.models import Base, CallRow
from callapp.call_log.records import TERMINAL_STATUSES

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

    Insert = sqlite.Insert | postgresql.Insert
SelectRows = TypeVar("SelectRows", bound=Select[Any])

GOES_ON = and_(CallRow.status.not_in(TERMINAL_STATUSES), CallRow.ended_at.is_(None))
"""Whether a call does, as far as has been told; see ``Call.goes_on``."""


def table_of(row: type[Base]) -> Table:
    """The table in which such rows are."""
    return cast(Table, row.__table__)


def insert_into(session: Session, row: type[Base]) -> Insert:
    """An ``INSERT`` that can say what to do about a row that is there already; both databases can."""
    return insert_for(dialect_of(session), row)


def insert_for(dialect: str, row: type[Base]) -> Insert:
    """As ``insert_into``, for the database that speaks this dialect."""
    if dialect == "sqlite":
        return sqlite.insert(table_of(row))
    from sqlalchemy.dialects import postgresql  # and asyncio with it: half of what loading SQLAlchemy takes

    return postgresql.insert(table_of(row))


def insert_new(session: Session, row: type[Base]) -> Insert:
    """An ``INSERT``, made once, that leaves a row alone which is there already."""
    return _insert_new(dialect_of(session), row)


def dialect_of(session: Session) -> str:
    """Which database it is."""
    return session.get_bind().dialect.name


def held(rows: SelectRows) -> SelectRows:
    """A query whose rows nobody deletes before the transaction is over; changed they may be.

    On SQLite a transaction has the database to itself.
    """
    return rows.with_for_update(read=True, key_share=True)


def rows_changed(session: Session, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
    """Execute an ``UPDATE`` or a ``DELETE``; how many rows it found."""
    return cast("CursorResult[Any]", session.execute(statement, values)).rowcount


def unless_known(column: Column[object]) -> ColumnElement[object]:
    """What the column holds, or else the parameter ``new_`` and its name."""
    return func.coalesce(column, bindparam(f"new_{column.name}", type_=column.type))


@cache
def _insert_new(dialect: str, row: type[Base]) -> Insert:
    return insert_for(dialect, row).on_conflict_do_nothing()
