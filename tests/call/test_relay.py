"""Facts reach those who take their time, and nobody on a call waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import Queue

import pytest

from callapp.call import relay as module
from callapp.call.relay import Reader, Relay, Told
from callapp.conversation.facts import Began, Fault
from tests.metrics.test_meter import call

WAIT_S = 20.0


class Notes:
    """A reader that writes down what it is told."""

    def __init__(self) -> None:
        self.told: Queue[Told] = Queue()
        self.ticked = threading.Event()

    def note(self, told: Told) -> None:
        self.told.put(told)

    def tick(self) -> None:
        self.ticked.set()


class Broken:
    def note(self, told: Told) -> None:
        raise ZeroDivisionError

    def tick(self) -> None:
        raise ZeroDivisionError


@pytest.fixture
def start() -> Iterator[Callable[..., Relay]]:
    with ExitStack() as stack:

        def begin(*readers: Reader) -> Relay:
            relay = Relay(readers)
            stack.callback(relay.close, WAIT_S)
            relay.start()
            return relay

        yield begin


def test_facts_are_told_in_order_with_their_call_and_time(start: Callable[..., Relay]) -> None:
    notes = Notes()
    relay = start(notes)
    particulars = call()
    relay(particulars, Began(), 0.0)
    relay(particulars, Fault(5.0, "late"), 7.0)
    assert notes.told.get(timeout=WAIT_S) == Told(particulars, Began(), 0.0)
    assert notes.told.get(timeout=WAIT_S) == Told(particulars, Fault(5.0, "late"), 7.0)


def test_readers_are_ticked_while_nothing_happens(start: Callable[..., Relay]) -> None:
    notes = Notes()
    start(notes)
    assert notes.ticked.wait(WAIT_S)


def test_a_reader_that_fails_does_not_keep_the_others(start: Callable[..., Relay]) -> None:
    notes = Notes()
    relay = start(Broken(), notes)
    for _ in range(2):
        relay(call(), Began(), 0.0)
        assert notes.told.get(timeout=WAIT_S).fact == Began()


def test_what_waits_at_the_end_is_still_told(start: Callable[..., Relay]) -> None:
    notes, go = Notes(), threading.Event()

    class Slow(Notes):
        def note(self, told: Told) -> None:
            assert go.wait(WAIT_S)

    relay = start(Slow(), notes)
    for _ in range(3):
        relay(call(), Began(), 0.0)
    relay.close(0.0)
    go.set()
    relay.close(WAIT_S)
    assert notes.told.qsize() == 3


def test_a_full_queue_drops_and_counts_and_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    relay = Relay([])  # nobody takes anything out
    for _ in range(5):
        relay(call(), Began(), 0.0)
    assert (relay.depth, relay.dropped) == (2, 3)
