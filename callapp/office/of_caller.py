"""What the office has of one person: handed out, and forgotten, by their phone number in E.164.

Theirs is what was written down in a call of theirs, and what has their number. That is as the model heard it:
callers say it as it is dialled at home.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import select

from callapp.call_log import Store
from callapp.office.models import MessageRow, ReservationRow
from callapp.phone_numbers import e164, region_of

Row = TypeVar("Row", MessageRow, ReservationRow)


def export(store: Store, number: str, call_sids: Collection[str]) -> dict[str, Any]:
    """Their messages and reservations, as what JSON is made of.

    Args:
        call_sids: their calls.
    """
    with store.transaction() as session:
        messages = _theirs(session.scalars(select(MessageRow)), number, call_sids)
        reservations = _theirs(session.scalars(select(ReservationRow)), number, call_sids)
        return {
            "messages": [
                {
                    "name": row.caller_name,
                    "for": row.for_whom,
                    "text": row.text,
                    "createdAt": row.created_at.isoformat(),
                }
                for row in messages
            ],
            "reservations": [
                {
                    "code": row.code,
                    "name": row.name,
                    "day": row.day.isoformat(),
                    "startsAt": row.starts_at.isoformat(),
                    "partySize": row.party_size,
                    "status": row.status,
                }
                for row in reservations
            ],
        }


def forget(store: Store, number: str, call_sids: Collection[str]) -> None:
    """Delete their messages; their reservations stay, for the tables are taken, without name or number."""
    with store.transaction() as session:
        for message in _theirs(session.scalars(select(MessageRow)), number, call_sids):
            session.delete(message)
        for reservation in _theirs(session.scalars(select(ReservationRow)), number, call_sids):
            reservation.name = reservation.phone = ""


def _theirs(rows: Iterable[Row], number: str, call_sids: Collection[str]) -> Iterator[Row]:
    calls = frozenset(call_sids)
    at_home = region_of(number)
    return (row for row in rows if row.call_sid in calls or e164(row.phone, at_home) == number)
