"""How long data is kept, and whose: as an operator types it, on both databases."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from callapp import create_app
from callapp.call_log import Admission, PlacedCall, Store
from callapp.call_log.erasure import delete_calls
from callapp.call_log.follow_ups import FollowUps
from callapp.call_log.jobs import JobQueue
from callapp.call_log.listing import Wanted, list_calls
from callapp.call_log.models import (
    CallEventRow,
    CallRow,
    JobRow,
    StreamTokenRow,
    ToolRunRow,
    TurnRow,
    UsageRow,
    UtteranceRow,
)
from callapp.call_log.never_was import dial_failed
from callapp.call_log.record import Entry, _Page
from callapp.call_log.usage import write_analysis_usage
from callapp.conversation.facts import Began, Closed, Recorded
from callapp.office.messages import Message, Messages
from callapp.office.models import MessageRow, ReservationRow
from callapp.office.reservations import Reservations, Wish
from callapp.services import Services
from callapp.settings import Settings
from tests.call_log.test_record import CALL, TALK

LONGEST = timedelta(minutes=30)

CALLER, OTHER = CALL.from_number, "+14155550199"


@pytest.fixture
def app(database: str, tmp_path: Path) -> Iterator[Flask]:
    """An app with an old and a new call of one caller, and a new one of another, all recorded."""
    app = create_app(Settings(database_url=database, recordings_url=str(tmp_path / "recordings")))
    services = parts(app)
    now = datetime.now(UTC)
    for number, (caller, days) in enumerate([(CALLER, 100), (CALLER, 1), (OTHER, 2)]):
        call_sid = f"CA{number:032d}"
        call = replace(CALL, call_sid=call_sid, from_number=caller, began_at=now - timedelta(days=days))
        path = services.shelf.path_of(call_sid)
        services.shelf.write(path, io.BytesIO(b"RIFF"))
        for fact in [*TALK, Recorded(10_060, path, 10)]:
            services.record(call, fact, fact.at_ms)
    Messages(services.store).keep(Message("山田", CALLER, "Call me."), call_sid="CA0", agent="receptionist")
    assert services.record.flush(20)
    yield app
    services.close()


def parts(app: Flask) -> Services:
    return app.extensions["callapp"]  # type: ignore[no-any-return]


def flask(app: Flask, *args: str, answer: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=args, input=answer)


def exported(app: Flask) -> Any:
    """All that is known of the caller."""
    done = flask(app, "export-caller", CALLER)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def left(app: Flask) -> list[str | None]:
    """The calls that are known, oldest first, each with a recording, and no recording without its call."""
    sids = [call.call_sid for call in list_calls(parts(app).store, Wanted(), 50).calls][::-1]
    folder = Path(parts(app).shelf.path_of("x")).parent
    assert {path.stem for path in folder.glob("*.wav")} == set(sids)
    return [sid and sid[-1] for sid in sids]


def test_old_calls_are_purged_with_their_recordings(app: Flask) -> None:
    done = flask(app, "purge", "--older-than", "90d")
    assert (done.exit_code, done.output) == (0, "1 calls deleted.\n")
    assert left(app) == ["2", "1"]


def test_old_calls_that_never_came_to_be_are_purged_too(app: Flask) -> None:
    """They have no SID, and somebody's number."""
    store = parts(app).store
    for number, days in (("+819077770091", 91), ("+819077770089", 89)):
        store.place_call(PlacedCall(number, "shop", {}, "+14155550100", number))
        dial_failed(store, number)
        with store.transaction() as session:
            [row] = session.scalars(select(CallRow).where(CallRow.to_number == number))
            row.created_at = datetime.now(UTC) - timedelta(days=days)
    assert flask(app, "purge", "--older-than", "90d").exit_code == 0
    assert store.find_placed("+819077770091") is None
    assert store.find_placed("+819077770089") is not None


@pytest.mark.parametrize("age", ["90", "d", "-1d", "90m"])
def test_an_age_that_is_none_deletes_nothing(app: Flask, age: str) -> None:
    done = flask(app, "purge", f"--older-than={age}")
    assert done.exit_code == 2
    assert "e.g. 90d" in done.output
    assert len(left(app)) == 3


def test_all_that_is_known_of_a_caller_is_exported(app: Flask) -> None:
    known = exported(app)
    assert [call["callSid"][-1] for call in known["calls"]] == ["0", "1"]
    assert known["calls"][0]["utterances"][0]["text"] == "Hello."
    assert known["messages"][0]["text"] == "Call me."


def test_a_caller_is_forgotten_and_nobody_else(app: Flask) -> None:
    done = flask(app, "forget-caller", CALLER, answer="y\n")
    assert done.exit_code == 0, done.output
    assert left(app) == ["2"]
    known = exported(app)
    assert known == {"number": CALLER, "calls": [], "messages": [], "reservations": []}


def test_a_call_that_twilio_refused_to_place_is_exported_and_forgotten(app: Flask) -> None:
    """It has a number and parameters, and no SID."""
    store = parts(app).store
    for number, to in enumerate([CALLER, OTHER]):
        store.place_call(PlacedCall(f"p{number}", "operator", {"name": "Tanaka"}, "+15005550006", to))
        dial_failed(store, f"p{number}")
    known = exported(app)
    assert [call["parameters"] for call in known["calls"] if call["callSid"] is None] == [{"name": "Tanaka"}]
    assert flask(app, "forget-caller", CALLER, "--yes").exit_code == 0
    assert [call.to_number for call in list_calls(store, Wanted(status="failed"), 50).calls] == [OTHER]


def test_a_number_is_forgotten_in_the_calls_of_those_who_talked_with_its_owner(app: Flask) -> None:
    """An interpreter's call to one person has the number of the other among its parameters."""
    call = replace(
        CALL,
        call_sid=f"CA{7:032d}",
        direction="outgoing",
        from_number="+15005550006",
        to_number=OTHER,
        parameters={"otherPhoneNumber": CALLER, "name": "Mia"},
    )
    parts(app).record(call, Began(), 0)
    parts(app).record(call, Closed(9_000), 9_000)
    assert parts(app).record.flush(20)
    queue = JobQueue(parts(app).store)
    with parts(app).store.transaction() as session:  # a webhook that is to be sent once more
        FollowUps(tells=True).ended(session, call.call_sid, call.agent)
        session.execute(update(JobRow).values(body=json.dumps({"otherPhoneNumber": CALLER})))
    assert flask(app, "forget-caller", CALLER, "--yes").exit_code == 0
    kept = list_calls(parts(app).store, Wanted(to_number=OTHER), 50).calls
    assert [one.parameters for one in kept] == [{"otherPhoneNumber": "", "name": "Mia"}]
    job = queue.claim(["call.ended"], 60)
    assert job is not None
    assert job.body is None


def test_the_token_of_a_call_that_is_deleted_goes_with_it(store: Store) -> None:
    """Who hangs up before the stream has left it unused, with number and parameters."""
    admission = Admission(CALL.call_sid, CALL.call_sid, CALL.agent, {"a": "b"}, "incoming", CALLER, OTHER)
    store.issue_token(admission, 300)
    delete_calls(store, [CALL.call_sid])
    with store.transaction() as session:
        assert session.scalars(select(StreamTokenRow.from_number)).all() == []


@pytest.mark.parametrize(
    "phone", ["090-1234-5678", "０９０ １２３４ ５６７８", "+81 90 1234 5678", "03-5555-0100"]
)
def test_what_was_written_down_of_a_caller_is_theirs_however_their_number_was_said(
    app: Flask, phone: str
) -> None:
    """The last one is another number, which they gave in a call of theirs."""
    store, call_sid = parts(app).store, f"CA{1:032d}" if phone.startswith("03") else "CA7"
    Messages(store).keep(Message("山田", phone, "My code is 17."), call_sid=call_sid, agent="receptionist")
    Messages(store).keep(Message("佐藤", "090-9999-9999", "Hello."), call_sid="CA8", agent="receptionist")
    day = datetime.now(UTC).date() + timedelta(days=3)
    for name, number, sid in [("山田", phone, call_sid), ("佐藤", "", "CA8")]:
        Reservations(store).book(Wish(day, time(19), 2), name=name, phone=number, call_sid=sid)
    known = exported(app)
    assert {message["text"] for message in known["messages"]} == {"Call me.", "My code is 17."}
    assert [reservation["name"] for reservation in known["reservations"]] == ["山田"]
    assert flask(app, "forget-caller", CALLER, "--yes").exit_code == 0
    with store.transaction() as session:
        assert session.scalars(select(MessageRow.caller_name)).all() == ["佐藤"]
        reservations = session.execute(select(ReservationRow.name, ReservationRow.phone)).all()
    assert sorted(tuple(row) for row in reservations) == [("", ""), ("佐藤", "")]


def test_calls_to_them_that_never_came_to_be_are_forgotten_too(app: Flask) -> None:
    store = parts(app).store
    for placed_id, number in [("refused", CALLER), ("another's", OTHER), ("being dialled", CALLER)]:
        store.place_call(PlacedCall(placed_id, "shop", {"name": "山田"}, "+14155550100", number))
        if placed_id != "being dialled":
            dial_failed(store, placed_id)
    assert flask(app, "forget-caller", CALLER, "--yes").exit_code == 0
    assert store.find_placed("refused") is None
    assert store.find_placed("another's") is not None
    assert store.find_placed("being dialled") is not None, "its phone may ring in a moment"


def call_now(app: Flask) -> None:
    """The caller calls once more."""
    now = replace(CALL, call_sid=f"CA{9:032d}", began_at=datetime.now(UTC))
    parts(app).record(now, Began(), 0)
    assert parts(app).record.flush(20)


def test_nobody_is_forgotten_in_mid_call(app: Flask) -> None:
    """What is said from then on would be kept, and whoever asked for it believe that it is not."""
    call_now(app)
    done = flask(app, "forget-caller", CALLER, "--yes")
    assert done.exit_code == 1
    assert "is on the phone" in done.output
    assert f"POST /calls/CA{9:032d}/hangup" in done.output
    known = exported(app)
    assert (len(known["calls"]), len(known["messages"])) == (3, 1)


def test_a_call_that_goes_on_is_not_purged(app: Flask) -> None:
    call_now(app)
    done = flask(app, "purge", "--older-than", "0h")
    assert (done.exit_code, done.output) == (0, "3 calls deleted.\n")
    known = exported(app)
    assert [call["callSid"][-1] for call in known["calls"]] == ["9"]


def test_what_a_process_still_tells_of_a_call_that_was_forgotten_is_not_kept(app: Flask) -> None:
    """Its words may come late, its recording take a while to write."""
    assert flask(app, "forget-caller", CALLER, "--yes").exit_code == 0
    gone = replace(CALL, call_sid=f"CA{1:032d}")
    path = parts(app).shelf.path_of(gone.call_sid)
    parts(app).shelf.write(path, io.BytesIO(b"RIFF"))
    for fact in [fact for fact in TALK if not isinstance(fact, Began)] + [Recorded(10_060, path, 10)]:
        parts(app).record(gone, fact, fact.at_ms)
    assert parts(app).record.flush(20)
    assert left(app) == ["2"]
    with parts(app).store.transaction() as session:
        for table in (UtteranceRow, TurnRow, ToolRunRow, UsageRow, CallEventRow, JobRow):
            assert not session.scalars(select(table.call_sid).where(table.call_sid == gone.call_sid)).all()


def say(session: Session) -> None:
    told = [Entry(f"e{number}", CALL, fact, fact.at_ms) for number, fact in enumerate(TALK[1:])]
    _Page(session, LONGEST).write(told)


def analyse(session: Session) -> None:
    write_analysis_usage(session, CALL.call_sid, "gpt-5.6-luna", None)


@pytest.mark.parametrize("write", [say, analyse])
def test_what_is_being_written_down_while_a_call_is_deleted_is_deleted_with_it(
    database: str, write: Callable[[Session], None]
) -> None:
    """It belonged to no call, and neither a purge nor its owner's wish to be forgotten would ever find it."""
    with closing(Store(database)) as store, closing(Store(database)) as other, ThreadPoolExecutor(1) as pool:
        with store.transaction() as session:
            _Page(session, LONGEST).write([Entry("began", CALL, Began(), 0)])
        with store.transaction() as session:
            write(session)
            deleting = pool.submit(delete_calls, other, [CALL.call_sid])
            wait([deleting], 0.5)  # it may be faster than who writes
        deleting.result(20)
        with store.transaction() as session:
            for table in (UtteranceRow, TurnRow, ToolRunRow, UsageRow, CallEventRow, CallRow):
                assert session.scalars(select(table.call_sid)).all() == [], table


def test_nobody_is_forgotten_by_mistake(app: Flask) -> None:
    assert flask(app, "forget-caller", CALLER, answer="n\n").exit_code == 1
    assert flask(app, "forget-caller", "090-1234-5678", "--yes").exit_code == 2
    assert len(left(app)) == 3
