"""What follows from the beginning and the end of a call is put with it, on either database."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from callapp.call.journal import Particulars
from callapp.call_log import Admission, PlacedCall, Store
from callapp.call_log.erasure import delete_calls
from callapp.call_log.follow_ups import WRITTEN_BY_S, FollowUps
from callapp.call_log.jobs import JobQueue
from callapp.call_log.models import JobRow
from callapp.call_log.reading import find_call
from callapp.call_log.record import Record
from callapp.call_log.settling import LOOK_S, Settler
from callapp.call_log.store import ASK_SOON_AFTER, WRITTEN_WITHIN
from callapp.conversation.captioning import LAST_WORDS_MS as OF_CAPTIONS_MS
from callapp.conversation.facts import Began, Closed, Ended, Fact
from callapp.conversation.interpreting import LAST_WORDS_MS as OF_INTERPRETERS_MS
from callapp.telephony.leg import STOP_WITHIN_S
from tests.call_log.test_record import CALL, WAIT_S
from tests.call_log.test_settling import Told
from tests.databases import jobs_waiting

KINDS = ("call.started", "call.ended", "call.analyzed", "analyze")


def everything() -> FollowUps:
    return FollowUps(tells=True, analyzes=lambda agent: agent == CALL.agent)


def tell(store: Store, follow_ups: FollowUps, *facts: Fact, call: Particulars = CALL) -> None:
    record = Record(store, follow_ups)
    for fact in facts:
        record(call, fact, fact.at_ms)
    record.close()


def due(store: Store) -> list[str]:
    """The kinds of the jobs that may be done now, in the order in which they fall due."""
    queue, kinds = JobQueue(store), []
    while (job := queue.claim(KINDS, 60)) is not None:
        assert job.call_sid == CALL.call_sid
        kinds.append(job.kind)
    return kinds


def test_a_call_that_began_and_ended_is_told_of_and_analysed(store: Store) -> None:
    follow_ups, woken = everything(), []
    follow_ups.wake.append(lambda: woken.append(True))
    tell(store, follow_ups, Began())
    assert due(store) == ["call.started"]
    tell(store, follow_ups, Ended(900, "caller.hung_up"), Closed(950))
    assert due(store) == ["call.ended", "analyze"]
    assert len(woken) == 2


def test_where_nobody_wants_to_know_nothing_is_put(store: Store) -> None:
    tell(store, FollowUps(), Began(), Ended(900, "caller.hung_up"), Closed(950))
    assert jobs_waiting(store, KINDS) == 0


def test_an_agent_whose_calls_are_not_analysed_is_left_alone(store: Store) -> None:
    follow_ups = FollowUps(tells=False, analyzes=lambda agent: agent == "another")
    tell(store, follow_ups, Began(), Closed(950))
    assert jobs_waiting(store, KINDS) == 0


def test_a_call_that_nobody_answered_is_told_of_when_twilio_says_it_is_over(store: Store) -> None:
    store.place_call(PlacedCall("p1", CALL.agent, {}, "+1", "+81"))
    store.call_dialled("p1", CALL.call_sid, "queued")
    follow_ups = everything()
    assert store.note_status(CALL.call_sid, "ringing", 1, None, follow_ups.said_to_be_over)
    assert jobs_waiting(store, KINDS) == 0
    assert store.note_status(CALL.call_sid, "busy", 2, None, follow_ups.said_to_be_over)
    assert not store.note_status(CALL.call_sid, "busy", 2, None, follow_ups.said_to_be_over)
    assert jobs_waiting(store, KINDS) == 1
    assert due(store) == []  # whoever carried it, if anybody did, may still be writing


def test_the_process_that_carried_a_call_tells_of_its_end_before_that(store: Store) -> None:
    follow_ups = everything()
    tell(store, follow_ups, Began())
    assert due(store) == ["call.started"]
    store.note_status(CALL.call_sid, "completed", 3, None, follow_ups.said_to_be_over)
    assert due(store) == []
    tell(store, follow_ups, Closed(950))
    assert due(store) == ["call.ended", "analyze"]


def assert_told_of_once_twilio_is_asked(store: Store, follow_ups: FollowUps) -> None:
    assert due(store) == ["call.started"]
    settler = Settler(store, lambda call_sid: Told(duration_s=9), follow_ups)
    settler._settle(CALL.call_sid)
    assert due(store) == ["call.ended", "analyze"]
    settler._settle(CALL.call_sid)
    assert due(store) == []


def test_a_call_whose_process_was_killed_is_told_of_once_twilio_was_asked(store: Store) -> None:
    follow_ups = everything()
    tell(store, follow_ups, Began())
    assert_told_of_once_twilio_is_asked(store, follow_ups)


def test_a_call_of_ours_whose_process_was_killed_is_told_of_when_it_is_known_why_it_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio's word that it is over is there at once; a webhook that knew no more was the last one."""
    follow_ups = everything()
    store.place_call(PlacedCall("p1", CALL.agent, {}, "+1", "+81"))
    store.call_dialled("p1", CALL.call_sid, "queued")
    tell(store, follow_ups, Began(), call=dataclasses.replace(CALL, began_at=datetime.now(UTC)))
    assert due(store) == ["call.started"]
    monkeypatch.setattr("callapp.call_log.store.WRITTEN_WITHIN", timedelta(0))
    store.note_status(CALL.call_sid, "completed", 3, None, follow_ups.said_to_be_over)
    assert due(store) == []
    assert Settler(store, lambda call_sid: Told(duration_s=9), follow_ups).settle_due() == 1
    call = find_call(store, CALL.call_sid)
    assert call is not None
    assert call.end_reason == "server.lost"
    assert due(store) == ["call.ended", "analyze"]


def test_twilio_is_asked_about_a_call_that_it_says_is_over_before_the_webhook_is_due() -> None:
    """It is asked when somebody looks, and takes its time to answer."""
    assert WRITTEN_WITHIN.total_seconds() + LOOK_S < WRITTEN_BY_S - 10


def test_twilio_is_not_asked_about_a_call_whose_last_words_are_still_to_come() -> None:
    """Its word closes the call, and `call.ended` and the analysis would be without them."""
    last_words_ms = max(OF_CAPTIONS_MS, OF_INTERPRETERS_MS)
    assert timedelta(seconds=STOP_WITHIN_S, milliseconds=last_words_ms) < ASK_SOON_AFTER < WRITTEN_WITHIN


@pytest.mark.parametrize("status", ["in-progress", "completed"])
def test_a_call_whose_process_was_killed_between_its_end_and_its_close_is_told_of(
    store: Store, status: str
) -> None:
    """Its end reason is noted as soon as it is certain; late words and sockets take up to seconds more."""
    follow_ups = everything()
    tell(store, follow_ups, Began(), Ended(900, "agent.ended"))
    store.note_status(CALL.call_sid, status, 3)
    assert_told_of_once_twilio_is_asked(store, follow_ups)


def test_a_call_of_which_no_stream_came_is_told_of_once_twilio_was_asked(store: Store) -> None:
    """There is nothing to analyse."""
    follow_ups = everything()
    store.issue_token(
        Admission(CALL.call_sid, CALL.call_sid, CALL.agent, {}, "incoming", "+1", "+81"), lives_s=60
    )
    Settler(store, lambda call_sid: Told(duration_s=9), follow_ups)._settle(CALL.call_sid)
    assert jobs_waiting(store, ["call.ended"]) == jobs_waiting(store, KINDS) == 1


def test_a_call_that_came_back_after_its_end_is_told_of_when_it_ends_for_good(store: Store) -> None:
    follow_ups = everything()
    tell(store, follow_ups, Began(), Closed(950))
    assert due(store) == ["call.started", "call.ended", "analyze"]
    record = Record(store, follow_ups)
    again = dataclasses.replace(CALL, resumed=True)
    record(again, Began(), 2_000)
    record(again, Closed(5_000), 5_000)
    record.close()
    assert due(store) == ["call.ended", "analyze"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_call_that_has_moved_to_another_process_is_told_of_when_it_ends_there(
    store: Store, at_once: bool
) -> None:
    """The process that it has left closes it later than the other one has begun."""
    follow_ups = everything()
    here, there = Record(store, follow_ups), Record(store, follow_ups)
    resumed = dataclasses.replace(CALL, resumed=True)
    here(CALL, Began(), 0)
    assert here.flush(WAIT_S)
    there(resumed, Began(4_000), 4_000)
    assert there.flush(WAIT_S)
    here(CALL, Ended(5_000, "server.moved"), 5_000)
    assert at_once or here.flush(WAIT_S)
    here(CALL, Closed(5_010), 5_010)
    here.close()
    assert due(store) == ["call.started"]
    there(resumed, Ended(9_000, "agent.ended"), 9_000)
    there(resumed, Closed(9_010), 9_010)
    there.close()
    assert due(store) == ["call.ended", "analyze"]


def test_a_call_that_is_deleted_takes_its_jobs_with_it(store: Store) -> None:
    tell(store, everything(), Began(), Closed(950))
    delete_calls(store, [CALL.call_sid])
    with store.transaction() as session:
        assert session.scalars(select(JobRow)).all() == []


def test_calls_are_told_apart(store: Store) -> None:
    other = dataclasses.replace(CALL, call_sid="CA" + "2" * 32)
    record = Record(store, FollowUps(tells=True))
    record(CALL, Began(), 0.0)
    record(other, Began(), 0.0)
    record.close()
    assert jobs_waiting(store, ["call.started"]) == 2
