"""Something is slow, or stuck: what may wait for it, and what goes on.

The bridge is the real one, with its threads; the legs are fakes, but for the one whose name server is slow.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from typing import Any

import pytest

from callapp.call import bridge as module
from callapp.call.bridge import Bridge
from callapp.call.outside import Outside
from callapp.conversation.commands import ClearAudio, CreateResponse, PlayAudio, SendMark, TruncateItem
from callapp.conversation.events import (
    AudioArrived,
    AudioEnded,
    CallerHungUp,
    MessageStarted,
    ModelLost,
    Part,
    Played,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
)
from callapp.conversation.plan import Plan
from callapp.errors import LegLost
from callapp.realtime.dialling import Endpoint
from callapp.realtime.leg import ModelLeg
from callapp.realtime.session import SessionConfig
from callapp.telephony.media_streams import CallerAudio

DEADLINE_S = 5.0
STUCK_S = 1.0
"""How long a stuck write takes to be given up here; 5 s in the legs."""

CHUNK = b64encode(b"\x55" * 160)
LINE = b64encode(b"\x66" * 800)
log = logging.getLogger("test")


class Leg:
    """A leg whose messages come from a queue; its writes can be made to hang until they are given up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.incoming: Queue[Any] = Queue()
        self.sent: list[Any] = []
        self.audio: list[bytes] = []
        self.stuck = threading.Event()
        self.hangs = threading.Event()
        self.closed = threading.Event()
        self.lost: LegLost | None = None

    def dial(self) -> None:
        pass

    def listen(self, *_listeners: Any) -> None:
        """Nothing is taken where it is read: the call's own threads do everything."""

    def words(self) -> list[Any]:
        """None were put by, either."""
        return []

    def let_go(self) -> None:
        """Nobody listened."""

    def rouse(self, at_s: float) -> None:
        """It comes back often enough."""

    quiet_s = 0.0

    def receive(self) -> list[Any]:
        if self.lost is not None:
            raise self.lost
        if self.closed.is_set():
            raise LegLost(self.name, 1006, "closed")
        try:
            return [self.incoming.get(timeout=0.02)]
        except Empty:
            return []

    def send(self, command: Any) -> None:
        self._write()
        self.sent.append(command)

    def send_audio(self, payload: bytes) -> None:
        self._write()
        self.audio.append(payload)

    def _write(self) -> None:
        if self.stuck.is_set():
            self.hangs.set()
            self.closed.wait(STUCK_S)
            self.lost = LegLost(self.name, 1006, "peer took no whole frame")
            self.lost.__cause__ = TimeoutError()
            raise self.lost
        if self.closed.is_set():
            raise LegLost(self.name, 1006, "closed")

    def close(self) -> None:
        self.closed.set()

    def release(self) -> None:
        pass

    def meaning_of(self, loss: LegLost) -> ModelLost:
        return ModelLost("openai.disconnected")

    def played(self) -> list[Any]:
        return [command for command in self.sent if isinstance(command, PlayAudio)]


class Call:
    """A bridge that runs, between two such legs."""

    def __init__(
        self,
        new_model: Callable[[], Any] | None = None,
        complete_call: Callable[[], None] = lambda: None,
    ) -> None:
        self.caller, self.model = Leg("caller"), Leg("model")
        self.models = [self.model]
        self.bridge = Bridge(
            self.caller,  # type: ignore[arg-type]
            Plan(hold_line=LINE),
            Outside(
                new_model=new_model or self._next_model,  # type: ignore[arg-type]
                run_tool=lambda name, arguments, done: None,
                complete_call=complete_call,
            ),
            log,
        )
        self.ended_s: float | None = None
        self.thread = threading.Thread(target=self._run, name="uplink")
        self.thread.start()

    def _next_model(self) -> Leg:
        if self.model.closed.is_set():
            self.model = Leg("model")
            self.models.append(self.model)
        return self.model

    def _run(self) -> None:
        self.bridge.run()
        self.ended_s = time.monotonic()

    def goes_live(self) -> None:
        self.model.incoming.put(SessionConfirmed())
        self.speak(1)
        eventually(lambda: self.model.audio)

    def speak(self, chunks: int) -> None:
        """The caller says something: so many frames."""
        for _ in range(chunks):
            self.caller.incoming.put(CallerAudio(CHUNK, None))

    def say(self, chunks: int) -> None:
        """The model says something: so many pieces of 20 ms."""
        for _ in range(chunks):
            self.model.incoming.put(AudioArrived("resp_1", Part("item_1", 0), CHUNK))

    def begin_response(self) -> None:
        self.model.incoming.put(ResponseStarted("resp_1"))
        self.model.incoming.put(MessageStarted("resp_1", "item_1"))

    def hang_up(self) -> float:
        """End the call; return how long that took in seconds."""
        began_s = time.monotonic()
        self.caller.incoming.put(CallerHungUp())
        self.thread.join(DEADLINE_S + module.JOIN_S)
        assert self.ended_s is not None, "the call did not end"
        return self.ended_s - began_s


@pytest.fixture
def call() -> Iterator[Call]:
    """A call whose session stands."""
    call = Call()
    call.goes_live()
    yield call
    call.bridge.cut("server.stopped")
    call.thread.join(DEADLINE_S)


def eventually(holds: Callable[[], object], within_s: float = DEADLINE_S) -> float:
    """Wait until something holds; return how long that took, in seconds."""
    began_s = time.monotonic()
    pause = threading.Event()
    while not holds():
        assert time.monotonic() - began_s < within_s, "it did not come to hold"
        pause.wait(0.005)
    return time.monotonic() - began_s


# -- the name server ------------------------------------------------------------------------------


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A name server that answers once the event is set, and then knows nobody."""
    answers = threading.Event()

    def look_up(*args: Any, **kwargs: Any) -> list[Any]:
        answers.wait(30)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield answers
    answers.set()


def real_leg() -> ModelLeg:
    endpoint = Endpoint("wss://api.openai.invalid/v1/realtime", "a-model", "a-key")
    return ModelLeg(endpoint, SessionConfig("Be kind.", "coral", "en-US"), log)


@pytest.mark.alone
def test_while_a_name_is_looked_up_the_caller_is_read_and_hears_a_line(
    name_server: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "JOIN_S", 0.3)
    call = Call(new_model=real_leg)
    call.speak(400)  # eight seconds of it
    assert eventually(call.caller.incoming.empty) < 1.0
    assert 2.0 < eventually(call.caller.played) < 3.5
    took_s = call.hang_up()
    # The look-up cannot be broken off, so its thread is left to itself; the call does not wait for it.
    assert took_s < 1.0
    assert call.bridge.conversation.end_reason == "caller.hung_up"
    dropped = [record.getMessage() for record in caplog.records if "dropped" in record.getMessage()]
    assert dropped == ["! 3000 ms of the caller's audio were dropped: the model was away"]
    name_server.set()


def test_a_name_that_is_never_found_ends_the_call_in_time(name_server: threading.Event) -> None:
    name_server.set()
    call = Call(new_model=real_leg)
    call.thread.join(15)
    assert call.bridge.conversation.end_reason == "openai.unreachable"


# -- a socket that takes nothing ------------------------------------------------------------------


@pytest.mark.alone
def test_a_caller_who_takes_nothing_is_still_heard(call: Call) -> None:
    """The other direction: the model hears every frame while a write to the phone hangs."""
    call.caller.stuck.set()
    call.begin_response()
    call.say(1)
    assert call.caller.hangs.wait(DEADLINE_S)
    heard = len(call.model.audio)
    call.speak(30)
    assert eventually(lambda: len(call.model.audio) == heard + 30) < STUCK_S / 2
    call.thread.join(DEADLINE_S)
    assert call.bridge.conversation.end_reason == "twilio.stalled"


@pytest.mark.alone
def test_a_model_that_takes_nothing_is_still_heard(call: Call) -> None:
    """A write to the model hangs in the thread that reads the phone; the phone is spoken to all the same."""
    call.begin_response()
    call.say(1)
    eventually(lambda: len(call.caller.played()) == 1)
    call.model.stuck.set()
    call.speak(1)
    assert call.model.hangs.wait(DEADLINE_S)
    call.say(30)
    assert eventually(lambda: len(call.caller.played()) == 31) < STUCK_S / 2


@pytest.mark.alone
def test_an_interruption_is_not_held_up_by_a_model_that_takes_nothing(call: Call) -> None:
    """What silences the phone is written first; what tells the model of it may hang."""
    call.begin_response()
    call.say(30)
    eventually(lambda: len(call.caller.played()) == 30)
    call.model.stuck.set()
    call.model.incoming.put(SpeechStarted("item_2"))
    assert eventually(lambda: ClearAudio() in call.caller.sent) < STUCK_S / 2
    assert not any(isinstance(command, TruncateItem | CreateResponse) for command in call.model.sent)


def test_after_a_stuck_model_what_was_said_meanwhile_reaches_the_next_one(call: Call) -> None:
    call.model.stuck.set()
    call.speak(1)
    assert call.model.hangs.wait(DEADLINE_S)
    call.speak(60)
    eventually(lambda: len(call.models) == 2)
    call.models[1].incoming.put(SessionConfirmed())
    eventually(lambda: len(call.models[1].audio) == 61)
    assert call.bridge.conversation.end_reason is None


# -- the carrier's REST API -----------------------------------------------------------------------


@pytest.mark.alone
def test_a_carrier_that_does_not_answer_holds_up_no_audio() -> None:
    """The goodbye was heard and the line is to be completed; the caller says one thing more."""
    asked, answers = threading.Event(), threading.Event()

    def complete_call() -> None:
        asked.set()
        answers.wait(DEADLINE_S)

    call = Call(complete_call=complete_call)
    call.goes_live()
    call.bridge.wind_up("server.draining")
    call.model.incoming.put(ResponseStarted("resp_1", "goodbye"))
    call.say(1)
    eventually(lambda: call.caller.played())
    call.model.incoming.put(AudioEnded("resp_1", "item_1", 0))
    call.model.incoming.put(ResponseEnded("resp_1"))
    eventually(lambda: isinstance(call.caller.sent[-1], SendMark))
    call.caller.incoming.put(Played(call.caller.sent[-1].name))
    assert asked.wait(DEADLINE_S)
    call.speak(30)
    assert eventually(lambda: len(call.model.audio) == 31) < 0.5
    answers.set()
    call.hang_up()
