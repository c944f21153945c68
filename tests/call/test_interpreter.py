"""One side of an interpreted call between a fake phone, a fake translator and a fake partner."""

from __future__ import annotations

import logging
import queue
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, cast

import numpy as np
import pytest

from callapp.audio.g711 import Samples, decode
from callapp.call.interpreter import InterpretedSide, Outside
from callapp.call.interpreter_books import Books
from callapp.call.pairs import Side
from callapp.call.threads import Threads
from callapp.call.translators import Translator
from callapp.conversation.events import CallerHungUp, ModelLost, Played, Usage
from callapp.conversation.facts import Ended, Fact, Used
from callapp.conversation.interpreting import LAST_MARK, Terms
from callapp.errors import CarrierUnreachable, LegLost
from callapp.realtime.translator import Finished, Ready, Spoken, Took, Written
from callapp.simulators.ulaw import silence, tone
from callapp.telephony.leg import CallerLeg
from callapp.telephony.media_streams import CallerAudio
from tests.stage import eventually

WAIT_S = 5.0
VOICE = CallerAudio(b64encode(tone(300, 20)), None)
SILENCE = CallerAudio(b64encode(silence(20)), None)


class FakePhone:
    """Says what is put into it, remembers what it is sent."""

    def __init__(self) -> None:
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.sent: list[Any] = []
        self.closed = threading.Event()

    def receive(self) -> list[Any]:
        if self.closed.is_set():
            raise LegLost("caller", 1000, "closed by us")
        try:
            heard = self.inbox.get(timeout=0.02)
        except queue.Empty:
            return []
        if isinstance(heard, Exception):
            raise heard
        return [heard]

    def send(self, command: Any) -> None:
        self.sent.append(command)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed.set()


class FakeTranslator:
    """Gives out what is put into it."""

    def __init__(self) -> None:
        self.outbox: queue.Queue[Any] = queue.Queue()
        self.heard: list[Samples] = []
        self.hears = threading.Event()
        self.finished = threading.Event()
        self.heard_ms = 0.0
        self.mute_ms = 20_000.0

    def dial(self) -> None:
        self.outbox.put(Ready())

    def receive(self) -> list[Any]:
        event = self.outbox.get(timeout=WAIT_S)
        if isinstance(event, Exception):
            raise event
        return [event]

    def hear(self, samples: Samples) -> None:
        self.heard.append(samples)
        self.hears.set()
        self.heard_ms += 20

    def finish(self) -> None:
        self.finished.set()

    def close(self) -> None:
        self.outbox.put(LegLost("model", 1000, "closed by us"))

    def release(self) -> None:
        pass

    def meaning_of(self, loss: LegLost) -> ModelLost:
        return ModelLost("openai.disconnected")


class FakePartner:
    def __init__(self) -> None:
        self.heard = b""
        self.left: queue.Queue[str] = queue.Queue()

    def meet(self, partner: Side) -> None:
        pass

    def hear(self, ulaw: bytes) -> None:
        self.heard += ulaw

    def partner_left(self, reason: str) -> None:
        self.left.put(reason)


class World:
    """A side, and all that is around it."""

    def __init__(self) -> None:
        self.phone, self.partner = FakePhone(), FakePartner()
        self.translators: queue.Queue[FakeTranslator] = queue.Queue()
        self.facts: list[Fact] = []
        self.called_off = threading.Event()
        self.partner_fails = False
        self.dialling = threading.Event()
        self.dialled = threading.Event()  # cleared: the carrier takes its time
        self.dialled.set()
        self.calls_off: list[bool] = []  # whether there was a call to call off by then
        self.reasons: queue.Queue[str] = queue.Queue()
        outside = Outside(
            new_translator=self._new_translator,
            join=lambda side: None,
            leave=lambda side: None,
            call_off=self._call_off,
            call_partner=self._call_partner,
            apologise=lambda: None,
        )
        books = Books(lambda fact, _at_ms: self.facts.append(fact))
        terms = Terms(most_ms=60_000, session_ms=60_000)
        self.side = InterpretedSide(
            cast(CallerLeg, self.phone), terms, 0, outside, books, logging.getLogger("test")
        )
        self._thread = threading.Thread(target=lambda: self.reasons.put(self.side.run()))

    def _new_translator(self) -> Translator:
        translator = FakeTranslator()
        self.translators.put(translator)
        return translator

    def _call_off(self) -> None:
        self.calls_off.append(self.dialled.is_set())
        self.called_off.set()

    def _call_partner(self) -> None:
        self.dialling.set()
        assert self.dialled.wait(WAIT_S)
        if self.partner_fails:
            raise CarrierUnreachable("Twilio was not there")

    def start(self) -> None:
        self._thread.start()

    def together(self) -> FakeTranslator:
        """Start, meet the partner, and talk until the translator hears."""
        self.start()
        self.side.meet(self.partner)
        return self.talk()

    def talk(self) -> FakeTranslator:
        """Talk until the next translator hears."""
        translator = self.translators.get(timeout=WAIT_S)
        while not translator.hears.wait(0.02):
            self.phone.inbox.put(VOICE)
        return translator

    def hears_the_last_line(self) -> None:
        """The phone has played all that it is sent, and is let go."""
        while not self.phone.closed.wait(0.02):
            self.phone.inbox.put(Played(LAST_MARK))

    def ended(self) -> str:
        reason = self.reasons.get(timeout=WAIT_S)
        self._thread.join(WAIT_S)
        assert [fact.reason for fact in self.facts if isinstance(fact, Ended)] == [reason]
        return reason


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.side.cut("server.stopped")


def test_last_words_are_given_to_the_partner_before_they_are_let_go(world: World) -> None:
    translator = world.together()
    world.phone.inbox.put(CallerHungUp())
    assert translator.finished.wait(WAIT_S)
    translator.outbox.put(Spoken(np.full(800, 5000, np.int16)))
    translator.outbox.put(Finished())
    assert world.partner.left.get(timeout=WAIT_S) == "other.hung_up"
    assert np.abs(decode(world.partner.heard)[-800:].astype(int)).min() > 4000
    assert world.ended() == "caller.hung_up"


def test_the_last_words_are_heard_as_they_are_translated_though_their_speaker_is_gone(world: World) -> None:
    """The phone that was put down was the clock: what is being heard then must not stop within a word."""
    translator = world.together()
    began_s = monotonic()
    world.phone.inbox.put(CallerHungUp())
    assert translator.finished.wait(WAIT_S)
    before = len(world.partner.heard)

    def loud() -> np.ndarray[Any, Any]:
        return np.flatnonzero(np.abs(decode(world.partner.heard[before:]).astype(int)) > 4000)

    translator.outbox.put(Spoken(np.full(800, 5000, np.int16)))
    assert eventually(lambda: len(loud()) == 800, WAIT_S)
    assert world.partner.left.empty(), "it was heard only when all had been translated"
    assert np.ptp(loud()) == 799, "torn"
    heard_ms = (len(world.partner.heard) - before) / 8
    assert heard_ms <= (monotonic() - began_s) * 1000, "silence piles up in front of what is said next"
    translator.outbox.put(Finished())
    assert world.partner.left.get(timeout=WAIT_S) == "other.hung_up"
    assert len(loud()) == 800
    assert world.ended() == "caller.hung_up"


@pytest.mark.parametrize(
    ("sign", "replaced"),
    [
        (Written("target", "Hello."), False),
        (Spoken(np.full(800, 5000, np.int16)), False),
        (Spoken(np.zeros(800, np.int16)), True),
    ],
)
def test_a_translator_that_is_spoken_to_and_says_nothing_is_replaced(
    world: World, sign: Written | Spoken, replaced: bool
) -> None:
    """Its socket stands, and the partner heard nothing of what was said until the end of the call."""
    translators = world.side._translators

    def say(ms: int) -> None:
        for _ in range(ms // 20):
            world.phone.inbox.put(VOICE)
        assert eventually(world.phone.inbox.empty, WAIT_S)

    translator = world.together()
    say(200)
    assert translators._unanswered_ms > 0
    translator.outbox.put(Written("source", "Good morning."))
    assert eventually(lambda: translators._unanswered_ms == 0, WAIT_S)
    translator.mute_ms = 300.0
    say(200)
    translator.outbox.put(sign)
    assert replaced or eventually(lambda: translators._unanswered_ms == 0, WAIT_S)
    say(200)
    assert eventually(lambda: not world.translators.empty(), WAIT_S if replaced else 0.1) == replaced


def test_a_translator_that_nobody_speaks_to_is_kept(world: World) -> None:
    translator = world.together()
    translator.outbox.put(Written("source", "Good morning."))
    assert eventually(lambda: world.side._translators._unanswered_ms == 0, WAIT_S)
    translator.mute_ms = 100.0
    for _ in range(20):
        world.phone.inbox.put(SILENCE)
    assert eventually(lambda: len(translator.heard) > 20, WAIT_S)
    assert world.translators.empty()
    assert translator.outbox.empty()


def test_what_a_translator_heard_that_was_lost_is_counted_with_its_successor(world: World) -> None:
    first, translators = world.together(), world.side._translators
    first.outbox.put(LegLost("model", 1006, "reset"))
    second = world.talk()
    assert eventually(lambda: len(translators._alive) == 1, WAIT_S)
    assert translators.heard_s * 1000 == first.heard_ms + second.heard_ms


def test_what_a_translator_used_is_counted_and_ends_the_call_at_its_limit(world: World) -> None:
    world.side._books = Books(lambda fact, _at_ms: world.facts.append(fact), 0.5, lambda _usage: 0.5)
    used = Usage(input_audio=10)
    world.together().outbox.put(Took(used))
    assert world.partner.left.get(timeout=WAIT_S) == "limit.cost"
    assert world.ended() == "limit.cost"
    assert next(fact.usage for fact in world.facts if isinstance(fact, Used)) == used


def test_a_bug_in_the_translators_thread_ends_both_sides(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.together().outbox.put(RuntimeError("no such luck"))
    assert world.partner.left.get(timeout=WAIT_S) == "server.error"
    assert world.ended() == "server.error"
    assert "! bug in the translator's thread" in caplog.text


def test_a_phone_whose_stream_breaks_is_one_that_hung_up_to_the_other(world: World) -> None:
    translator = world.together()
    world.phone.inbox.put(LegLost("caller", 1006, "reset"))
    assert translator.finished.wait(WAIT_S)
    translator.outbox.put(LegLost("model", 1006, "reset as well"))
    assert world.partner.left.get(timeout=WAIT_S) == "other.hung_up"
    assert world.ended() == "twilio.disconnected"


def test_the_carriers_word_for_a_hang_up_does_not_cut_what_is_still_to_be_read(world: World) -> None:
    """A status callback can be faster than the end of the stream."""
    translator = world.together()
    heard = len(translator.heard)
    world.side.cut("caller.hung_up")
    for _ in range(5):
        world.phone.inbox.put(VOICE)
    world.phone.inbox.put(CallerHungUp())
    assert translator.finished.wait(WAIT_S)
    assert len(translator.heard) >= heard + 5
    translator.outbox.put(Finished())
    assert world.ended() == "caller.hung_up"


def test_without_the_streams_own_word_the_carriers_is_enough(world: World) -> None:
    translator = world.together()
    world.side.cut("twilio.failed")
    assert translator.finished.wait(WAIT_S)
    translator.outbox.put(Finished())
    assert world.ended() == "twilio.failed"


def test_without_a_thread_for_a_translator_another_is_dialled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have none left for a moment; two people are not to be cut off by that."""
    start, scarce = Threads.start, {"translator"}

    def start_if_there_is_one(threads: Threads, target: Callable[[], None], name: str) -> threading.Thread:
        if name in scarce:
            scarce.remove(name)
            raise RuntimeError("can't start new thread")
        return start(threads, target, name)

    monkeypatch.setattr(Threads, "start", start_if_there_is_one)
    world.start()
    world.side.meet(world.partner)
    world.translators.get(timeout=WAIT_S)
    second = world.talk()
    world.phone.inbox.put(CallerHungUp())
    assert second.finished.wait(WAIT_S)
    second.outbox.put(Finished())
    assert world.ended() == "caller.hung_up"


def test_the_carriers_first_word_stays_whatever_comes_after_it(world: World) -> None:
    """The stream of a call that has failed only breaks off, and a callback that is late comes after it."""
    translator = world.together()
    world.side.cut("twilio.failed")
    world.side.cut("caller.hung_up")
    world.phone.inbox.put(LegLost("caller", 1006, "reset"))
    assert translator.finished.wait(WAIT_S)
    translator.outbox.put(Finished())
    assert world.ended() == "twilio.failed"


def test_a_partner_who_cannot_be_called_is_unreachable(world: World) -> None:
    world.partner_fails = True
    world.start()
    world.hears_the_last_line()
    assert world.ended() == "other.unreachable"
    assert world.called_off.is_set(), "Twilio may have taken a dial that it did not answer"


def test_a_partner_who_is_there_is_talked_to_though_their_dial_is_said_to_have_failed(world: World) -> None:
    """Twilio took it, and the phone was picked up before we gave up waiting for the answer."""
    world.partner_fails = True
    world.dialled.clear()
    translator = world.together()
    world.dialled.set()
    assert world.side._calling is not None
    world.side._calling.join(WAIT_S)
    heard = len(translator.heard)
    for _ in range(3):
        world.phone.inbox.put(VOICE)
    assert eventually(lambda: len(translator.heard) >= heard + 3)
    world.phone.inbox.put(CallerHungUp())
    assert translator.finished.wait(WAIT_S)
    translator.outbox.put(Finished())
    assert world.ended() == "caller.hung_up"


def test_without_a_thread_to_call_the_partner_the_side_is_over_for_everybody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed in the record as under way, and whoever came to meet it talked to nobody."""
    start = threading.Thread.start

    def none_left(thread: threading.Thread) -> None:
        if thread.name == "errand":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", none_left)
    world.start()
    world.hears_the_last_line()
    assert world.ended() == "other.unreachable"
    world.side.meet(world.partner)
    assert world.partner.left.get(timeout=WAIT_S) == "other.hung_up"


def test_who_meets_a_side_that_has_just_ended_is_told(world: World) -> None:
    """Nobody waits on a line with nobody at its other end."""
    world.start()
    world.phone.inbox.put(CallerHungUp())
    assert world.ended() == "caller.hung_up"
    assert world.called_off.is_set()
    world.side.meet(world.partner)
    assert world.partner.left.get(timeout=WAIT_S) == "other.hung_up"


def test_a_partner_who_is_being_dialled_is_called_off_once_there_is_a_call(world: World) -> None:
    world.dialled.clear()
    world.start()
    assert world.dialling.wait(WAIT_S)
    world.phone.inbox.put(CallerHungUp())
    assert not world.called_off.wait(0.2)
    world.dialled.set()
    assert world.ended() == "caller.hung_up"
    assert world.calls_off == [True]
