"""Twilio's own word on a call, after its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from callapp.call_log import Admission, PlacedCall, Store
from callapp.call_log.documents import WholeCall
from callapp.call_log.models import CallRow
from callapp.call_log.never_was import dial_failed
from callapp.call_log.reading import find_call
from callapp.call_log.record import Record
from callapp.call_log.records import Direction
from callapp.call_log.settling import NEXT_AFTER, Settler
from callapp.conversation.facts import Began, Closed, Ended, Fact
from callapp.errors import CarrierRefused, CarrierUnreachable
from callapp.settings import Settings
from callapp.simulators.phone import Callee
from callapp.simulators.phone import Carrier as PretendTwilio
from callapp.telephony.rest import Carrier
from tests.call_log.test_record import CALL

WAIT_S = 20.0
OVER: list[Fact] = [Began(), Ended(9_000, "agent.ended"), Closed(9_010)]


@dataclass
class Told:
    status: str = "completed"
    duration_s: int | None = 10
    price_usd: float | None = None


class Twilio:
    """Answers as it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.told = Told()
        self.error: Exception | None = None
        self.asked: list[str] = []

    def ask(self, call_sid: str) -> Told:
        self.asked.append(call_sid)
        if self.error is not None:
            raise self.error
        return self.told


@pytest.fixture
def twilio() -> Twilio:
    return Twilio()


@pytest.fixture
def settler(store: Store, twilio: Twilio) -> Settler:
    return Settler(store, twilio.ask)


@pytest.fixture
def record(store: Store) -> Iterator[Record]:
    record = Record(store)
    yield record
    record.close()


def tell(record: Record, facts: list[Fact], began: timedelta, call_sid: str = CALL.call_sid) -> None:
    call = replace(CALL, call_sid=call_sid, began_at=datetime.now(UTC) - began)
    for fact in facts:
        record(call, fact, fact.at_ms)
    assert record.flush(WAIT_S)


def hurry(store: Store) -> None:
    """Let the next question be due now."""
    with store.transaction() as session:
        session.execute(update(CallRow).where(CallRow.settle_at.is_not(None)).values(settle_at=CALL.began_at))


def settle_at(store: Store) -> datetime | None:
    with store.transaction() as session:
        return session.scalars(select(CallRow.settle_at)).one()


def known(store: Store) -> WholeCall:
    """What is known of the call."""
    call = find_call(store, CALL.call_sid)
    assert call is not None
    return call


def test_the_price_is_asked_for_until_it_is_known(
    store: Store, record: Record, settler: Settler, twilio: Twilio
) -> None:
    """Twilio has none at first."""
    tell(record, OVER, timedelta(minutes=2))
    assert settler.settle_due() == 1
    assert known(store).cost.carrier_usd is None
    assert settler.settle_due() == 0  # not yet due again
    twilio.told.price_usd = 0.028
    hurry(store)
    assert settler.settle_due() == 1
    assert known(store).cost.carrier_usd == 0.028
    assert settle_at(store) is None
    assert known(store).cost.total_usd == 0.028


def test_a_call_that_has_just_ended_is_not_asked_about(
    record: Record, settler: Settler, twilio: Twilio
) -> None:
    tell(record, OVER, timedelta(seconds=20))
    assert settler.settle_due() == 0


def test_a_price_that_never_comes_is_given_up(store: Store, record: Record, settler: Settler) -> None:
    tell(record, OVER, timedelta(minutes=2))
    for _ in range(len(NEXT_AFTER) + 1):
        assert settler.settle_due() == 1
        hurry(store)
    assert settle_at(store) is None


def test_two_processes_ask_once(store: Store, record: Record, settler: Settler, twilio: Twilio) -> None:
    tell(record, OVER, timedelta(minutes=2))
    assert [settler.settle_due(), Settler(store, twilio.ask).settle_due()] == [1, 0]


def test_a_call_whose_process_was_killed_is_closed_with_twilios_word(
    store: Store, record: Record, settler: Settler, twilio: Twilio
) -> None:
    tell(record, [Began()], timedelta(hours=5))
    settler.settle_due()
    call = known(store)
    assert (call.status, call.end_reason, call.duration_seconds) == ("completed", "server.lost", 10)


@pytest.mark.parametrize(("longest_s", "asked"), [(3_600, 1), (7_200, 0)])
def test_a_call_of_which_no_end_is_told_is_asked_about_once_it_should_be_over(
    store: Store, settler: Settler, longest_s: int, asked: int
) -> None:
    """Sooner, each question would cost it one of the tries that its price is left with."""
    record = Record(store, longest_s=longest_s)
    tell(record, [Began()], timedelta(minutes=71))
    record.close()
    assert settler.settle_due() == asked


def test_a_call_that_hung_up_before_its_stream_came_is_closed_with_twilios_word(
    store: Store, settler: Settler, twilio: Twilio
) -> None:
    """Nobody tells of the end of a call that rang us. Why it ended is not known here."""
    store.issue_token(admission("incoming"), 60)
    assert settler.settle_due() == 0  # its stream may still come
    hurry(store)
    twilio.told = Told(duration_s=4, price_usd=0.0085)
    assert settler.settle_due() == 1
    call = known(store)
    assert (call.status, call.end_reason, call.duration_seconds) == ("completed", None, 4)
    assert call.cost.carrier_usd == 0.0085


def test_a_call_of_ours_whose_last_callback_was_lost_is_closed_with_twilios_word(
    store: Store, settler: Settler, twilio: Twilio
) -> None:
    """Twilio does not repeat one that met a server about to start."""
    place(store)
    hurry(store)
    twilio.told = Told("no-answer", 0)
    assert settler.settle_due() == 1
    assert store.find_status(CALL.call_sid) == "no-answer"


def test_a_call_of_ours_that_nobody_answered_is_not_asked_about(store: Store, settler: Settler) -> None:
    place(store)
    store.note_status(CALL.call_sid, "busy", 2)
    assert settle_at(store) is None


def test_a_dial_that_failed_is_not_asked_about(store: Store, settler: Settler) -> None:
    store.place_call(PlacedCall("p1", CALL.agent, {}, "+1", "+81"))
    dial_failed(store, "p1")
    assert settle_at(store) is None
    assert settler.settle_due() == 0


def test_a_dial_that_twilio_never_named_has_failed(store: Store, settler: Settler, twilio: Twilio) -> None:
    """It may have been placed, or not: Twilio did not answer, and cannot be asked by a SID."""
    store.place_call(PlacedCall("p1", CALL.agent, {}, "+1", "+81"))
    assert settler.settle_due() == 0
    assert end(store) == ("dialling", None, False)  # it may still ring
    hurry(store)
    assert settler.settle_due() == 0
    assert twilio.asked == []
    assert end(store) == ("failed", None, True)
    assert settle_at(store) is None


@pytest.mark.parametrize("answered", [False, True])
def test_a_dial_that_is_heard_of_after_all_is_alive_and_asked_about(
    store: Store, settler: Settler, twilio: Twilio, answered: bool
) -> None:
    store.place_call(PlacedCall("p1", CALL.agent, {}, "+1", "+81"))
    hurry(store)
    settler.settle_due()
    if answered:
        store.issue_token(replace(admission("outgoing"), slot_key="p1"), 60)
    else:
        assert store.note_status(CALL.call_sid, "ringing", 1, "p1")
    assert end(store) == ("in-progress" if answered else "ringing", None, False)
    hurry(store)
    twilio.told = Told("no-answer", 0)
    assert settler.settle_due() == 1
    assert end(store) == ("no-answer", None, answered)


def test_a_late_callback_says_what_became_of_a_dial(store: Store, settler: Settler) -> None:
    store.place_call(PlacedCall("p1", CALL.agent, {}, "+1", "+81"))
    hurry(store)
    settler.settle_due()
    assert store.note_status(CALL.call_sid, "busy", 2, "p1")
    assert end(store) == ("busy", None, True)


def end(store: Store) -> tuple[str, str | None, bool]:
    """The status and the end reason of the one call there is, and whether it has ended."""
    with store.transaction() as session:
        row = session.scalars(select(CallRow)).one()
        return row.status, row.end_reason, row.ended_at is not None


def place(store: Store) -> None:
    store.place_call(PlacedCall("p1", CALL.agent, {}, "+1", "+81"))
    store.call_dialled("p1", CALL.call_sid, "queued")


def admission(direction: Direction) -> Admission:
    return Admission(CALL.call_sid, CALL.call_sid, CALL.agent, {}, direction, "+1", "+81")


def test_of_a_browsers_call_whose_stream_never_came_twilio_knows_nothing(
    store: Store, settler: Settler, twilio: Twilio
) -> None:
    store.issue_token(admission("browser"), 60)
    assert settler.settle_due() == 0
    assert end(store) == ("in-progress", None, False)  # its stream may still come
    hurry(store)
    assert settler.settle_due() == 0
    assert twilio.asked == []
    assert end(store) == ("canceled", None, True)
    assert settle_at(store) is None
    assert known(store).duration_seconds == 0


def test_a_browsers_call_that_goes_on_is_not_closed(store: Store, record: Record, settler: Settler) -> None:
    """Not even if the database was away when it began, and it seemed to have stayed away."""
    store.issue_token(admission("browser"), 60)
    hurry(store)
    settler.settle_due()
    call = replace(CALL, direction="browser")
    for fact in OVER:
        record(call, fact, fact.at_ms)
        assert record.flush(WAIT_S)
        hurry(store)
        settler.settle_due()
        over = isinstance(fact, Closed)
        ended = not isinstance(fact, Began)
        assert end(store) == ("completed" if over else "in-progress", "agent.ended" if ended else None, ended)


def test_a_call_that_twilio_does_not_know_is_left_alone(
    store: Store, record: Record, settler: Settler, twilio: Twilio
) -> None:
    tell(record, OVER, timedelta(minutes=2))
    twilio.error = CarrierRefused(404, 20404, "not found", None)
    assert settler.settle_due() == 1
    assert settle_at(store) is None


def test_a_price_that_twilio_refuses_to_tell_just_now_is_asked_for_again(
    store: Store, record: Record, settler: Settler, twilio: Twilio
) -> None:
    tell(record, OVER, timedelta(minutes=2))
    twilio.error = CarrierRefused(429, 20429, "too many requests", None)
    assert settler.settle_due() == 1
    hurry(store)
    twilio.error, twilio.told.price_usd = None, 0.01
    assert settler.settle_due() == 1
    assert known(store).cost.carrier_usd == 0.01


def test_a_call_that_goes_on_by_twilios_word_is_not_closed(
    store: Store, record: Record, settler: Settler, twilio: Twilio
) -> None:
    tell(record, [Began()], timedelta(hours=5))
    twilio.told = Told("in-progress", None)
    assert settler.settle_due() == 1
    assert end(store) == ("in-progress", None, False)


def test_a_call_whose_end_is_known_here_ends_when_it_did(
    store: Store, record: Record, settler: Settler
) -> None:
    """Twilio counts whole seconds."""
    tell(record, OVER, timedelta(minutes=2))
    assert settler.settle_due() == 1
    assert known(store).duration_seconds == pytest.approx(9.0)


def test_a_carrier_that_is_away_is_asked_again_and_complained_of_once(
    store: Store,
    record: Record,
    twilio: Twilio,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callapp.call_log.settling.LOOK_S", 0.01)
    tell(record, OVER, timedelta(minutes=2))
    asked = threading.Semaphore(0)

    def ask(_call_sid: str) -> Told:
        hurry(store)
        asked.release()
        raise CarrierUnreachable("gone")

    settler = Settler(store, ask)
    settler.start()
    assert all(asked.acquire(timeout=WAIT_S) for _ in range(3))
    settler.close()
    assert [line.levelname for line in caplog.records if line.levelname != "INFO"] == ["WARNING"]


def test_a_question_without_an_answer_costs_no_other_call_a_try(
    store: Store, record: Record, settler: Settler, twilio: Twilio
) -> None:
    """After six tries nobody asks about a call any more."""
    for number in range(3):
        tell(record, OVER, timedelta(minutes=5), f"CA{number:032x}")
    twilio.error = CarrierUnreachable("no answer")
    with pytest.raises(CarrierUnreachable):
        settler.settle_due()
    assert len(twilio.asked) == 1
    with store.transaction() as session:
        assert sorted(session.scalars(select(CallRow.settle_tries))) == [0, 0, 1]
    twilio.error, twilio.told = None, Told(price_usd=0.01)
    assert settler.settle_due() == 2


def test_the_pretend_twilio_has_no_price_at_first_and_one_later(tmp_path: Path) -> None:
    """By the real client: Twilio's prices are negative, and text."""
    with PretendTwilio(price_after_s=3_600, say_ms_per_char=0) as twilio:
        settings = Settings(
            twilio_account_sid=twilio.account_sid,
            twilio_auth_token=twilio.auth_token,
            twilio_api_url=twilio.url,
        )
        carrier = Carrier(settings)
        twilio.next_callee(Callee(rings_ms=0))
        placed = carrier.place_call(
            to="+819012345678", from_="+15005550006", url="http://127.0.0.1:9/", status_callback=""
        )
        call = twilio.find_call(placed.sid)
        assert call is not None
        call.wait_ended(WAIT_S)
        assert carrier.call_state(placed.sid).price_usd is None
        twilio.price_after_s = 0
        assert carrier.call_state(placed.sid).price_usd == 0.014
        carrier.close()
