"""The tables of the built-in agents, in the same database as the call log's."""

from __future__ import annotations

from datetime import date, datetime, time

from sqlalchemy.orm import Mapped, mapped_column

from callapp.call_log.models import Base


class ReservationRow(Base):
    """A reservation. ``day`` and ``starts_at`` are by the restaurant's clock."""

    __tablename__ = "reservations"

    code: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date]
    starts_at: Mapped[time]
    party_size: Mapped[int]
    table_number: Mapped[int]
    name: Mapped[str]
    phone: Mapped[str]
    status: Mapped[str]  # booked, cancelled
    call_sid: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class TableSlotRow(Base):
    """Half an hour of a table that is taken. The key is what keeps two calls from the same table."""

    __tablename__ = "table_slots"

    day: Mapped[date] = mapped_column(primary_key=True)
    slot: Mapped[time] = mapped_column(primary_key=True)
    table_number: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(index=True)


class MessageRow(Base):
    """A message that a caller left for somebody."""

    __tablename__ = "messages"

    id: Mapped[str] = mapped_column(primary_key=True)
    for_whom: Mapped[str]
    caller_name: Mapped[str]
    phone: Mapped[str]
    text: Mapped[str]
    agent: Mapped[str]
    call_sid: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[datetime]
