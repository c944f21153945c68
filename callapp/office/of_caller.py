"""What the office has of one person: handed out, and forgotten, by their phone number in E.164."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, update

from callapp.call_log import Store
from callapp.office.models import MessageRow, ReservationRow


def export(store: Store, number: str) -> dict[str, Any]:
    """Their messages and reservations, as what JSON is made of."""
    with store.transaction() as session:
        messages = session.scalars(select(MessageRow).where(MessageRow.phone == number))
        reservations = session.scalars(select(ReservationRow).where(ReservationRow.phone == number))
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


def forget(store: Store, number: str) -> None:
    """Delete their messages; their reservations stay, for the tables are taken, without name or number."""
    with store.transaction() as session:
        session.execute(delete(MessageRow).where(MessageRow.phone == number))
        session.execute(
            update(ReservationRow).where(ReservationRow.phone == number).values(name="", phone="")
        )
