"""The built-in tools of a restaurant's reservations; the rules are in ``callapp/office``."""

from __future__ import annotations

import datetime
from typing import Any

from callapp.errors import ToolError
from callapp.office.reservations import Reservation, Reservations, Wish
from callapp.tools.declare import CallContext, tool

LONGEST_NAME = 100


@tool
def check_availability(
    date: datetime.date, time: datetime.time, party_size: int, book: Reservations
) -> dict[str, Any]:
    """Look whether a table is free, and at which other times if not. Always use this before you say
    that a table is or is not free. It does not keep the table.

    Args:
        date: The day, as YYYY-MM-DD.
        time: When the guests come, as HH:MM with 24 hours.
        party_size: How many people, children included.
    """
    wish = Wish(date, _plain(time), party_size)
    if book.is_free(wish):
        return {"available": True, **_told(wish)}
    return {
        "available": False,
        **_told(wish),
        "other_times": [f"{at:%H:%M}" for at in book.other_times(wish)],
    }


@tool
def book_table(
    date: datetime.date,
    time: datetime.time,
    party_size: int,
    name: str,
    book: Reservations,
    call: CallContext,
    phone: str = "",
) -> dict[str, Any]:
    """Reserve a table. Use this only after the caller has agreed to the day, the time, the number of
    people and their name. Tell them the code that comes back.

    Args:
        date: The day, as YYYY-MM-DD.
        time: When the guests come, as HH:MM with 24 hours.
        party_size: How many people, children included.
        name: The name under which the table is kept.
        phone: A phone number to reach them at. Leave it out if it is the one of this call.
    """
    name = " ".join(name.split())[:LONGEST_NAME]
    if not name:
        raise ToolError("The name is empty. Ask the caller for it.")
    kept = book.book(
        Wish(date, _plain(time), party_size),
        name=name,
        phone=" ".join(phone.split())[:LONGEST_NAME] or call.caller_number,
        call_sid=call.call_sid,
    )
    return {"status": "booked", **_kept(kept)}


@tool
def change_booking(
    code: str,
    book: Reservations,
    date: datetime.date | None = None,
    time: datetime.time | None = None,
    party_size: int | None = None,
) -> dict[str, Any]:
    """Move a reservation to another day or time, or change the number of people. Use this only after
    the caller has agreed to it. If it fails, the reservation stays as it was.

    Args:
        code: The reservation's six digits.
        date: The new day, as YYYY-MM-DD; leave out to keep it.
        time: The new time, as HH:MM with 24 hours; leave out to keep it.
        party_size: The new number of people; leave out to keep it.
    """
    at = None if time is None else _plain(time)
    return {"status": "changed", **_kept(book.change(_digits(code), day=date, at=at, party_size=party_size))}


@tool
def cancel_booking(code: str, book: Reservations) -> dict[str, Any]:
    """Cancel a reservation. Use this only after the caller has said that they want it cancelled.

    Args:
        code: The reservation's six digits.
    """
    return {"status": "cancelled", **_kept(book.cancel(_digits(code)))}


def _plain(time: datetime.time) -> datetime.time:
    """The time by the restaurant's clock, whatever zone or seconds the model has put to it."""
    return time.replace(second=0, microsecond=0, tzinfo=None)


def _digits(code: str) -> str:
    # A model that speaks Japanese may write them ０ to ９.
    return "".join(str(int(character)) for character in code if character.isdecimal())


def _told(wish: Wish) -> dict[str, Any]:
    # The weekday lets the model notice that it and the caller mean different days.
    return {
        "date": f"{wish.day:%Y-%m-%d}",
        "weekday": f"{wish.day:%A}",
        "time": f"{wish.at:%H:%M}",
        "party_size": wish.party_size,
    }


def _kept(kept: Reservation) -> dict[str, Any]:
    return {"code": kept.code, **_told(kept.wish), "name": kept.name}
