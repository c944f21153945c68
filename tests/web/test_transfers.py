"""What Twilio is answered while a call is away: dials, colleagues, and the way back."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from callapp.call.switchboard import Extension
from callapp.call_log.away import CallsAway
from callapp.call_log.records import Admission, AwayCall
from callapp.call_log.store import Store, StoreUnavailable
from callapp.errors import CarrierRefused, CarrierUnreachable
from tests.web.conftest import CALL_SID, FROM, ORIGIN, TO, Live, MakeWorld, World, unavailable

COLLEAGUE_SID = "CA" + "2" * 32
ADMISSION = Admission(CALL_SID, CALL_SID, "plain", {}, "incoming", FROM, TO)
COLD = AwayCall(ADMISSION, {"destination": "sales", "warm": False, "summary": ""}, [])
WARM = replace(
    COLD,
    trip={"destination": "sales", "warm": True, "summary": "Wants a <quote>."},
    room="room-1",
    colleague_sid=COLLEAGUE_SID,
)


class Calls:
    """A world with a call that is away."""

    def __init__(self, world: World, away: AwayCall | None) -> None:
        self.world = world
        self.board = world.services.switchboard
        self.live = Live()
        world.services.registry.enter(CALL_SID, CALL_SID, self.live)  # type: ignore[arg-type]
        if away is not None:
            self.board.away.add(away, 60)

    def ask(self, path: str, **fields: str) -> ElementTree.Element:
        answer = self.world.webhook(path, {"CallSid": CALL_SID, "CallStatus": "in-progress", **fields})
        assert answer.status_code == 200
        assert answer.content_type.startswith("text/xml")
        return ElementTree.fromstring(answer.text)

    def tell(self, path: str, **fields: str) -> None:
        assert self.world.webhook(path, fields).status_code == 204


@pytest.fixture
def calls(make_world: MakeWorld) -> Any:
    return lambda away=None, **settings: Calls(make_world(**settings), away)


def verbs(document: ElementTree.Element) -> list[str]:
    return [verb.tag for verb in document]


def of_colleague(path: str) -> str:
    return f"{path}?{urlencode({'call': CALL_SID})}"


# -- a dial is over -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("busy", "the line was busy"),
        ("no-answer", "nobody answered"),
        ("failed", "the number could not be reached"),
        ("canceled", "the ringing was broken off"),
    ],
)
def test_a_dial_that_came_to_nothing_brings_the_caller_back(calls: Any, status: str, why: str) -> None:
    world = calls(COLD)
    document = world.ask("/transfer/over", DialCallStatus=status)
    assert verbs(document) == ["Connect", "Hangup"]
    stream = document[0][0]
    assert stream.attrib["url"] == "wss://voice.example.com/ws"
    token = next(one.attrib["value"] for one in stream if one.attrib["name"] == "callapp_token")
    assert world.world.services.store.redeem_token(token, CALL_SID) == ADMISSION
    taken = world.board.away.take(CALL_SID)
    assert taken is not None
    assert taken.why == why


def test_a_talk_that_is_over_is_the_end_of_the_call(calls: Any) -> None:
    world = calls(COLD)
    assert verbs(world.ask("/transfer/over", DialCallStatus="completed")) == ["Hangup"]
    assert world.live.cuts == ["agent.transferred"]


def test_a_caller_who_hung_up_after_the_talk_was_transferred(calls: Any) -> None:
    world = calls(COLD)
    world.ask("/transfer/over", CallStatus="completed", DialCallStatus="completed")
    assert world.live.cuts == ["agent.transferred"]


def test_a_phone_that_is_picked_up_has_the_call(calls: Any) -> None:
    world = calls(COLD)
    world.tell("/transfer/answered", CallSid=COLLEAGUE_SID, ParentCallSid=CALL_SID, CallStatus="in-progress")
    assert world.live.cuts == ["agent.transferred"]
    assert world.board.away.find(CALL_SID).outcome == "agent.transferred"
    # Much later, when they have talked:
    assert verbs(world.ask("/transfer/over", DialCallStatus="completed")) == ["Hangup"]
    assert world.live.cuts == ["agent.transferred"]


def test_a_phone_that_is_only_ringing_has_nothing(calls: Any) -> None:
    world = calls(COLD)
    world.tell("/transfer/answered", CallSid=COLLEAGUE_SID, ParentCallSid=CALL_SID, CallStatus="ringing")
    assert world.live.cuts == []


def test_a_caller_who_hung_up_while_it_rang_has_hung_up(calls: Any) -> None:
    world = calls(COLD)
    document = world.ask("/transfer/over", CallStatus="completed", DialCallStatus="canceled")
    assert verbs(document) == ["Hangup"]
    assert world.live.cuts == ["caller.hung_up"]


def test_a_caller_who_hung_up_while_a_colleague_listened_ends_their_call_too(calls: Any) -> None:
    world = calls(WARM)
    world.ask("/transfer/over", CallStatus="completed", DialCallStatus="answered")
    assert world.world.carrier.completed == [COLLEAGUE_SID]


def test_a_dial_that_nobody_knows_of_is_the_end(calls: Any) -> None:
    """Its row has expired: they talked for hours."""
    assert verbs(calls().ask("/transfer/over", DialCallStatus="completed")) == ["Hangup"]


def test_a_dial_that_is_told_to_be_over_twice_brings_the_caller_back_by_either_answer(calls: Any) -> None:
    """Twilio asks again where our first answer was lost, and goes by the second."""
    world = calls(COLD)
    for _ in range(2):
        document = world.ask("/transfer/over", DialCallStatus="busy")
        assert verbs(document) == ["Connect", "Hangup"]
        token = next(one.attrib["value"] for one in document[0][0] if one.attrib["name"] == "callapp_token")
        assert world.world.services.store.redeem_token(token, CALL_SID) == ADMISSION
    assert world.board.away.take(CALL_SID).why == "the line was busy"


def test_a_dial_that_is_told_to_be_over_once_the_caller_is_back_brings_nobody_back(calls: Any) -> None:
    world = calls(COLD)
    world.ask("/transfer/over", DialCallStatus="busy")
    world.board.away.take(CALL_SID)
    assert verbs(world.ask("/transfer/over", DialCallStatus="busy")) == ["Hangup"]


def test_a_dial_that_is_told_to_be_over_after_somebody_took_the_call_is_the_end(calls: Any) -> None:
    world = calls(COLD)
    world.board.away.decide(CALL_SID, "agent.transferred")
    assert verbs(world.ask("/transfer/over", DialCallStatus="busy")) == ["Hangup"]


def test_without_a_database_the_caller_hears_an_apology(calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = calls(COLD)
    monkeypatch.setattr(CallsAway, "find", unavailable)
    assert verbs(world.ask("/transfer/over", DialCallStatus="busy")) == ["Say", "Hangup"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/transfer/answered", {"ParentCallSid": CALL_SID, "CallStatus": "in-progress"}),
        ("/transfer/over", {"CallSid": CALL_SID, "DialCallStatus": "completed"}),
    ],
)
def test_that_somebody_has_the_call_is_noted_once_the_database_is_there(
    calls: Any, monkeypatch: pytest.MonkeyPatch, path: str, fields: dict[str, str]
) -> None:
    """Twilio says it once; and who has talked hears no apology."""
    world, there, decide = calls(COLD), threading.Event(), CallsAway.decide

    def down(*args: Any) -> bool:
        if there.is_set():
            return decide(*args)
        raise StoreUnavailable("down")

    monkeypatch.setattr(CallsAway, "decide", down)
    answer = world.world.webhook(path, fields)
    assert answer.status_code < 300
    assert "Say" not in answer.text
    assert world.live.cuts == []
    there.set()
    later = world.world.services.later
    assert later.flush(20)
    later.close()
    assert world.live.cuts == ["agent.transferred"]
    assert world.board.away.find(CALL_SID).outcome == "agent.transferred"


def test_that_a_call_cannot_be_looked_up_is_said_once_an_outage(
    calls: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its bridge looks twice a second."""
    board = calls(COLD).board
    extension = Extension(board, ADMISSION, calls().world.services.agents.default, ORIGIN, 0.0)
    for _ in range(2):
        with monkeypatch.context() as outage:
            outage.setattr(CallsAway, "find", unavailable)
            assert [extension.whereabouts() for _ in range(3)] == [None] * 3
        assert extension.whereabouts() is None
    assert caplog.text.count("cannot be looked up") == 2


# -- a colleague --------------------------------------------------------------------------------


def test_a_colleague_hears_what_it_is_about_and_is_asked_for_a_key(calls: Any) -> None:
    document = calls(WARM).ask(of_colleague("/transfer/colleague"), CallSid=COLLEAGUE_SID)
    assert verbs(document) == ["Gather", "Hangup"]
    gather = document[0]
    assert gather.attrib["action"] == f"{ORIGIN}/transfer/take?call={CALL_SID}"
    assert gather.attrib["numDigits"] == "1"
    assert [say.text for say in gather][:2] == ["Wants a <quote>.", "To take the call, press 1."]
    assert gather[0].attrib["language"] == "en-GB"


def test_a_colleague_hears_the_callers_last_words_if_the_model_summed_nothing_up(calls: Any) -> None:
    said = [["caller", word, False] for word in ("One.", "Two.", "Three.", "Four.")]
    away = replace(WARM, trip={**WARM.trip, "summary": ""}, said=[*said, ["agent", "Hold on.", False]])
    document = calls(away).ask(of_colleague("/transfer/colleague"))
    assert document[0][0].text == "Two. Three. Four."


def test_a_colleague_who_presses_1_is_joined_to_the_caller(calls: Any) -> None:
    world = calls(WARM)
    document = world.ask(of_colleague("/transfer/take"), CallSid=COLLEAGUE_SID, Digits="1")
    conference = document[0][0]
    assert (conference.tag, conference.text) == ("Conference", "room-1")
    assert conference.attrib["startConferenceOnEnter"] == conference.attrib["endConferenceOnExit"] == "true"
    assert world.live.cuts == ["agent.transferred"]
    # The end of their call brings nobody back.
    world.tell(of_colleague("/transfer/colleague-status"), CallSid=COLLEAGUE_SID, CallStatus="completed")
    assert world.world.carrier.redirected == []


def test_a_colleague_who_presses_another_key_is_let_go(calls: Any) -> None:
    world = calls(WARM)
    assert verbs(world.ask(of_colleague("/transfer/take"), Digits="2")) == ["Hangup"]
    assert world.live.cuts == []


def test_a_colleague_who_is_too_late_hears_so(calls: Any) -> None:
    world = calls(WARM)
    world.board.away.send_back(CALL_SID, "nobody took the call")
    assert verbs(world.ask(of_colleague("/transfer/take"), Digits="1")) == ["Say", "Hangup"]
    assert verbs(world.ask(of_colleague("/transfer/colleague"))) == ["Say", "Hangup"]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("completed", "the colleague did not take the call"),
        ("busy", "the line was busy"),
        ("no-answer", "nobody answered"),
        ("failed", "the number could not be reached"),
        ("canceled", "the ringing was broken off"),
    ],
)
def test_a_colleague_who_does_not_take_the_call_sends_the_caller_back(
    calls: Any, status: str, why: str
) -> None:
    world = calls(WARM)
    for _ in range(2):  # callbacks come twice
        world.tell(of_colleague("/transfer/colleague-status"), CallSid=COLLEAGUE_SID, CallStatus=status)
    [(call_sid, document)] = world.world.carrier.redirected
    assert call_sid == CALL_SID
    assert re.search(r'<Stream url="wss://voice.example.com/ws">', document)
    assert world.board.away.find(CALL_SID).why == why


def test_a_caller_whom_no_colleague_took_comes_back_once_the_database_does(
    calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio tells of the colleague's end once; until the time for it was over the caller heard music."""
    world = calls(WARM)
    send_back, answers = CallsAway.send_back, iter([False, False])

    def fails(board: CallsAway, call_sid: str, why: str) -> Any:
        if not next(answers, True):
            raise StoreUnavailable("down")
        return send_back(board, call_sid, why)

    monkeypatch.setattr(CallsAway, "send_back", fails)
    world.tell(of_colleague("/transfer/colleague-status"), CallSid=COLLEAGUE_SID, CallStatus="completed")
    assert world.world.carrier.redirected == []
    later = world.world.services.later
    assert later.flush(20)
    later.close()
    [(call_sid, _)] = world.world.carrier.redirected
    assert call_sid == CALL_SID
    assert world.board.away.find(CALL_SID).why == "the colleague did not take the call"


@pytest.mark.parametrize("status", ["initiated", "ringing", "in-progress"])
def test_a_colleague_whose_phone_rings_decides_nothing(calls: Any, status: str) -> None:
    world = calls(WARM)
    world.tell(of_colleague("/transfer/colleague-status"), CallSid=COLLEAGUE_SID, CallStatus=status)
    assert world.world.carrier.redirected == []


def test_a_carrier_that_does_not_bring_the_caller_back_is_complained_of(
    calls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world = calls(WARM)
    world.world.carrier.error = CarrierRefused(400, 21220, "Call is not in-progress.", None)
    world.tell(of_colleague("/transfer/colleague-status"), CallSid=COLLEAGUE_SID, CallStatus="busy")
    assert "could not be brought back" in caplog.text


def test_a_caller_whom_the_carrier_did_not_bring_back_is_brought_back_when_the_time_is_up(
    calls: Any,
) -> None:
    """They heard music until they hung up, and nobody else was on the line."""
    world = calls(WARM)
    extension = Extension(world.board, ADMISSION, world.world.services.agents.default, ORIGIN, 0.0)
    world.world.carrier.error = CarrierUnreachable("down")
    world.tell(of_colleague("/transfer/colleague-status"), CallSid=COLLEAGUE_SID, CallStatus="busy")
    world.world.carrier.error = None
    world.world.carrier.redirected.clear()
    extension.recall()
    assert [call_sid for call_sid, _ in world.world.carrier.redirected] == [CALL_SID]
    assert world.board.away.take(CALL_SID).why == "the line was busy"
    extension.recall()
    assert len(world.world.carrier.redirected) == 1


def test_a_caller_for_whose_way_back_there_is_no_token_yet_can_still_be_brought_back(
    calls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One table may be locked, and the others not."""
    world, issue_token, down = calls(WARM), Store.issue_token, iter([True])

    def issues(*args: Any) -> str:
        if next(down, False):
            raise StoreUnavailable("canceling statement due to statement timeout")
        return issue_token(*args)

    monkeypatch.setattr(Store, "issue_token", issues)
    world.tell(of_colleague("/transfer/colleague-status"), CallSid=COLLEAGUE_SID, CallStatus="busy")
    later = world.world.services.later
    assert later.flush(20)
    later.close()
    assert [call_sid for call_sid, _ in world.world.carrier.redirected] == [CALL_SID]


# -- the door -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/transfer/answered",
        "/transfer/over",
        "/transfer/colleague",
        "/transfer/take",
        "/transfer/colleague-status",
    ],
)
def test_nobody_but_twilio_is_answered(calls: Any, path: str) -> None:
    world = calls(WARM)
    assert world.world.client.post(of_colleague(path), data={"Digits": "1"}).status_code == 403
    other = of_colleague(path).replace("1111", "2222", 1)
    signed = world.world.webhook(of_colleague(path), {"Digits": "9"})
    assert signed.status_code != 403
    answer = world.world.client.post(other, data={"Digits": "9"}, headers={"X-Twilio-Signature": "x" * 28})
    assert answer.status_code == 403
