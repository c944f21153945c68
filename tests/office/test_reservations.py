"""The reservation book: its rules, and that no table is given away twice."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, time

import pytest
from sqlalchemy import select

from callapp.call_log import Store
from callapp.errors import ToolError
from callapp.office.models import ReservationRow, TableSlotRow
from callapp.office.reservations import TABLES, TOKYO, Reservation, Reservations, Wish

# It is past five in the morning in Tokyo, and still yesterday in UTC.
NOW = datetime(2026, 11, 23, 20, 5, tzinfo=UTC)
TODAY = date(2026, 11, 24)
FRIDAY = date(2026, 11, 27)
SEVEN = time(19, 0)


@pytest.fixture
def book(store: Store) -> Reservations:
    return Reservations(store, clock=lambda: NOW)


def reserve(book: Reservations, wish: Wish, name: str = "田中") -> Reservation:
    return book.book(wish, name=name, phone="+819012345678", call_sid=f"CA-{name}")


def slots(store: Store) -> list[TableSlotRow]:
    with store.transaction() as session:
        return list(session.scalars(select(TableSlotRow)))


def test_a_table_is_booked_with_a_code_of_six_digits(book: Reservations, store: Store) -> None:
    kept = reserve(book, Wish(FRIDAY, SEVEN, 2))
    assert len(kept.code) == 6
    assert kept.code.isdecimal()
    with store.transaction() as session:
        row = session.get_one(ReservationRow, kept.code)
        assert (row.day, row.starts_at, row.party_size, row.name) == (FRIDAY, SEVEN, 2, "田中")
        assert (row.status, row.phone, row.call_sid) == ("booked", "+819012345678", "CA-田中")
    assert sorted(slot.slot for slot in slots(store)) == [time(19), time(19, 30), time(20), time(20, 30)]


def test_a_party_gets_the_smallest_table_that_is_free(book: Reservations, store: Store) -> None:
    for name in "abc":
        reserve(book, Wish(FRIDAY, SEVEN, 2), name)
    assert {TABLES[slot.table_number] for slot in slots(store)} == {2, 4}
    assert len({slot.table_number for slot in slots(store)}) == 3


def test_when_all_is_taken_the_nearest_times_are_offered(book: Reservations) -> None:
    reserve(book, Wish(FRIDAY, SEVEN, 6))
    wish = Wish(FRIDAY, SEVEN, 6)
    assert not book.is_free(wish)
    assert book.other_times(wish) == [time(17, 0)], "the guests of seven o'clock stay until nine"
    with pytest.raises(ToolError, match="no table for 6 on 2026-11-27 at 19:00"):
        reserve(book, wish, "佐藤")


def test_a_table_is_free_again_after_two_hours(book: Reservations) -> None:
    reserve(book, Wish(FRIDAY, time(17, 0), 6))
    assert not book.is_free(Wish(FRIDAY, time(18, 30), 6))
    assert book.is_free(Wish(FRIDAY, SEVEN, 6))


def test_the_same_wish_of_the_same_call_is_one_reservation(book: Reservations, store: Store) -> None:
    """Models repeat a call when they are not sure that it has worked."""
    first = reserve(book, Wish(FRIDAY, SEVEN, 2))
    assert reserve(book, Wish(FRIDAY, SEVEN, 2)) == first
    assert len(slots(store)) == 4


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (Wish(FRIDAY, SEVEN, 7), "The largest table seats 6"),
        (Wish(FRIDAY, SEVEN, 0), "1 person at least. Ask how many people come"),
        (Wish(FRIDAY, time(12, 0), 2), "Tables are kept from 17:00 to 20:30"),
        (Wish(FRIDAY, time(21, 0), 2), "Tables are kept from 17:00 to 20:30"),
        (Wish(FRIDAY, time(19, 10), 2), "on the hour and the half"),
        (Wish(date(2026, 11, 23), SEVEN, 2), "That is past: it is 2026-11-24 05:05 now"),
        (Wish(date(2027, 1, 24), SEVEN, 2), "up to 60 days ahead"),
    ],
)
def test_what_cannot_be_is_refused_with_what_could(book: Reservations, wish: Wish, told: str) -> None:
    with pytest.raises(ToolError, match=told):
        book.is_free(wish)
    with pytest.raises(ToolError, match=told):
        reserve(book, wish)


def test_today_is_by_the_clock_of_tokyo(store: Store) -> None:
    evening = datetime(2026, 11, 24, 18, 40, tzinfo=TOKYO)
    book = Reservations(store, clock=lambda: evening)
    assert book.is_free(Wish(TODAY, SEVEN, 2))
    with pytest.raises(ToolError, match="That is past"):
        book.is_free(Wish(TODAY, time(18, 30), 2))
    reserve(book, Wish(TODAY, time(20, 30), 6))
    assert book.other_times(Wish(TODAY, time(20, 30), 6)) == [], "what is past is not offered"


def test_a_change_moves_the_table(book: Reservations, store: Store) -> None:
    kept = reserve(book, Wish(FRIDAY, SEVEN, 6))
    moved = book.change(kept.code, at=time(19, 30))
    assert moved == Reservation(kept.code, Wish(FRIDAY, time(19, 30), 6), kept.name, kept.phone)
    assert {slot.slot for slot in slots(store)} == {time(19, 30), time(20), time(20, 30), time(21)}
    assert book.change(kept.code, day=TODAY, party_size=2).wish == Wish(TODAY, time(19, 30), 2)


def test_a_change_that_fails_leaves_the_reservation_as_it_was(book: Reservations, store: Store) -> None:
    reserve(book, Wish(TODAY, SEVEN, 6), "佐藤")
    kept = reserve(book, Wish(FRIDAY, SEVEN, 6))
    with pytest.raises(ToolError, match="no table for 6 on 2026-11-24"):
        book.change(kept.code, day=TODAY)
    assert {slot.day for slot in slots(store) if slot.code == kept.code} == {FRIDAY}
    assert book.cancel(kept.code).wish == Wish(FRIDAY, SEVEN, 6)


def test_a_change_to_nobody_is_refused(book: Reservations) -> None:
    """It was taken for a number that was left out, and the caller told that it is changed."""
    kept = reserve(book, Wish(FRIDAY, SEVEN, 2))
    with pytest.raises(ToolError, match="Ask how many people come"):
        book.change(kept.code, at=time(20, 0), party_size=0)
    assert book.cancel(kept.code).wish == Wish(FRIDAY, SEVEN, 2)


def test_a_cancelled_table_is_free_and_its_code_is_no_longer_good(book: Reservations, store: Store) -> None:
    kept = reserve(book, Wish(FRIDAY, SEVEN, 6))
    book.cancel(kept.code)
    assert slots(store) == []
    assert book.is_free(Wish(FRIDAY, SEVEN, 6))
    for deed in (book.cancel, book.change):
        with pytest.raises(ToolError, match="no reservation with this code"):
            deed(kept.code)
    with store.transaction() as session:
        assert session.get_one(ReservationRow, kept.code).status == "cancelled"


def test_two_calls_cannot_have_the_last_table(database: str) -> None:
    """Each on a connection of its own, as two machines would be."""
    stores = [Store(database) for _ in range(6)]
    gate = threading.Barrier(len(stores))
    booked: list[str] = []
    refused: list[str] = []

    def call(number: int) -> None:
        book = Reservations(stores[number], clock=lambda: NOW)
        gate.wait(10)
        try:
            booked.append(reserve(book, Wish(FRIDAY, SEVEN, 5), str(number)).code)
        except ToolError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(booked) == 1, "there is one table for six"
    assert len(refused) == 5
    assert len(slots(stores[0])) == 4
    for store in stores:
        store.close()


def test_many_calls_at_once_fill_every_table_and_no_more(database: str) -> None:
    stores = [Store(database) for _ in range(8)]
    gate = threading.Barrier(len(stores))
    booked: list[str] = []
    refused: list[str] = []

    def call(number: int) -> None:
        book = Reservations(stores[number], clock=lambda: NOW)
        gate.wait(10)
        try:
            booked.append(reserve(book, Wish(FRIDAY, SEVEN, 2), str(number)).code)
        except ToolError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(booked) == len(TABLES)
    assert all("no table for 2" in words for words in refused)
    assert len(slots(stores[0])) == 4 * len(TABLES)
    for store in stores:
        store.close()
