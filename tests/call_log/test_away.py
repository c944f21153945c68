"""Calls that have left their stream are known to every process, and what becomes of each is decided once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from callapp.call_log import Store
from callapp.call_log.away import CallsAway
from callapp.call_log.erasure import delete_calls
from callapp.call_log.models import AwayRow
from callapp.call_log.records import AwayCall
from tests.call_log.test_store import ADMISSION, CALL_SID, at_once, rows

AWAY = AwayCall(
    ADMISSION,
    {"destination": "sales", "warm": True, "summary": "見積もりの件"},
    [["agent", "少々お待ちください。", False], ["caller", "はい", True]],
    elapsed_ms=12_345,
    spent_usd=0.25,
    room="room-1",
)


@pytest.fixture
def calls(store: Store) -> CallsAway:
    return CallsAway(store)


def test_a_call_is_found_as_it_left_and_taken_once(calls: CallsAway, store: Store) -> None:
    calls.add(AWAY, 60)
    assert calls.find(CALL_SID) == AWAY
    taken = at_once(4, lambda: calls.take(CALL_SID))
    assert [call for call in taken if call is not None] == [AWAY]
    assert calls.find(CALL_SID) is None
    assert rows(store, AwayRow) == 0


def test_a_second_trip_takes_the_place_of_the_first(calls: CallsAway, store: Store) -> None:
    calls.add(AWAY, 60)
    keys = AwayCall(ADMISSION, {"digits": "1"}, [])
    calls.add(keys, 60)
    assert calls.find(CALL_SID) == keys
    assert rows(store, AwayRow) == 1


def test_what_becomes_of_a_call_is_decided_once(calls: CallsAway) -> None:
    """The colleague presses 1 in the moment in which the ringing is given up."""
    decisions: list[Callable[[], object]] = [
        lambda: calls.decide(CALL_SID, "agent.transferred"),
        lambda: calls.send_back(CALL_SID, "nobody answered"),
    ]
    calls.add(AWAY, 60)
    pending = iter(decisions * 3)
    assert len([decided for decided in at_once(6, lambda: next(pending)()) if decided]) == 1
    found = calls.find(CALL_SID)
    assert found is not None
    assert bool(found.outcome) != bool(found.why)


def test_a_caller_on_the_way_back_brings_the_reason(calls: CallsAway) -> None:
    calls.add(AWAY, 60)
    assert calls.send_back(CALL_SID, "the line was busy") == replace(AWAY, why="the line was busy")
    assert calls.send_back(CALL_SID, "nobody answered") is None
    taken = calls.take(CALL_SID)
    assert taken is not None
    assert taken.why == "the line was busy"


def test_what_is_said_while_a_call_is_away_is_known_when_it_comes_back(calls: CallsAway) -> None:
    calls.add(AWAY, 60)
    said = [*AWAY.said, ["system", "割引を提案してください。", False]]
    calls.note_said(CALL_SID, said)
    assert calls.take(CALL_SID) == replace(AWAY, said=said)
    calls.note_said(CALL_SID, said)
    assert calls.find(CALL_SID) is None


def test_the_colleague_is_known_once_their_phone_is_dialled(calls: CallsAway) -> None:
    calls.add(AWAY, 60)
    assert calls.note_colleague(CALL_SID, "CA2")
    assert calls.find(CALL_SID) == replace(AWAY, colleague_sid="CA2")
    calls.decide(CALL_SID, "caller.hung_up")
    assert not calls.note_colleague(CALL_SID, "CA3")
    calls.take(CALL_SID)
    assert not calls.note_colleague(CALL_SID, "CA3")


def test_an_expired_call_is_gone_and_its_row_goes_with_the_next_one(calls: CallsAway, store: Store) -> None:
    calls.add(AWAY, -1)
    assert calls.find(CALL_SID) is None
    assert calls.take(CALL_SID) is None
    assert calls.send_back(CALL_SID, "nobody answered") is None
    assert not calls.decide(CALL_SID, "agent.transferred")
    calls.add(replace(AWAY, admission=replace(ADMISSION, call_sid="CA" + "2" * 32)), 60)
    assert rows(store, AwayRow) == 1


def test_a_call_that_is_to_be_forgotten_is_forgotten_while_it_is_away(calls: CallsAway, store: Store) -> None:
    calls.add(AWAY, 60)
    delete_calls(store, [CALL_SID])
    assert rows(store, AwayRow) == 0
