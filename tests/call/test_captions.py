"""A call that is listened to, between a fake stream and fake sessions."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, cast

import pytest

from callapp.call.captions import CaptionedCall
from callapp.call.threads import Threads
from callapp.conversation.captioning import Terms
from callapp.conversation.dictation import EndPiece, SendSpeech, TextDone, TextGrew
from callapp.conversation.events import CallerHungUp, ModelLost
from callapp.conversation.facts import Began, Closed, Ended, Fact, Uttered
from callapp.errors import LegLost
from callapp.realtime.transcription import Ready
from callapp.simulators.ulaw import silence, tone
from callapp.telephony.listening import ListeningLeg, Sound
from tests.call.test_interpreter import FakePhone

WAIT_S = 5.0
HOUR = 3_600_000


class FakeTranscriber:
    """Says what is put into it, and keeps what it is sent."""

    def __init__(self, ready: Any) -> None:
        self.outbox: queue.Queue[Any] = queue.Queue()
        self.heard: queue.Queue[SendSpeech | EndPiece] = queue.Queue()
        self._ready = ready

    def dial(self) -> None:
        self.outbox.put(self._ready)

    def receive(self) -> list[Any]:
        event = self.outbox.get(timeout=WAIT_S)
        if isinstance(event, Exception):
            raise event
        return [event]

    def do(self, what: SendSpeech | EndPiece) -> None:
        self.heard.put(what)

    def piece(self) -> bytes:
        """The next piece that it hears, whole."""
        audio = b""
        while isinstance(what := self.heard.get(timeout=WAIT_S), SendSpeech):
            audio += what.ulaw
        return audio

    def close(self) -> None:
        self.outbox.put(LegLost("model", 1000, "closed by us"))

    def release(self) -> None:
        pass

    def meaning_of(self, loss: LegLost) -> ModelLost:
        refused = loss.code == 3000
        return ModelLost("openai.refused" if refused else "openai.disconnected", refused)


class World:
    """A captioned call, and all that is around it. The caller's session is the first one made."""

    def __init__(self, first_ready: Any = None, **terms: float) -> None:
        self.stream = FakePhone()
        self.sessions: list[FakeTranscriber] = []
        self.made: queue.Queue[FakeTranscriber] = queue.Queue()
        self.facts: list[Fact] = []
        self.uttered: queue.Queue[Uttered] = queue.Queue()
        self.reason: queue.Queue[str] = queue.Queue()
        self._first_ready = first_ready or Ready()
        self.call = CaptionedCall(
            cast(ListeningLeg, self.stream),
            Terms(**{"most_ms": HOUR, "session_ms": HOUR, **terms}),
            self._new_transcriber,
            self._note,
            logging.getLogger("test"),
        )
        self.thread = threading.Thread(target=lambda: self.reason.put(self.call.run()))
        self.thread.start()

    def _new_transcriber(self) -> FakeTranscriber:
        session = FakeTranscriber(Ready() if self.sessions else self._first_ready)
        self.sessions.append(session)
        self.made.put(session)
        return session

    def _note(self, fact: Fact, at_ms: float) -> None:
        self.facts.append(fact)
        if isinstance(fact, Uttered):
            self.uttered.put(fact)

    def session(self) -> FakeTranscriber:
        return self.made.get(timeout=WAIT_S)

    def say(self, speaker: Any, at_ms: float = 1000) -> None:
        """A second of sound and one of silence."""
        self.stream.inbox.put(Sound(speaker, tone(1000, 1000), at_ms))
        self.stream.inbox.put(Sound(speaker, silence(1000), at_ms + 1000))

    def ended(self) -> str:
        reason = self.reason.get(timeout=WAIT_S)
        self.thread.join(WAIT_S)
        assert self.stream.closed.is_set()
        assert isinstance(self.facts[0], Began)
        assert [type(fact) for fact in self.facts[-2:]] == [Ended, Closed]
        return reason


@pytest.fixture
def worlds() -> Iterator[list[World]]:
    made: list[World] = []
    yield made
    for world in made:
        world.call.cut("server.stopped")
        world.thread.join(WAIT_S)
        assert not any(thread.name == "transcriber" for thread in threading.enumerate())


@pytest.fixture
def world(worlds: list[World]) -> World:
    worlds.append(World())
    return worlds[0]


def test_each_speaker_is_heard_by_their_own_session_and_told_at_their_place_in_time(world: World) -> None:
    caller, other = world.session(), world.session()
    world.say("other", 1000)
    assert len(other.piece()) > 8000
    other.outbox.put(TextGrew("a", "Hel"))
    assert world.uttered.get(timeout=WAIT_S).growing
    other.outbox.put(TextDone("a", "Hello.", 1.5))
    told = world.uttered.get(timeout=WAIT_S)
    while told.growing:
        told = world.uttered.get(timeout=WAIT_S)
    assert (told.role, told.text, told.start_ms, told.end_ms) == ("other", "Hello.", 1000, 2000)
    assert caller.heard.empty()
    world.stream.inbox.put(CallerHungUp())
    assert world.ended() == "caller.hung_up"


def test_the_last_words_are_written_down_after_the_hang_up(world: World) -> None:
    caller = world.session()
    world.stream.inbox.put(Sound("caller", tone(1000, 1000), 1000))
    world.stream.inbox.put(CallerHungUp())
    caller.piece()
    caller.outbox.put(TextDone("a", "Goodbye."))
    assert world.uttered.get(timeout=WAIT_S).text == "Goodbye."
    assert world.ended() == "caller.hung_up"


def test_a_session_that_drops_is_dialled_again_and_hears_the_sentence_from_its_beginning(
    world: World,
) -> None:
    caller, _ = world.session(), world.session()
    world.say("caller")
    piece = caller.piece()
    caller.outbox.put(LegLost("model", 1006, "gone"))
    again = world.session()
    assert again.piece() == piece
    again.outbox.put(TextDone("b", "Whole."))
    assert world.uttered.get(timeout=WAIT_S).text == "Whole."


def test_an_old_session_that_we_replace_is_not_told_of_as_lost(
    worlds: list[World], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever is called at night for a lost session looks for a fault that there is not."""
    worlds.append(World(session_ms=50))
    for _ in range(4):  # one of each of the two, and its successor
        worlds[0].session()
    worlds[0].call.cut("server.stopped")
    assert worlds[0].ended() == "server.stopped"
    assert "lost" not in caplog.text


def test_a_wrong_key_ends_the_captions(worlds: list[World]) -> None:
    worlds.append(World(first_ready=LegLost("model", 3000, "invalid_api_key")))
    assert worlds[0].ended() == "openai.refused"


def test_a_bug_in_a_sessions_thread_ends_the_captions_and_nothing_else(worlds: list[World]) -> None:
    worlds.append(World(first_ready=RuntimeError("a bug")))
    assert worlds[0].ended() == "server.error"


def test_without_a_thread_for_a_session_another_is_dialled(
    worlds: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have none left for a moment; the captions are not to be lost for good by that."""
    start, starts = Threads.start, count()

    def scarce(threads: Threads, target: Callable[[], None], name: str) -> threading.Thread:
        if next(starts) == 0:
            raise RuntimeError("can't start new thread")
        return start(threads, target, name)

    monkeypatch.setattr(Threads, "start", scarce)
    worlds.append(World())
    _never_dialled, _others, callers = (worlds[0].session() for _ in range(3))
    worlds[0].say("caller")
    assert callers.piece()
    worlds[0].stream.inbox.put(CallerHungUp())
    assert worlds[0].ended() == "caller.hung_up"


def test_who_hung_up_can_be_known_before_the_stream_says_that_it_is_over(world: World) -> None:
    """The dial's end says that it was the other; the stream only stops."""
    world.session()
    world.call.cut("other.hung_up")
    world.stream.inbox.put(CallerHungUp())
    assert world.ended() == "other.hung_up"


def test_a_stream_that_does_not_stop_when_the_call_is_over_is_not_waited_for(world: World) -> None:
    world.session()
    world.call.cut("twilio.failed")
    assert world.ended() == "twilio.failed"


def test_a_lost_stream_and_a_dead_one_end_the_captions(
    worlds: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds.append(World())
    worlds[0].stream.inbox.put(LegLost("caller", 1006, "gone"))
    assert worlds[0].ended() == "twilio.disconnected"
    monkeypatch.setattr("callapp.call.stream_end.NO_MEDIA_S", 0.1)
    worlds.append(World())
    assert worlds[1].ended() == "twilio.no_media"


def test_a_server_that_stops_closes_the_stream_alone(world: World) -> None:
    world.session()
    world.call.wind_up("server.draining")
    assert world.ended() == "server.draining"


def test_the_longest_time_ends_the_captions(worlds: list[World]) -> None:
    worlds.append(World(most_ms=100))
    assert worlds[0].ended() == "limit.call_seconds"
