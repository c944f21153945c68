"""Callers who are put through to a person while we listen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from callapp.call_log import Admission, StoreUnavailable
from callapp.call_log.settling import Settler
from callapp.simulators import twiml_reader as twiml
from callapp.telephony.rest import CallState
from tests.web.conftest import (
    CALL_SID,
    FROM,
    ORIGIN,
    TO,
    Live,
    MakeWorld,
    World,
    slots_after,
    unavailable,
)

OTHER = "+442079460000"
INCOMING = "/incoming-call?agent=heard"
OVER = "/captions/over?agent=heard"


def verbs(answer: TestResponse) -> list[twiml.Verb]:
    assert answer.status_code == 200
    return twiml.read_twiml(answer.text, content_type=answer.content_type)


def said(answer: TestResponse) -> list[str]:
    return [verb.text for verb in verbs(answer) if isinstance(verb, twiml.Say)]


def over(world: World, **fields: str) -> TestResponse:
    return world.webhook(OVER, {"CallSid": CALL_SID, "CallStatus": "in-progress", **fields})


def assert_put_through_without_captions(answer: TestResponse) -> None:
    say, dial, hangup = verbs(answer)
    assert isinstance(say, twiml.Say)
    assert isinstance(dial, twiml.Dial)
    assert isinstance(dial.target, twiml.Number)
    assert (dial.target.number, dial.action) == (OTHER, "")
    assert hangup == twiml.Hangup()


def test_a_caller_is_put_through_and_both_voices_come_to_us(world: World) -> None:
    say, start, dial, hangup = verbs(world.webhook(INCOMING))
    assert isinstance(say, twiml.Say)
    assert (say.text, say.language) == ("This call is transcribed.", "en-GB")
    assert isinstance(start, twiml.StartStream)
    assert start.stream.tracks == ("inbound", "outbound")
    assert start.stream.url == "wss://voice.example.com/ws"
    assert isinstance(dial, twiml.Dial)
    assert dial.target == twiml.Number(OTHER, "", "POST", frozenset({"completed"}))
    assert dial.action == f"{ORIGIN}{OVER}"
    assert dial.caller_id == ""
    assert hangup == twiml.Hangup()
    assert world.slots == 1
    token = start.stream.parameters["callapp_token"]
    admission = world.services.store.redeem_token(token, CALL_SID)
    assert admission == Admission(CALL_SID, CALL_SID, "heard", {}, "incoming", FROM, TO)


def test_captions_whose_stream_never_comes_keep_no_line(world: World) -> None:
    world.webhook(INCOMING)
    assert [slots_after(s, world.services.registry) for s in (59, 61)] == [1, 0]


def test_without_a_slot_the_caller_is_put_through_all_the_same(make_world: MakeWorld) -> None:
    """A phone that would be answered by a person is not busy because we are."""
    world = make_world(max_concurrent_calls=1)
    assert world.services.registry.take_slot("another call")
    assert_put_through_without_captions(world.webhook(INCOMING))
    assert world.slots == 1


def test_a_server_that_is_about_to_stop_puts_callers_through(world: World) -> None:
    world.services.registry.drain_requested = True
    assert_put_through_without_captions(world.webhook(INCOMING))


@pytest.mark.parametrize("error", [StoreUnavailable("connection refused"), RuntimeError("a bug")])
def test_whatever_is_wrong_with_us_the_two_are_connected(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: Any) -> str:
        raise error

    monkeypatch.setattr(world.services.store, "issue_token", broken)
    assert_put_through_without_captions(world.webhook(INCOMING))
    assert world.slots == 0


@pytest.mark.parametrize(
    ("dialled", "reason", "words"),
    [
        ("completed", "other.hung_up", "That was all."),
        ("busy", "other.unreachable", "nobody can take your call right now"),
        ("no-answer", "other.unreachable", "nobody can take your call right now"),
        ("failed", "other.unreachable", "nobody can take your call right now"),
    ],
)
def test_the_end_of_the_dial_says_why_the_call_ended(
    world: World, dialled: str, reason: str, words: str
) -> None:
    """The stream only says that it is over; it may be in another process, so the database is told, too."""
    live, noted = Live(), []
    world.services.registry.enter(CALL_SID, CALL_SID, live)  # type: ignore[arg-type]
    world.services.store.note_end_reason = lambda *told: noted.append(told)  # type: ignore[method-assign]
    answer = over(world, DialCallStatus=dialled)
    (line,) = said(answer)
    assert words in line
    assert live.cuts == [reason]
    assert noted == [(CALL_SID, reason)]


def test_a_caller_who_has_hung_up_is_told_nothing_and_the_stream_says_so_itself(world: World) -> None:
    """Twilio asks for what comes after a dial also when nobody is there any more."""
    live = Live()
    world.services.registry.enter(CALL_SID, CALL_SID, live)  # type: ignore[arg-type]
    answer = over(world, CallStatus="completed", DialCallStatus="canceled")
    assert verbs(answer) == [twiml.Hangup()]
    assert live.cuts == []


@pytest.mark.parametrize("fields", [{"DialCallStatus": "completed"}, {"CallStatus": "completed"}])
def test_a_call_whose_process_was_killed_is_soon_over_once_its_dial_is(
    world: World, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    """Of a call that rang us nobody tells the end: it stood on the desk, and was not to be deleted."""
    store = world.services.store
    monkeypatch.setattr("callapp.call_log.store.ASK_SOON_AFTER", timedelta(0))
    world.webhook(INCOMING)
    assert store.find_status(CALL_SID) == "in-progress"
    over(world, **fields)
    Settler(store, lambda _sid: CallState("completed", 9)).settle_due()
    assert store.find_status(CALL_SID) == "completed"


def test_without_a_database_the_closing_is_heard_nevertheless(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.services.store, "note_end_reason", unavailable)
    assert said(over(world, DialCallStatus="completed")) == ["That was all."]
