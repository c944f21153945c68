"""Slots: taken, known by several names, given back; and what happens to live calls at a stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callapp.call import registry as module
from callapp.call.registry import Registry
from tests.stage import eventually, no_thread_left


class FakeCall:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.heard = threading.Event()

    def wind_up(self, reason: str) -> None:
        self.told.append(f"wind up: {reason}")
        self.heard.set()

    def cut(self, reason: str) -> None:
        self.told.append(f"cut: {reason}")
        self.heard.set()


@pytest.fixture
def two():
    return Registry(2, drain_s=25)


@pytest.fixture
def at_work(monkeypatch):
    """Let a registry run, quickly; give the event that says that it has drained."""
    monkeypatch.setattr(module, "JANITOR_S", 0.005)

    @contextmanager
    def at_work(registry: Registry) -> Iterator[threading.Event]:
        drained = threading.Event()
        registry.on_drained = drained.set
        registry.start()
        try:
            yield drained
        finally:
            registry.close()

    return at_work


def test_the_call_that_would_be_one_too_many_is_refused(two):
    assert two.take_slot("a")
    assert two.take_slot("b")
    assert not two.take_slot("c")
    assert two.full
    two.give_back("a")
    assert two.take_slot("c")


def test_taking_a_slot_twice_takes_one(two):
    assert two.take_slot("a")
    assert two.take_slot("a")
    assert two.take_slot("b")


def test_a_slot_goes_by_two_names(two):
    two.take_slot("placed")
    two.also_known_as("placed", "CA1")
    assert two.take_slot("CA1")
    assert two.take_slot("other")
    two.give_back("CA1")
    assert not two.full
    assert two.take_slot("placed")


def test_a_stream_takes_over_the_slot_of_its_call_and_a_second_stream_is_refused(two):
    two.take_slot("placed")
    assert two.enter("placed", "CA1", FakeCall()) is None
    assert two.enter("placed", "CA1", FakeCall()) == "the call has a stream already"
    assert two.active == 1
    two.give_back("CA1")  # a live one is left alone
    assert two.active == 1
    two.leave("CA1")
    assert two.take_slot("a")
    assert two.take_slot("b")


def test_a_stream_whose_slot_another_process_holds_is_admitted_by_our_own_count(two):
    assert two.enter("x", "CA1", FakeCall()) is None
    assert two.enter("y", "CA2", FakeCall()) is None
    assert two.enter("z", "CA3", FakeCall()) == "at capacity"


def test_a_slot_whose_stream_never_comes_is_given_back(two, at_work):
    with at_work(two):
        two.take_slot("a")
        two.take_slot("b")
        two.expect_stream("a", 0.01)
        assert eventually(lambda: not two.full)
        assert two.take_slot("c")


def test_the_carriers_word_that_a_call_is_over_ends_it(two):
    call = FakeCall()
    two.enter("a", "CA1", call)
    two.call_ended_elsewhere("CA1", "completed")
    assert call.told == ["cut: caller.hung_up"]
    two.take_slot("CA2")
    two.call_ended_elsewhere("CA2", "busy")
    two.call_ended_elsewhere("unknown", "completed")
    two.take_slot("b")
    assert two.full


def test_a_drain_refuses_new_calls_and_says_goodbye_before_its_time_is_over(at_work, monkeypatch):
    monkeypatch.setattr(module, "GOODBYE_S", 0.1)
    registry = Registry(5, drain_s=0.2)
    call = FakeCall()
    registry.take_slot("placed")
    registry.enter("a", "CA1", call)
    with at_work(registry) as drained:
        registry.drain_requested = True
        assert not registry.take_slot("b")
        assert registry.enter("placed", "CA2", FakeCall()) is None  # it was promised a slot
        assert registry.enter("c", "CA3", FakeCall()) == "at capacity"
        assert drained.wait(5)
        # It is cut again in each round, until it leaves.
        assert call.told[:2] == ["wind up: server.draining", "cut: server.draining"]


def test_a_drain_without_calls_is_over_at_once(at_work):
    registry = Registry(5, drain_s=60)
    with at_work(registry) as drained:
        registry.drain_requested = True
        assert drained.wait(2)


def test_at_a_stop_who_still_hears_the_opening_is_waited_for_and_hears_a_goodbye(at_work):
    """Also where all others have been told to say it before the stream came."""
    registry = Registry(5, drain_s=module.GOODBYE_S)
    first, second = FakeCall(), FakeCall()
    registry.enter("CA1", "CA1", first)
    registry.take_slot("CA2")
    registry.answered("CA2")
    with at_work(registry) as drained:
        registry.drain_requested = True
        assert first.heard.wait(2)
        registry.leave("CA1")
        assert not drained.wait(0.1)
        assert registry.enter("CA2", "CA2", second) is None
        assert second.heard.wait(2)
        assert second.told == ["wind up: server.draining"]
        registry.leave("CA2")
        assert drained.wait(2)


def test_a_stop_does_not_wait_for_a_stream_that_does_not_come(at_work, monkeypatch):
    monkeypatch.setattr(module, "OPENING_S", 0.05)
    registry = Registry(5, drain_s=60)
    registry.take_slot("rings")
    registry.take_slot("CA1")
    registry.answered("CA1")
    with at_work(registry) as drained:
        registry.drain_requested = True
        assert drained.wait(2)


def test_a_call_that_is_over_takes_no_slot_again(two):
    """Its webhook was on its way when its end was reported, and nobody would give that slot back."""
    two.take_slot("placed")
    two.also_known_as("placed", "CA1")
    two.call_ended_elsewhere("CA1", "completed")
    two.call_ended_elsewhere("CA2", "busy")  # the first we hear of it
    for key in ("placed", "CA1", "CA2"):
        assert two.take_slot(key)
        two.expect_stream(key, 60)
    assert two.take_slot("a")
    assert two.take_slot("b")
    assert two.enter("placed", "CA1", FakeCall()) == "at capacity"
    two.give_back("a")
    assert two.enter("placed", "CA1", FakeCall()) is None


def test_calls_that_are_over_are_not_remembered_for_ever(two, monkeypatch):
    monkeypatch.setattr(module, "MOST_PAST", 3)
    for number in range(5):
        two.call_ended_elsewhere(f"CA{number}", "completed")
    assert list(two._past) == ["CA2", "CA3", "CA4"]


def test_at_a_stop_a_call_that_is_stuck_keeps_no_other_from_its_goodbye(monkeypatch):
    monkeypatch.setattr(module, "TELL_S", 0.05)

    class Stuck(FakeCall):
        def wind_up(self, reason: str) -> None:
            released.wait(5)

    released = threading.Event()
    registry = Registry(3, drain_s=module.GOODBYE_S)
    others = [FakeCall(), FakeCall()]
    for number, call in enumerate([Stuck(), *others]):
        assert registry.enter(f"CA{number}", f"CA{number}", call) is None
    registry.start()
    registry.drain_requested = True
    for call in others:
        assert call.heard.wait(2)
        assert call.told == ["wind up: server.draining"]
    released.set()
    for number in range(3):
        registry.leave(f"CA{number}")
    registry.close()


def test_calls_that_are_cut_at_the_end_have_left_when_the_registry_is_closed(two):
    """What they have to say last is for the record, which is closed next."""

    class Leaving(FakeCall):
        def cut(self, reason: str) -> None:
            super().cut(reason)
            threading.Timer(0.1, lambda: (self.told.append("left"), two.leave("CA1"))).start()

    call = Leaving()
    assert two.enter("CA1", "CA1", call) is None
    two.close()
    assert call.told == ["cut: server.stopped", "left"]


def test_a_call_that_does_not_leave_holds_up_nobody_for_long(two, monkeypatch):
    monkeypatch.setattr(module, "LEAVE_S", 0.05)
    assert two.enter("CA1", "CA1", FakeCall()) is None
    two.close()


def test_without_threads_calls_are_told_of_a_stop_one_after_another(two):
    calls = [FakeCall(), FakeCall()]
    for number, call in enumerate(calls):
        two.enter(f"CA{number}", f"CA{number}", call)
    drained = threading.Event()
    two.drain_s, two.on_drained = 0, drained.set
    two.start()
    with no_thread_left():
        two.drain_requested = True
        assert drained.wait(5)
    assert [call.told for call in calls] == [["cut: server.draining"]] * 2
    for number in range(2):
        two.leave(f"CA{number}")
    two.close()
