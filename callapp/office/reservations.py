"""The reservation book of a small restaurant.

Its rules stand in the constants below: change them, or write tools for a book of your own. A guest
keeps a table for two hours, so a reservation takes four half hours of one table. Each of them is a
row whose key is day, half hour and table: of two calls that want the last table, the database lets
one have it, whichever process or machine they are on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from callapp.call_log import Store, Taken
from callapp.errors import ToolError
from callapp.office.models import ReservationRow, TableSlotRow
from callapp.tools.declare import Provided

# Japan has had no daylight saving time since 1951, so no time zone data is needed.
TOKYO = timezone(timedelta(hours=9), "Asia/Tokyo")
# Open every day. The last guests sit down at `LAST_SEATING`.
OPENS = time(17, 0)
LAST_SEATING = time(20, 30)
SLOT_MINUTES = 30
SLOTS_OF_A_STAY = 4
# Table number to seats. A party gets the smallest table that is free and large enough.
TABLES = {1: 2, 2: 2, 3: 4, 4: 4, 5: 6}
LARGEST_PARTY = max(TABLES.values())
FARTHEST_DAYS = 60

_ALTERNATIVES = 3
# Each time another call takes the table that was free a moment ago, one choice less is left.
_TRIES = 2 * len(TABLES)


@dataclass(frozen=True)
class Wish:
    """What a guest asks for: when, and for how many."""

    day: date
    at: time
    party_size: int


@dataclass(frozen=True)
class Reservation:
    """A table that is kept for somebody; ``code`` is what they name it by."""

    code: str
    wish: Wish
    name: str
    phone: str


class Reservations(Provided):
    """The book. Safe from any thread, and from several processes at once.

    What cannot be done is a ``ToolError`` whose words tell the model why, and what could be.

    Args:
        store: where it is kept.
        clock: the present moment, aware of its zone.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._clock = clock

    def is_free(self, wish: Wish) -> bool:
        """Whether there is a table. Nothing is promised: another call may take it."""
        self._check(wish)
        with self._store.transaction() as session:
            return bool(_free_tables(_taken(session, wish.day), wish))

    def other_times(self, wish: Wish) -> list[time]:
        """The times of the same day nearest to what was wished for, at which there is a table."""
        with self._store.transaction() as session:
            taken = _taken(session, wish.day)
        now = self._clock().astimezone(TOKYO)
        free = [
            at
            for at in _starts()
            if datetime.combine(wish.day, at, TOKYO) > now
            and _free_tables(taken, Wish(wish.day, at, wish.party_size))
        ]
        nearest = sorted(free, key=lambda at: abs(_minutes(at) - _minutes(wish.at)))
        return sorted(nearest[:_ALTERNATIVES])

    def book(self, wish: Wish, *, name: str, phone: str, call_sid: str) -> Reservation:
        """Keep a table. The same wish once more, in the same call and name, changes nothing."""
        self._check(wish)

        def write(session: Session) -> Reservation:
            before = session.scalars(
                select(ReservationRow).where(
                    ReservationRow.call_sid == call_sid,
                    ReservationRow.status == "booked",
                    ReservationRow.day == wish.day,
                    ReservationRow.starts_at == wish.at,
                    ReservationRow.party_size == wish.party_size,
                    ReservationRow.name == name,
                )
            ).first()
            if before is not None:
                return _read(before)
            now = self._clock()
            row = ReservationRow(
                code=f"{secrets.randbelow(1_000_000):06}",
                name=name,
                phone=phone,
                status="booked",
                call_sid=call_sid,
                created_at=now,
                changed_at=now,
            )
            self._take_table(session, row, wish)
            session.add(row)
            return _read(row)

        return self._write(write, wish)

    def change(
        self, code: str, *, day: date | None = None, at: time | None = None, party_size: int | None = None
    ) -> Reservation:
        """Move a reservation; what is not given stays. If it cannot be moved, it stays as it was."""
        wish = self._find(code).wish
        wish = Wish(day or wish.day, at or wish.at, wish.party_size if party_size is None else party_size)
        self._check(wish)

        def write(session: Session) -> Reservation:
            row = _booked(session, code)
            session.execute(delete(TableSlotRow).where(TableSlotRow.code == row.code))
            self._take_table(session, row, wish)
            row.changed_at = self._clock()
            return _read(row)

        return self._write(write, wish)

    def cancel(self, code: str) -> Reservation:
        """Give the table back. The reservation is kept as a cancelled one."""
        with self._store.transaction() as session:
            row = _booked(session, code)
            session.execute(delete(TableSlotRow).where(TableSlotRow.code == row.code))
            row.status = "cancelled"
            row.changed_at = self._clock()
            return _read(row)

    def _find(self, code: str) -> Reservation:
        with self._store.transaction() as session:
            return _read(_booked(session, code))

    def _check(self, wish: Wish) -> None:
        """Refuse what no table could be kept for, whatever else is in the book."""
        now = self._clock().astimezone(TOKYO)
        if wish.party_size < 1:
            raise ToolError("A table is kept for 1 person at least. Ask how many people come.")
        if wish.party_size > LARGEST_PARTY:
            raise ToolError(f"The largest table seats {LARGEST_PARTY}. Offer a call back for larger parties.")
        if wish.at not in _starts():
            raise ToolError(
                f"Tables are kept from {OPENS:%H:%M} to {LAST_SEATING:%H:%M}, on the hour and the half "
                "hour, every day. Ask for another time."
            )
        if datetime.combine(wish.day, wish.at, TOKYO) <= now:
            raise ToolError(f"That is past: it is {now:%Y-%m-%d %H:%M} now. Ask for the date once more.")
        if wish.day > now.date() + timedelta(days=FARTHEST_DAYS):
            raise ToolError(f"Reservations are taken up to {FARTHEST_DAYS} days ahead. Ask for another day.")

    def _write(self, write: Callable[[Session], Reservation], wish: Wish) -> Reservation:
        """Do it in one transaction; when another call was faster, look again what is left."""
        for _ in range(_TRIES):
            try:
                with self._store.transaction() as session:
                    reservation = write(session)
                    session.flush()
            except Taken:
                continue
            return reservation
        raise _NoTable(wish)

    def _take_table(self, session: Session, row: ReservationRow, wish: Wish) -> None:
        free = _free_tables(_taken(session, wish.day), wish)
        if not free:
            raise _NoTable(wish)
        row.day, row.starts_at, row.party_size = wish.day, wish.at, wish.party_size
        row.table_number = free[0]
        # In order of time, so that two calls wait for each other in the same order.
        session.add_all(
            TableSlotRow(day=wish.day, slot=slot, table_number=free[0], code=row.code)
            for slot in _slots(wish.at)
        )


class _NoTable(ToolError):
    """Everything that would do is taken."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(
            f"There is no table for {wish.party_size} on {wish.day} at {wish.at:%H:%M}. "
            "Use check_availability to find another time."
        )


def _booked(session: Session, code: str) -> ReservationRow:
    row = session.get(ReservationRow, code, with_for_update=True)
    if row is None or row.status != "booked":
        raise ToolError("There is no reservation with this code. Ask for the code once more, digit by digit.")
    return row


def _read(row: ReservationRow) -> Reservation:
    return Reservation(row.code, Wish(row.day, row.starts_at, row.party_size), row.name, row.phone)


def _taken(session: Session, day: date) -> set[tuple[time, int]]:
    """The half hours of that day that are taken, with their tables."""
    rows = session.execute(
        select(TableSlotRow.slot, TableSlotRow.table_number).where(TableSlotRow.day == day)
    )
    return {(slot, table) for slot, table in rows}


def _free_tables(taken: set[tuple[time, int]], wish: Wish) -> list[int]:
    """The tables that would do, the smallest first."""
    return [
        table
        for table, seats in sorted(TABLES.items(), key=lambda item: item[1])
        if seats >= wish.party_size and not any((slot, table) in taken for slot in _slots(wish.at))
    ]


def _starts() -> list[time]:
    """When guests may sit down."""
    count = (_minutes(LAST_SEATING) - _minutes(OPENS)) // SLOT_MINUTES
    return list(_from(OPENS, count + 1))


def _slots(at: time) -> list[time]:
    """The half hours that guests stay who come at this time."""
    return list(_from(at, SLOTS_OF_A_STAY))


def _from(at: time, count: int) -> Iterable[time]:
    minutes = _minutes(at)
    for step in range(count):
        hour, minute = divmod(minutes + step * SLOT_MINUTES, 60)
        yield time(hour, minute)


def _minutes(at: time) -> int:
    return at.hour * 60 + at.minute
