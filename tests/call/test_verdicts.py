"""Who answered, brought to the call that waits for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from queue import Queue
from threading import Event

import pytest

from callapp.call.verdicts import Verdicts
from callapp.call_log.store import StoreUnavailable
from tests.stage import closes_at_once

DEADLINE_S = 10


class Log:
    """A database that is told by another process."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.asked: Queue[set[str]] = Queue()
        self.away = False

    def find(self, call_sids: Collection[str]) -> Mapping[str, str]:
        self.asked.put(set(call_sids))
        if self.away:
            raise StoreUnavailable("no connection")
        return {sid: who for sid, who in self.known.items() if sid in call_sids}


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def verdicts(log: Log) -> Iterator[Verdicts]:
    verdicts = Verdicts(log.find)
    yield verdicts
    verdicts.close()


def test_a_word_that_came_before_the_stream_is_told_at_once(verdicts: Verdicts, log: Log) -> None:
    log.known["CA1"] = "machine_end_beep"
    heard: Queue[str] = Queue()
    verdicts.expect("CA1", heard.put, 30)
    assert heard.get(timeout=DEADLINE_S) == "machine_end_beep"


def test_a_word_that_another_process_was_told_is_found(verdicts: Verdicts, log: Log) -> None:
    heard: Queue[str] = Queue()
    verdicts.expect("CA1", heard.put, 30)
    log.asked.get(timeout=DEADLINE_S)
    log.known["CA1"] = "human"
    assert heard.get(timeout=DEADLINE_S) == "human"


def test_a_word_is_told_once_and_to_its_own_call(verdicts: Verdicts) -> None:
    heard: list[tuple[str, str]] = []
    verdicts.expect("CA1", lambda who: heard.append(("CA1", who)), 30)
    verdicts.expect("CA2", lambda who: heard.append(("CA2", who)), 30)
    for _ in range(2):
        verdicts.arrived("CA1", "human")
    verdicts.arrived("CA3", "human")
    assert heard == [("CA1", "human")]


def test_all_calls_are_looked_up_in_one_query_and_none_when_nobody_waits(
    verdicts: Verdicts, log: Log
) -> None:
    for call_sid in ("CA1", "CA2"):
        verdicts.expect(call_sid, lambda _: None, 30)
    while log.asked.get(timeout=DEADLINE_S) != {"CA1", "CA2"}:
        pass
    verdicts.forget("CA1")
    while log.asked.get(timeout=DEADLINE_S) != {"CA2"}:
        pass


def test_a_database_that_is_away_costs_a_delay(verdicts: Verdicts, log: Log) -> None:
    log.away = True
    heard: Queue[str] = Queue()
    verdicts.expect("CA1", heard.put, 30)
    log.asked.get(timeout=DEADLINE_S)
    log.known["CA1"] = "human"
    log.away = False
    assert heard.get(timeout=DEADLINE_S) == "human"


def test_a_word_that_never_comes_is_not_waited_for_forever(
    verdicts: Verdicts, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callapp.call.verdicts.GRACE_S", 0)
    verdicts.expect("CA1", lambda _: None, 0)
    verdicts.expect("CA2", lambda _: None, 30)
    assert log.asked.get(timeout=DEADLINE_S) == {"CA2"}


def test_a_database_that_hangs_is_not_waited_for_at_the_end() -> None:
    """The record has its own time then, which nothing may take."""
    asked, answer = Event(), Event()

    def find(_: Collection[str]) -> Mapping[str, str]:
        asked.set()
        answer.wait(DEADLINE_S)
        return {}

    verdicts = Verdicts(find)
    verdicts.expect("CA1", lambda _: None, 30)
    assert asked.wait(DEADLINE_S)
    assert closes_at_once(verdicts.close, answer)
    verdicts.close()
