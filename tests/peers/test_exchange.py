"""Letters between processes, by a real PostgreSQL and a real Redis."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Queue
from threading import Event
from threading import enumerate as all_threads
from time import monotonic

import pytest

from callapp.peers import exchange as module
from callapp.peers.exchange import Exchange, Receiver
from callapp.peers.wire import MOST_LETTER_BYTES, Listener, Sender, Wire, WireLost
from tests.peers.conftest import InCommon
from tests.stage import DEADLINE_S, eventually, no_thread_left


class Ears:
    """Hears, and knows when it can be heard."""

    def __init__(self) -> None:
        self.heard: Queue[str] = Queue()
        self.opened = Event()
        self.ticked = Event()

    def next(self) -> str:
        return self.heard.get(timeout=DEADLINE_S)

    @property
    def receiver(self) -> Receiver:
        return Receiver(self.heard.put, self.opened.set, self.ticked.set)


@contextmanager
def listening(wire: Wire, *channels: str) -> Iterator[tuple[Exchange, Ears]]:
    exchange, ears = Exchange(wire), Ears()
    exchange.start(channels, ears.receiver)
    try:
        assert ears.opened.wait(DEADLINE_S)
        yield exchange, ears
    finally:
        exchange.close(DEADLINE_S)


def peers_threads() -> list[str]:
    return [one.name for one in all_threads() if one.name.startswith("peers-")]


def test_letters_arrive_at_their_channel_whole_in_order_and_none_is_taken_for_its_like(
    in_common: InCommon,
) -> None:
    """Many go at a time, and PostgreSQL would join what is equal: silence is like silence."""
    letters = ["same"] * 300 + [str(number) for number in range(300)] + ["x" * (MOST_LETTER_BYTES - 50)]
    with (
        listening(in_common.wire, "one", "all") as (one, heard),
        listening(in_common.wire, "all") as (two, rest),
    ):
        for letter in letters:
            two.send("one", letter)
        two.send("all", "to both")
        assert [heard.next() for _ in letters] == letters
        assert (heard.next(), rest.next()) == ("to both", "to both")
        one.send("nobody", "lost")
        one.send("one", "to oneself")
        assert heard.next() == "to oneself"
    assert peers_threads() == []


def test_letters_are_kept_while_the_server_is_away_but_audio_is_not(
    in_common: InCommon, caplog: pytest.LogCaptureFixture
) -> None:
    """What was said meanwhile would be heard too late; that somebody has left must be told all the same."""
    with listening(in_common.wire, "here") as (exchange, ears):
        exchange.send("here", "before", audio=True)
        assert ears.next() == "before"
        ears.opened.clear()
        in_common.stop()
        try:
            exchange.send("here", "audio of the outage", audio=True)
            exchange.send("here", "left")
            assert eventually(lambda: caplog.text.count("! ") >= 2, DEADLINE_S)
            ears.ticked.clear()
            assert ears.ticked.wait(DEADLINE_S)  # what is old is looked after all the same
            assert not exchange.listening
        finally:
            in_common.start()
        assert ears.opened.wait(DEADLINE_S)
        assert exchange.listening
        exchange.send("here", "again", audio=True)
        heard = [ears.next()]
        while heard[-1] != "again":
            heard.append(ears.next())
        assert "audio of the outage" not in heard
    # Told once by each thread, however often they dialled.
    assert [one.levelname for one in caplog.records if "! " in one.message].count("ERROR") == 2


def test_without_threads_the_next_who_has_something_to_tell_tries_again(in_common: InCommon) -> None:
    """The system may have none left for a moment: no two processes could meet any more after that."""
    exchange, stopped, ears = Exchange(in_common.wire), Exchange(in_common.wire), Ears()
    with no_thread_left():
        for one in (exchange, stopped):
            one.start(["here"], ears.receiver)
    stopped.close(0)  # what is closed after it at a stop is closed, too
    exchange.start(["here"], ears.receiver)
    assert ears.opened.wait(DEADLINE_S)
    exchange.send("here", "hello")
    assert ears.next() == "hello"
    exchange.close(DEADLINE_S)
    assert peers_threads() == []


def test_what_is_in_line_goes_out_before_the_end(in_common: InCommon) -> None:
    with listening(in_common.wire, "here") as (_, ears):
        with listening(in_common.wire, "there") as (leaver, _):
            leaver.send("here", "goodbye")
        assert ears.next() == "goodbye"


def test_a_connection_on_which_nothing_is_sent_is_given_back_and_had_again(
    in_common: InCommon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis, or what stands before it, may close it by and by without a word."""
    monkeypatch.setattr(module, "IDLE_S", 0.05)
    let_go = Event()
    close = module._close

    def note(connection: Sender | Listener | None) -> None:
        close(connection)
        if connection is not None:
            let_go.set()

    monkeypatch.setattr(module, "_close", note)
    with listening(in_common.wire, "here") as (exchange, ears):
        for text in ("before", "after"):
            exchange.send("here", text)
            assert ears.next() == text
            assert let_go.wait(DEADLINE_S)
            let_go.clear()


def test_an_end_is_quick_when_the_server_is_away(in_common: InCommon) -> None:
    in_common.stop()
    try:
        exchange = Exchange(in_common.wire)
        exchange.start(("here",), Ears().receiver)
        exchange.send("here", "for nobody")
        exchange.close(DEADLINE_S)
        assert peers_threads() == []
    finally:
        in_common.start()


def test_a_bug_about_one_letter_leaves_the_others_heard(
    in_common: InCommon, caplog: pytest.LogCaptureFixture
) -> None:
    heard: Queue[str] = Queue()
    opened = Event()

    def hear(text: str) -> None:
        if text == "bad":
            raise RuntimeError("bug")
        heard.put(text)

    exchange = Exchange(in_common.wire)
    exchange.start(("here",), Receiver(hear, opened.set, lambda: None))
    try:
        assert opened.wait(DEADLINE_S)
        exchange.send("here", "bad")
        exchange.send("here", "good")
        assert heard.get(timeout=DEADLINE_S) == "good"
        assert "! bug" in caplog.text
    finally:
        exchange.close(DEADLINE_S)


class Stuck:
    """A wire that takes nothing until it is let."""

    name = "Stuck"

    def __init__(self) -> None:
        self.let = Event()
        self.asked = Event()
        self.sent: Queue[str] = Queue()

    def sender(self) -> Stuck:
        self.asked.set()
        self.let.wait(DEADLINE_S)
        return self

    def listener(self, channels: object) -> Stuck:
        raise WireLost("deaf")

    def send(self, letters: list[tuple[str, str]]) -> None:
        for _, text in letters:
            self.sent.put(text)

    def close(self) -> None:
        pass


def test_when_the_line_is_full_the_oldest_letters_are_not_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And whoever puts one in never waits: it is a thread with audio to carry."""
    monkeypatch.setattr(module, "LETTER_KEPT_S", 3600.0)
    caplog.set_level(logging.CRITICAL)
    stuck = Stuck()
    exchange = Exchange(stuck)
    exchange.start(("here",), Ears().receiver)
    exchange.send("there", "first")
    assert stuck.asked.wait(DEADLINE_S)
    for number in range(module.MOST_WAITING + 10):
        exchange.send("there", str(number))
    stuck.let.set()
    exchange.close(DEADLINE_S)
    sent = list(stuck.sent.queue)
    assert sent[0] == "first"
    assert sent[1:] == [str(number) for number in range(10, module.MOST_WAITING + 10)]


class Away:
    """A wire whose server is not there; when it was dialled."""

    name = "Away"

    def __init__(self) -> None:
        self.to_send_s: Queue[float] = Queue()
        self.to_listen_s: Queue[float] = Queue()

    def sender(self) -> Sender:
        self.to_send_s.put(monotonic())
        raise WireLost("nobody there")

    def listener(self, channels: object) -> Listener:
        self.to_listen_s.put(monotonic())
        raise WireLost("nobody there")


def test_a_server_that_is_away_is_dialled_now_and_then_and_not_all_the_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each process would keep a processor busy with it, and the server that comes back."""
    monkeypatch.setattr(module, "REDIAL_S", 0.05)
    away = Away()
    exchange = Exchange(away)
    exchange.start(("here",), Ears().receiver)
    exchange.send("there", "hello")
    try:
        for dialled_s in (away.to_send_s, away.to_listen_s):
            first_s, second_s, third_s = (dialled_s.get(timeout=DEADLINE_S) for _ in range(3))
            assert min(second_s - first_s, third_s - second_s) >= module.REDIAL_S
    finally:
        exchange.close(DEADLINE_S)
    assert sorted(one.message.split(":")[0] for one in caplog.records) == [
        "! Away brings nothing from other processes",
        "! Away takes nothing for other processes",
    ]


class Noting:
    """A wire that notes what is done with it; nobody can listen."""

    name = "Noting"

    def __init__(self) -> None:
        self._notes: Queue[object] = Queue()
        self.fails = False  # the next to be sent is lost, and the connection with it

    def next(self, count: int) -> list[object]:
        return [self._notes.get(timeout=DEADLINE_S) for _ in range(count)]

    def rest(self) -> list[object]:
        return list(self._notes.queue)

    def sender(self) -> Noting:
        self._notes.put("dialled")
        return self

    def listener(self, channels: object) -> Listener:
        raise WireLost("deaf")

    def send(self, letters: Sequence[tuple[str, str]]) -> None:
        if self.fails:
            self.fails = False
            raise WireLost("gone")
        self._notes.put([text for _, text in letters])

    def close(self) -> None:
        self._notes.put("let go")


def test_letters_have_one_connection_and_one_thread() -> None:
    """Whoever has something to tell starts the exchange: each call does."""
    wire = Noting()
    exchange = Exchange(wire)
    for _ in range(3):
        exchange.start(("here",), Ears().receiver)
    exchange.send("there", "one")
    assert wire.next(2) == ["dialled", ["one"]]
    exchange.send("there", "two")
    assert wire.next(1) == [["two"]]
    assert sorted(peers_threads()) == ["peers-listener", "peers-sender"]
    exchange.close(DEADLINE_S)
    assert wire.rest() == ["let go"]


def test_a_connection_that_was_given_back_is_not_had_again_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.02)
    wire = Noting()
    exchange = Exchange(wire)
    exchange.start(("here",), Ears().receiver)
    for text in ("one", "two"):
        exchange.send("there", text)
        assert wire.next(3) == ["dialled", [text], "let go"]
    exchange.close(DEADLINE_S)
    assert wire.rest() == []


def test_what_was_lost_with_a_connection_goes_out_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """That somebody has left, for one."""
    monkeypatch.setattr(module, "REDIAL_S", 0.02)
    wire = Noting()
    wire.fails = True
    exchange = Exchange(wire)
    for text in ("one", "two"):
        exchange.send("there", text)
    exchange.start(("here",), Ears().receiver)
    assert wire.next(4) == ["dialled", "let go", "dialled", ["one", "two"]]
    exchange.close(DEADLINE_S)


def test_what_has_become_old_is_looked_after_while_letters_come(
    in_common: InCommon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.02)
    with listening(in_common.wire, "here") as (_, ears):
        assert ears.ticked.wait(DEADLINE_S)
