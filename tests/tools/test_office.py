"""The built-in tools that write things down, as a model uses them."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from callapp.call_log import Store
from callapp.office.messages import Messages
from callapp.office.models import MessageRow, ReservationRow
from callapp.office.reservations import Reservations
from callapp.tools import CallContext
from callapp.tools.registry import Tools, load_tools

CALL = CallContext("CA1", "reservation", {}, "+819012345678", "+815012345678", "incoming")
WISH = {"date": "2026-11-27", "time": "19:00", "party_size": 2}


@pytest.fixture
def tools(store: Store) -> Tools:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    return load_tools(provided=(Reservations(store, clock=lambda: now), Messages(store)))


def run(tools: Tools, name: str, arguments: dict[str, Any], call: CallContext = CALL) -> dict[str, Any]:
    result = tools.find(name).run(json.dumps(arguments), call)
    assert isinstance(result, str)
    answer = json.loads(result)
    assert isinstance(answer, dict)
    return answer


def test_the_model_sees_nothing_of_what_we_pass(tools: Tools) -> None:
    for definition in tools.definitions():
        seen = json.dumps(definition)
        for hidden in ("book", "call", "messages"):
            assert hidden not in definition["parameters"]["properties"], seen
        assert definition["parameters"]["type"] == "object"
    properties = tools["check_availability"].parameters_schema["properties"]
    assert sorted(properties) == ["date", "party_size", "time"]


def test_a_booking_from_the_question_to_its_end(tools: Tools, store: Store) -> None:
    free = run(tools, "check_availability", WISH)
    assert free == {"available": True, **WISH, "weekday": "Friday"}
    booked = run(tools, "book_table", {**WISH, "name": " 田中  花子 "})
    assert booked["status"] == "booked"
    assert booked["name"] == "田中 花子"
    with store.transaction() as session:
        row = session.scalars(select(ReservationRow)).one()
        assert (row.code, row.phone, row.call_sid) == (booked["code"], CALL.from_number, "CA1")
    code = " ".join(booked["code"])
    changed = run(tools, "change_booking", {"code": code, "time": "20:00:00", "party_size": 4})
    assert (changed["time"], changed["party_size"]) == ("20:00", 4)
    assert run(tools, "cancel_booking", {"code": code})["status"] == "cancelled"
    assert "no reservation with this code" in run(tools, "cancel_booking", {"code": code})["error"]


def test_a_code_may_be_written_in_the_wide_digits_of_japanese(tools: Tools) -> None:
    code = run(tools, "book_table", {**WISH, "name": "田中"})["code"]
    wide = "".join(chr(ord("０") + int(digit)) for digit in code)
    assert run(tools, "change_booking", {"code": wide, "time": "20:00"})["status"] == "changed"
    assert run(tools, "cancel_booking", {"code": wide})["code"] == code


def test_a_zero_byte_in_what_the_model_gives_is_left_out(tools: Tools, store: Store) -> None:
    """PostgreSQL cannot hold it: the caller would hear that it did not work."""
    booked = run(tools, "book_table", {**WISH, "name": "田\0中", "phone": "\0\00"})
    assert (booked["status"], booked["name"]) == ("booked", "田中")
    changed = run(tools, "change_booking", {"code": f"\0{booked['code']}", "time": "20:00"})
    assert changed["status"] == "changed"
    message = {"caller_name": "田中\0", "message": "Call\0 me.", "phone": "\0", "for_whom": "\0Sato"}
    assert run(tools, "take_message", message) == {"status": "taken"}
    with store.transaction() as session:
        row = session.scalars(select(MessageRow)).one()
        kept = (row.caller_name, row.text, row.phone, row.for_whom)
    assert kept == ("田中", "Call me.", CALL.from_number, "Sato")


def test_what_is_full_comes_with_other_times(tools: Tools) -> None:
    wish = {**WISH, "party_size": 6}
    run(tools, "book_table", {**wish, "name": "佐藤"})
    answer = run(tools, "check_availability", wish)
    assert answer["available"] is False
    assert answer["other_times"] == ["17:00"]
    assert "There is no table for 6" in run(tools, "book_table", {**wish, "name": "田中"})["error"]


def test_on_a_call_that_we_made_the_number_is_the_one_we_called(tools: Tools, store: Store) -> None:
    call = CallContext("CA2", "reservation", {}, "+815012345678", "+819099999999", "outgoing")
    run(tools, "book_table", {**WISH, "name": "田中"}, call)
    with store.transaction() as session:
        assert session.scalars(select(ReservationRow.phone)).one() == "+819099999999"


@pytest.mark.parametrize("wrong", [{"date": "tomorrow"}, {"time": "late"}, {"party_size": "many"}])
def test_wrong_arguments_are_told_to_the_model(tools: Tools, wrong: dict[str, str]) -> None:
    answer = run(tools, "check_availability", {**WISH, **wrong})
    assert f"{next(iter(wrong))!r}" in answer["error"]


def test_a_message_is_written_down(tools: Tools, store: Store) -> None:
    given = {"caller_name": "Ann Lee", "message": " Please send the plans. ", "for_whom": "Jon Bell"}
    assert run(tools, "take_message", given) == {"status": "taken"}
    with store.transaction() as session:
        row = session.scalars(select(MessageRow)).one()
        assert (row.caller_name, row.for_whom, row.text) == ("Ann Lee", "Jon Bell", "Please send the plans.")
        assert (row.phone, row.call_sid, row.agent) == (CALL.from_number, "CA1", "reservation")
    assert "empty" in run(tools, "take_message", {**given, "message": " "})["error"]


def test_what_could_not_be_written_down_is_not_written_into_the_log(
    tools: Tools, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with store.transaction() as session:
        session.execute(text("DROP TABLE messages"))
    given = {"caller_name": "Ann Lee", "phone": "090-1234-5678", "message": "My card is 4111 1111."}
    assert "failed for a technical reason" in run(tools, "take_message", given)["error"]
    assert "! tool take_message failed: " in caplog.text
    for private in given.values():
        assert private not in caplog.text


@pytest.mark.parametrize(
    "url", ["sqlite:////nonexistent/calls.sqlite", "postgresql+psycopg:///x?host=/nonexistent"]
)
def test_a_database_that_is_gone_is_told_in_words(url: str) -> None:
    with closing(Store(url)) as store:
        tools = load_tools(provided=(Reservations(store), Messages(store)))
        wish = {**WISH, "date": (datetime.now(UTC) + timedelta(days=7)).date().isoformat()}
        assert "technical reason" in run(tools, "book_table", {**wish, "name": "田中"})["error"]


def test_a_tool_of_the_users_may_have_the_book_too(store: Store, tmp_path: Path) -> None:
    (tmp_path / "free.py").write_text(
        "import datetime\n"
        "from callapp.office.reservations import Reservations, Wish\n"
        "from callapp.tools import tool\n\n\n"
        "@tool\n"
        "def free_at_seven(day: datetime.date, book: Reservations) -> bool:\n"
        '    """Tell whether a table for two is free at seven."""\n'
        "    return book.is_free(Wish(day, datetime.time(19), 2))\n"
    )
    now = datetime(2026, 11, 24, tzinfo=UTC)
    tools = load_tools(tmp_path, provided=[Reservations(store, clock=lambda: now)])
    assert tools["free_at_seven"].run('{"day": "2026-11-27"}', CALL) == "true"
