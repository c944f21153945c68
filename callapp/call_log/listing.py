"""Which calls are asked for, and how they are handed out: a page at a time, newest first."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, or_, select, tuple_

from callapp.call_log.documents import CallPage
from callapp.call_log.models import CallRow, UtteranceRow
from callapp.call_log.reading import as_calls
from callapp.call_log.store import Store
from callapp.phone_numbers import without_spaces

# Who knows a number from home begins with a 0 that it has not in E.164.
_NUMBER = re.compile(r"0*(\+?[0-9]+)")


class BadCursor(ValueError):
    """A cursor that no page of ours has handed out."""


@dataclass(frozen=True)
class Wanted:
    """Which calls are asked for; ``None`` asks for any."""

    status: str | None = None
    direction: str | None = None
    agent: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: str | None = None  # somewhere in what was said, or in the numbers


def list_calls(store: Store, wanted: Wanted, limit: int, cursor: str | None = None) -> CallPage:
    """Calls, newest first, a page at a time.

    Args:
        cursor: where the page begins: the ``next_cursor`` of the one before.

    Raises:
        BadCursor: it is none of ours.
        StoreUnavailable: the database does not answer.
    """
    query = _filtered(wanted).order_by(CallRow.created_at.desc(), CallRow.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(CallRow.created_at, CallRow.id) < tuple_(*_read_cursor(cursor)))
    with store.reading() as session:
        rows = session.scalars(query).all()
        page = rows[:limit]
        more = _cursor(page[-1]) if len(rows) > limit else None
        return CallPage(calls=as_calls(session, page), next_cursor=more)


def _filtered(wanted: Wanted) -> Select[CallRow]:
    equal = (
        (CallRow.status, wanted.status),
        (CallRow.direction, wanted.direction),
        (CallRow.agent, wanted.agent),
        (CallRow.from_number, wanted.from_number),
        (CallRow.to_number, wanted.to_number),
    )
    query = select(CallRow).where(*(column == value for column, value in equal if value is not None))
    if wanted.since is not None:
        query = query.where(CallRow.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(CallRow.created_at < wanted.until)
    if wanted.words is not None:
        said = select(UtteranceRow.call_sid).where(UtteranceRow.text.icontains(wanted.words, autoescape=True))
        digits = _NUMBER.fullmatch(without_spaces(wanted.words))
        number = digits[1] if digits else wanted.words
        query = query.where(
            or_(
                CallRow.call_sid.in_(said),
                CallRow.call_sid == wanted.words,
                CallRow.from_number.contains(number, autoescape=True),
                CallRow.to_number.contains(number, autoescape=True),
            )
        )
    return query


def _cursor(row: CallRow) -> str:
    return urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        created_at, _, row_id = urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        moment = datetime.fromisoformat(created_at)
    except (ValueError, binascii.Error, UnicodeError) as error:
        raise BadCursor(cursor) from error
    if moment.tzinfo is None or "\0" in row_id:
        raise BadCursor(cursor)
    return moment, row_id
