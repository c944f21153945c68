"""The bridge between two fake legs: what it performs, in which order, and how it comes to its end."""

from __future__ import annotations

import gc
import logging
import math
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

import pytest

from callapp.call.bridge import Bridge
from callapp.call.levels import Tap
from callapp.call.outside import Outside
from callapp.call.uplink import AGAIN_S
from callapp.conversation import outage
from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    ClearAudio,
    CreateResponse,
    PlayAudio,
    SendMark,
    Tell,
    TruncateItem,
)
from callapp.conversation.events import (
    AgentSaid,
    AudioArrived,
    AudioEnded,
    CallerHungUp,
    CallerSaid,
    DigitPressed,
    ModelLost,
    Part,
    Played,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
)
from callapp.conversation.facts import BargedIn, Began, Closed, Ended, Uttered
from callapp.conversation.history import Line
from callapp.conversation.machine import Conversation
from callapp.conversation.plan import Plan
from callapp.conversation.responses import Responses
from callapp.conversation.wishes import EndCall, Transfer
from callapp.errors import CallappError, CarrierUnreachable, LegLost
from callapp.recording.tape import Tape
from callapp.telephony.media_streams import CallerAudio

WAIT_S = 5.0
QUIET_S = 0.02
SECOND = b"/" * 10_664  # base64 of 7,998 bytes
LIVE_MS = 60_000


class FakeLeg:
    """A leg made of a queue and a list: what is put in is heard, what is sent is told in the journal.

    An exception in the queue is raised. Once closed, or lost, it stays so.
    """

    def __init__(self, name: str, journal: Journal) -> None:
        self.name = name
        self.journal = journal
        self.inbox: queue.Queue[Any] = queue.Queue()
        self.loss: BaseException | None = None
        self.send_fails = False
        self.unread: list[Any] = []  # what has come in when a write fails
        self._heard = False
        self.roused_s: list[float] = []
        self.log = logging.getLogger("callapp.call")

    def hears(self, *events: Any) -> None:
        for event in events:
            self.inbox.put(event)

    def listen(self, *_listeners: Any) -> None:
        """Nothing is taken where it is read: the call's own threads do everything."""

    def let_go(self) -> None:
        """Nobody listened."""

    def rouse(self, at_s: float) -> None:
        """It comes back often enough; when it was to is told."""
        self.roused_s.append(at_s)

    quiet_s = 0.0

    def receive(self) -> list[Any]:
        if self.loss is not None:
            raise self.loss
        if self._heard:
            self.inbox.task_done()  # so that `inbox.join()` returns once all was dealt with
        try:
            heard = self.inbox.get(timeout=QUIET_S)
            self._heard = True
        except queue.Empty:
            self._heard = False
            return []
        if isinstance(heard, BaseException):
            self.loss = self.loss or heard
            raise self.loss
        return [heard]

    def send(self, command: Any) -> None:
        if self.send_fails:
            loss = LegLost(self.name, 1006, "broken pipe")
            self.hears(*self.unread, loss)
            raise loss
        self.journal.add(self.name, command)

    def send_audio(self, payload: bytes) -> None:
        self.send(PlayAudio(payload))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.journal.add(self.name, "close")
        self.hears(LegLost(self.name, code, "closed by us"))


class FakeModel(FakeLeg):
    """The model's leg; ``dials`` decides how dialling goes."""

    def __init__(self, journal: Journal) -> None:
        super().__init__("model", journal)
        self.dials: Callable[[], None] = lambda: None
        self.dialled = threading.Event()
        self.hopeless = True
        self.said: list[tuple[AgentSaid, float]] = []  # and not asked for yet

    def dial(self) -> None:
        self.dialled.set()
        self.dials()

    def send_audio(self, payload: bytes) -> None:
        self.send(payload)

    def words(self) -> list[tuple[AgentSaid, float]]:
        said, self.said = self.said, []
        return said

    def release(self) -> None:
        self.journal.add("model", "release")

    def meaning_of(self, loss: LegLost) -> ModelLost:
        return ModelLost("openai.disconnected", hopeless=self.hopeless)


class Journal:
    """What was done, in order, on both legs, with a way to wait for it."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Any]] = []
        self._changed = threading.Condition()

    def add(self, leg: str, what: Any) -> None:
        with self._changed:
            self.entries.append((leg, what))
            self._changed.notify_all()

    def wait_for(self, what: Any) -> None:
        """Wait for an entry: equal to this, or of this type."""

        def there() -> bool:
            return any(
                isinstance(done, what) if isinstance(what, type) else done == what for _, done in self.entries
            )

        with self._changed:
            assert self._changed.wait_for(there, WAIT_S), f"no {what} in {str(self)[:2000]}"

    def __str__(self) -> str:
        return ", ".join(f"{leg}: {str(what)[:60]}" for leg, what in self.entries)

    def of(self, leg: str) -> list[Any]:
        with self._changed:
            return [done for one, done in self.entries if one == leg]


class FakeExtension:
    """Takes the call away, or raises what it is told to raise."""

    def __init__(self, error: CallappError | None = None) -> None:
        self.error = error
        self.left = threading.Event()
        self.found: str | None = None
        self.looked_for = True  # also by who looks again
        self.let_go_of = False
        self.said: Sequence[Line] = ()
        self.row_is_there = True

    def is_away(self) -> bool:
        return self.row_is_there

    def note_said(self, said: Sequence[Line]) -> None:
        self.said = said

    def leave(self, command: Any, elapsed_ms: float) -> None:
        if self.error is not None:
            raise self.error
        self.left.set()

    def whereabouts(self, *, last: bool = False) -> str | None:
        return self.found if last or self.looked_for else None

    def let_go(self) -> None:
        self.let_go_of = True


class World:
    """A bridge, what is at its ends, and the thread in which it runs."""

    def __init__(
        self,
        plan: Plan | None = None,
        *,
        apologises: bool = False,
        extension: FakeExtension | None = None,
        tape: Tape | None = None,
    ) -> None:
        self.journal = Journal()
        self.caller = FakeLeg("caller", self.journal)
        self.model = FakeModel(self.journal)
        self.models = [self.model]
        self.tools: queue.Queue[tuple[str, str, Callable[[str | EndCall], None]]] = queue.Queue()
        self.completion: Callable[[], None] = lambda: self.caller.hears(CallerHungUp())
        outside = Outside(
            new_model=self._next_model,
            run_tool=lambda name, arguments, done: self.tools.put((name, arguments, done)),
            complete_call=self._complete,
            apologise=(lambda: self.journal.add("carrier", "apology")) if apologises else None,
            extension=extension,  # type: ignore[arg-type]
            journal=lambda fact, at_ms: self.journal.add("facts", fact),
            tape=tape,
        )
        self.bridge = Bridge(
            self.caller,  # type: ignore[arg-type]
            plan or Plan(most_ms=LIVE_MS),
            outside,
            logging.getLogger("callapp.call"),
        )
        self.result: str | BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="uplink")

    def _next_model(self) -> Any:
        return self.models.pop(0)

    def _complete(self) -> None:
        self.journal.add("carrier", "complete")
        self.completion()

    def _run(self) -> None:
        try:
            self.result = self.bridge.run()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.result = error

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> str | BaseException | None:
        """Wait until the call is over; return why."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), str(self.journal)
        return self.result

    # Scripts

    def goes_live(self) -> None:
        self.begin()
        self.model.hears(SessionConfirmed())
        self.caller.hears(CallerAudio(b"////", 0))
        self.journal.wait_for(b"////")

    def speaks(self, response_id: str = "r1", item_id: str = "i1", *, ends: bool = True) -> None:
        """The agent says a second of something."""
        self.model.hears(ResponseStarted(response_id), AudioArrived(response_id, Part(item_id, 0), SECOND))
        if ends:
            self.model.hears(AudioEnded(response_id, item_id, 0), ResponseEnded(response_id))
        self.journal.wait_for(PlayAudio)

    def says_goodbye(self) -> None:
        """The agent says goodbye with `end_call`; it is being heard."""
        call = ToolCalled("r1", "c1", "end_call", "{}")
        self.model.hears(
            ResponseStarted("r1"),
            AudioArrived("r1", Part("i1", 0), SECOND),
            AudioEnded("r1", "i1", 0),
            call,
            ResponseEnded("r1", tool_calls=(call,)),
        )
        _, _, done = self.tools.get(timeout=WAIT_S)
        done(EndCall("done"))
        self.journal.wait_for(AnswerTool)

    def hears_the_goodbye(self) -> None:
        mark = next(done for done in self.journal.of("caller") if isinstance(done, SendMark))
        self.caller.hears(Played(mark.name))
        self.journal.wait_for("complete")


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.bridge.cut("test.over")


# -- what the audio's own thread does -------------------------------------------------------------


def test_an_echo_is_noted_where_it_is_read_unless_something_hangs_on_it(world: World) -> None:
    """Nor does the thread that reads for all wait for a call that is thinking."""
    world.goes_live()
    world.model.hears(ResponseStarted("r1"), AudioArrived("r1", Part("i1", 0), SECOND + SECOND))
    world.journal.wait_for(SendMark("mark-2"))
    assert world.bridge._uplink._hear_mark(Played("mark-1"))
    position = world.bridge.position()
    assert position is not None
    assert position >= 7_998
    assert not world.bridge._uplink._hear_mark(Played("mark-2"))
    thinking = threading.Event()
    go_on = threading.Event()

    def think() -> None:
        with world.bridge._lock:
            thinking.set()
            go_on.wait(WAIT_S)

    thread = threading.Thread(target=think)
    thread.start()
    assert thinking.wait(WAIT_S)
    assert not world.bridge._uplink._hear_mark(Played("mark-1"))
    go_on.set()
    thread.join(WAIT_S)


def speaks(world: World) -> tuple[Part, bytes]:
    """Have the agent begin to speak; return what of, and a piece of its audio. One has been played."""
    world.goes_live()
    part, chunk = Part("i1", 0), b"/" * 216
    world.model.hears(ResponseStarted("r1"), AudioArrived("r1", part, chunk))
    world.journal.wait_for(PlayAudio)
    return part, chunk


def watch_what_is_told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, float]]:
    """Return a list that grows: what the conversation is told from here on, and as of when."""
    told: list[tuple[Any, float]] = []
    receive = Conversation.receive

    def watched(self: Conversation, event: Any, at_ms: float) -> list[Any]:
        told.append((event, at_ms))
        return receive(self, event, at_ms)

    monkeypatch.setattr(Conversation, "receive", watched)
    return told


def test_more_of_what_is_played_is_sent_where_it_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a thought, but for who keeps it; until the caller interrupts, or the phone is gone."""
    part, chunk = speaks(world)
    thought_about = watch_what_is_told(monkeypatch)

    def more() -> int:
        """Let more of it come; return how much has been played."""
        assert world.bridge.go_on(part, chunk) or world.bridge._downlink.hear(AudioArrived("r1", part, chunk))
        return world.journal.of("caller").count(PlayAudio(chunk))

    assert more() == 2
    assert thought_about == []
    tap = Tap()
    world.bridge.tap(tap)
    assert more() == 3
    assert list(tap.agent) == [PlayAudio(chunk)]
    world.bridge.tap(None)
    thought_about.clear()
    assert more() == 4
    assert thought_about == []
    world.caller.send_fails = True
    assert more() == 4
    world.caller.send_fails = False
    assert world.bridge._downlink.hear(SpeechStarted())
    assert more() == 4


@pytest.mark.parametrize("given_up", [True, False])
def test_nothing_goes_on_of_a_session_that_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch, given_up: bool
) -> None:
    """The reader may have some of it in its hands."""
    part, chunk = speaks(world)
    bridge = world.bridge
    assert bridge.go_on(part, chunk)
    world.models.append(FakeModel(world.journal))
    with bridge._lock:  # which the next session has to wait for
        if given_up:
            monkeypatch.setattr(outage.Outage, "look_after", lambda self, at_ms: self._on_stall(at_ms))
            monkeypatch.setattr(Responses, "give_up", lambda _, tools_ask: False)
            bridge.feed(Tick())
        else:
            bridge._downlink._take([ModelLost("openai.disconnected")])
        assert bridge._downlink.gone
        assert not bridge.go_on(part, chunk)
        assert bridge._downlink.hear(AudioArrived("r1", part, chunk))
    assert world.journal.of("caller").count(PlayAudio(chunk)) == 2


def test_words_that_were_put_by_are_known_before_anything_is_decided(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of when they came: who has said something since is not silent yet."""
    world.goes_live()
    told = watch_what_is_told(monkeypatch)
    bridge = world.bridge
    pieces = [AgentSaid("i1", "Well"), AgentSaid("i1", ", yes")]
    world.model.said = [(piece, bridge._began_s + 0.001 * n) for n, piece in enumerate(pieces, 1)]
    bridge.feed(Tick())
    bridge.feed(Tick())
    assert [event for event, _ in told] == [*pieces, Tick(), Tick()]
    assert [at_ms for _, at_ms in told][:2] == pytest.approx([1, 2])
    said = bridge.conversation.history.said("i1")
    assert said is not None
    assert said.text == "Well, yes"


def test_the_uplink_is_roused_when_the_conversation_wants_a_tick(world: World) -> None:
    """Audio does not wake it."""
    world.goes_live()
    bridge = world.bridge
    with bridge._lock:
        assert world.caller.roused_s[-1] == bridge._began_s + bridge.conversation.deadline_ms / 1000
    world.caller.hears(CallerHungUp())
    world.end()
    assert world.caller.roused_s[-1] == math.inf  # a call that is over wants nothing


def test_a_deadline_at_which_nothing_can_be_done_yet_is_no_whirl(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.goes_live()
    began_s = monotonic()
    monkeypatch.setattr(world.bridge._uplink, "tick_at_s", began_s)
    world.bridge._uplink._keep_deadline()
    assert world.caller.roused_s[-1] >= began_s + AGAIN_S


# -- how a call ends ----------------------------------------------------------------------------


def dialling(world: World) -> None:
    """The model's socket is not open yet, and will not be before the call is over."""
    gate = threading.Event()
    close = world.model.close
    world.model.dials = lambda: (gate.wait(WAIT_S), None)[1]
    world.model.close = lambda code=1000, reason="": (gate.set(), close(code, reason))[1]  # type: ignore[method-assign]
    world.begin()
    assert world.model.dialled.wait(WAIT_S)


def waiting(world: World) -> None:
    world.begin()
    assert world.model.dialled.wait(WAIT_S)


def live(world: World) -> None:
    world.goes_live()


def speaking(world: World) -> None:
    live(world)
    world.speaks(ends=False)


def goodbye(world: World) -> None:
    live(world)
    world.says_goodbye()


def leaving(world: World) -> None:
    world.completion = lambda: None
    goodbye(world)
    world.hears_the_goodbye()


PHASES = [dialling, waiting, live, speaking, goodbye, leaving]


def assert_over(world: World) -> None:
    """Both sockets are closed, and the model's is given back."""
    assert "close" in world.journal.of("caller")
    assert {"close", "release"} <= {what for what in world.journal.of("model") if isinstance(what, str)}


@pytest.mark.parametrize("phase", PHASES)
def test_the_caller_may_be_lost_in_any_phase(world: World, phase: Callable[[World], None]) -> None:
    phase(world)
    world.caller.hears(LegLost("caller", 1006, "gone"))
    assert world.end() == ("agent.ended" if phase is leaving else "twilio.disconnected")
    assert_over(world)


@pytest.mark.parametrize("phase", PHASES)
def test_the_caller_may_hang_up_in_any_phase(world: World, phase: Callable[[World], None]) -> None:
    phase(world)
    world.caller.hears(CallerHungUp())
    assert world.end() == ("agent.ended" if phase is leaving else "caller.hung_up")
    assert_over(world)


@pytest.mark.parametrize("phase", [waiting, live, speaking])
def test_the_model_may_be_lost_in_any_phase(world: World, phase: Callable[[World], None]) -> None:
    phase(world)
    world.model.hears(LegLost("model", 1006, "gone"))
    assert world.end() == "openai.disconnected"
    assert_over(world)


@pytest.mark.parametrize("phase", [goodbye, leaving])
def test_a_model_that_is_lost_once_the_goodbye_is_in_the_phone_changes_nothing(
    world: World, phase: Callable[[World], None]
) -> None:
    """What is to be heard has been sent."""
    phase(world)
    world.model.hears(LegLost("model", 1006, "gone"))
    if phase is goodbye:
        world.hears_the_goodbye()
    else:
        world.caller.hears(CallerHungUp())
    assert world.end() == "agent.ended"
    assert_over(world)


def test_a_goodbye_that_is_called_off_after_its_model_was_lost_is_followed_by_another_model(
    world: World,
) -> None:
    """The thread that carried the lost one is there to dial it, though it had nothing to dial for a while."""
    successor = FakeModel(world.journal)
    world.models.append(successor)
    world.model.hopeless = False
    goodbye(world)
    world.model.hears(LegLost("model", 1006, "gone"))
    world.journal.wait_for("release")
    world.caller.hears(DigitPressed("1"))
    assert successor.dialled.wait(WAIT_S)
    successor.hears(SessionConfirmed())
    world.journal.wait_for(Tell)
    world.caller.hears(CallerHungUp())
    assert world.end() == "caller.hung_up"
    assert_over(world)


def test_whoever_waits_for_a_goodbye_to_be_called_off_is_gone_when_the_downlink_is_closed(
    world: World,
) -> None:
    """However the call came to be cleared up, and before the goodbye has had its time."""
    world.model.hopeless = False
    goodbye(world)
    world.model.hears(LegLost("model", 1006, "gone"))
    world.journal.wait_for("release")
    downlink = world.bridge._downlink
    downlink.close()
    downlink.join(1)
    assert not downlink._thread.is_alive()
    world.caller.hears(CallerHungUp())
    world.end()
    assert_over(world)


def test_a_model_that_cannot_be_reached_ends_the_call(world: World) -> None:
    def nobody_there() -> None:
        raise LegLost("model", 1006, "connection refused")

    world.model.dials = nobody_there
    world.begin()
    assert world.end() == "openai.disconnected"
    assert_over(world)


@pytest.mark.parametrize("phase", PHASES)
def test_a_call_may_be_cut_in_any_phase_from_any_thread(world: World, phase: Callable[[World], None]) -> None:
    phase(world)
    world.bridge.cut("twilio.completed")
    assert world.end() == ("agent.ended" if phase is leaving else "twilio.completed")
    assert_over(world)


def test_a_write_that_fails_is_blamed_on_the_leg_it_was_meant_for(world: World) -> None:
    """The downlink writes to the phone: its loss is not the model's."""
    live(world)
    world.caller.send_fails = True
    world.model.hears(ResponseStarted("r1"), AudioArrived("r1", Part("i1", 0), SECOND))
    assert world.end() == "twilio.disconnected"
    assert_over(world)


def test_audio_that_the_model_does_not_take_is_blamed_on_the_model(world: World) -> None:
    live(world)
    world.model.send_fails = True
    world.caller.hears(CallerAudio(b"AAAA", 0))
    assert world.end() == "openai.disconnected"
    assert_over(world)


def test_a_bug_in_the_uplink_ends_the_call_and_is_seen(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on up: the door logs it with its traceback."""
    caplog.set_level(logging.INFO)
    live(world)
    world.caller.hears(RuntimeError("a bug"))
    assert isinstance(world.end(), RuntimeError)
    assert world.bridge.conversation.end_reason == "server.error"
    assert "x call ended: server.error" in caplog.text
    assert_over(world)


def test_a_bug_in_the_downlink_ends_the_call_and_is_seen(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    live(world)
    world.model.hears(RuntimeError("a bug"))
    assert world.end() == "server.error"
    assert "a bug" in caplog.text
    assert_over(world)


def no_thread(*_what: object) -> None:
    raise RuntimeError("can't start new thread")


def test_a_call_for_which_no_thread_is_left_says_sorry_and_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(apologises=True)

    monkeypatch.setattr(world.bridge._downlink._thread, "start", no_thread)
    caplog.set_level(logging.INFO)
    world.begin()
    assert world.end() == "server.error"
    assert world.journal.of("carrier") == ["apology"]
    assert "! the model cannot be dialled: can't start new thread" in caplog.text
    assert "Traceback" not in caplog.text
    assert "x call ended: server.error" in caplog.text
    assert isinstance(world.journal.of("facts")[-1], Closed)
    assert "close" in world.journal.of("caller")


def test_a_goodbye_after_which_no_thread_is_left_ends_the_stream(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And with it the call, by the TwiML after it."""
    live(world)
    monkeypatch.setattr(world.bridge._errands._threads, "start", no_thread)
    world.says_goodbye()
    mark = next(done for done in world.journal.of("caller") if isinstance(done, SendMark))
    world.caller.hears(Played(mark.name))
    assert world.end() == "agent.ended"
    assert "! the carrier cannot be asked: can't start new thread" in caplog.text
    assert "bug" not in caplog.text
    assert_over(world)


def test_a_trip_for_which_no_thread_is_left_is_told_to_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(extension=FakeExtension())
    monkeypatch.setattr(world.bridge._errands._threads, "start", no_thread)
    asks_for_transfer(world)
    world.journal.wait_for(AnswerTool)
    [answer] = [done for done in world.journal.of("model") if isinstance(done, AnswerTool)]
    assert "Not transferred" in answer.output
    world.caller.hears(CallerHungUp())
    assert world.end() == "caller.hung_up"


def test_the_end_is_told_once_with_its_reason(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    live(world)
    world.caller.hears(CallerHungUp(), LegLost("caller", 1006, "gone"))
    world.model.hears(LegLost("model", 1006, "gone"))
    world.bridge.cut("twilio.completed")
    world.end()
    assert caplog.text.count("x call ended") == 1


def test_a_write_that_fails_is_not_the_reason_when_a_hang_up_came_in_before(world: World) -> None:
    """Twilio says ``stop`` and closes; a word of ours may meet the close before that is read."""
    live(world)
    world.caller.unread = [CallerHungUp()]
    world.caller.send_fails = True
    world.model.hears(ResponseStarted("r1"), AudioArrived("r1", Part("i1", 0), SECOND))
    assert world.end() == "caller.hung_up"
    assert_over(world)


def test_a_model_that_never_confirms_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds in life; audio heard meanwhile goes nowhere."""
    monkeypatch.setattr(outage, "SESSION_MS", 50)
    world = World(Plan(greeting="Hello!"))
    world.begin()
    world.caller.hears(CallerAudio(b"////", 0))
    assert world.end() == "openai.no_session"
    assert {"close", "release"} == set(world.journal.of("model"))


def test_a_model_that_is_lost_for_no_good_reason_is_followed_by_another(world: World) -> None:
    """Audio heard in between goes to the second one, and the first one's socket is given back."""
    world.model.hopeless = False
    second = FakeModel(world.journal)
    world.models.append(second)
    live(world)
    world.model.hears(LegLost("model", 1006, "gone"))
    assert second.dialled.wait(WAIT_S)
    world.caller.hears(CallerAudio(b"AAAA", 0))
    world.caller.inbox.join()
    second.hears(SessionConfirmed())
    world.journal.wait_for(b"AAAA")
    world.caller.hears(CallerHungUp())
    assert world.end() == "caller.hung_up"
    assert world.journal.of("model").count("release") == 2
    assert_over(world)


def test_a_lost_model_is_apologised_for_before_the_phone_is_let_go() -> None:
    """When nothing in the TwiML would be heard."""
    world = World(apologises=True)
    live(world)
    world.model.hears(LegLost("model", 1006, "gone"))
    assert world.end() == "openai.disconnected"
    done = [what for leg, what in world.journal.entries if (leg, what) != ("model", "close")]
    assert done.index("apology") < done.index("close")


def test_nobody_apologises_to_a_caller_who_hung_up() -> None:
    world = World(apologises=True)
    live(world)
    world.caller.hears(CallerHungUp())
    assert world.end() == "caller.hung_up"
    assert world.journal.of("carrier") == []


def test_a_completion_that_fails_closes_the_stream(world: World) -> None:
    def fails() -> None:
        raise CarrierUnreachable("no route")

    world.completion = fails
    goodbye(world)
    world.hears_the_goodbye()
    assert world.end() == "agent.ended"
    assert_over(world)


# -- what it performs ---------------------------------------------------------------------------


def test_caller_audio_waits_for_the_session_and_then_flows_in_order(world: World) -> None:
    world.begin()
    chunks = [b"AAA%d" % number for number in range(8)]
    world.caller.hears(*(CallerAudio(chunk, None) for chunk in chunks[:4]))
    world.caller.inbox.join()
    assert world.journal.of("model") == []
    world.model.hears(SessionConfirmed())
    world.caller.hears(*(CallerAudio(chunk, None) for chunk in chunks[4:]))
    world.journal.wait_for(chunks[-1])
    assert world.journal.of("model") == chunks
    world.caller.hears(CallerHungUp())
    assert world.end() == "caller.hung_up"


def test_a_barge_in_clears_the_phone_before_anything_is_said_to_the_model(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message before it is heard longer than need be."""
    clock_ms = 100.0
    monkeypatch.setattr(Bridge, "now_ms", lambda _: clock_ms)
    speaking(world)
    before = len(world.journal.entries)
    clock_ms += 400
    world.model.hears(SpeechStarted())
    world.journal.wait_for(TruncateItem)
    done = [entry for entry in world.journal.entries[before:] if entry[0] != "facts"]
    assert [leg for leg, _ in done] == ["caller", "model", "model"]
    assert [what for _, what in done[:2]] == [ClearAudio(), CancelResponse("r1")]
    assert done[2][1].item_id == "i1"
    assert 395 <= done[2][1].heard_ms <= 400


def test_late_audio_after_a_barge_in_is_not_played(world: World) -> None:
    speaking(world)
    world.model.hears(
        SpeechStarted(),
        AudioArrived("r1", Part("i1", 0), SECOND),
        AudioArrived("r1", Part("i1", 0), SECOND),
        ResponseEnded("r1", "cancelled"),
        SpeechStopped(),
    )
    world.model.hears(ResponseStarted("r2"), AudioArrived("r2", Part("i2", 0), b"AAAA"))
    world.journal.wait_for(PlayAudio(b"AAAA"))
    played = [what for what in world.journal.of("caller") if isinstance(what, PlayAudio | ClearAudio)]
    assert played == [PlayAudio(SECOND), ClearAudio(), PlayAudio(b"AAAA")]


def test_what_many_threads_feed_is_written_in_the_order_in_which_it_was_decided(world: World) -> None:
    """Tools of one batch come back in their own threads; each is answered once, and one request follows."""
    live(world)
    calls = tuple(ToolCalled("r1", f"c{number}", "t", "{}") for number in range(8))
    world.model.hears(ResponseStarted("r1"), ResponseEnded("r1", tool_calls=calls))
    done = [world.tools.get(timeout=WAIT_S)[2] for _ in calls]
    gate = threading.Barrier(len(done))
    threads = [
        threading.Thread(target=lambda one=one: (gate.wait(WAIT_S), one("ok"), one("again"))) for one in done
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    world.journal.wait_for(CreateResponse)
    told = [what for what in world.journal.of("model") if not isinstance(what, bytes)]
    assert sorted(what.tool_call_id for what in told[:-1]) == [call.tool_call_id for call in calls]
    assert isinstance(told[-1], CreateResponse)


def test_a_tool_that_returns_after_the_end_is_ignored(world: World) -> None:
    live(world)
    call = ToolCalled("r1", "c1", "t", "{}")
    world.model.hears(ResponseStarted("r1"), ResponseEnded("r1", tool_calls=(call,)))
    _, _, done = world.tools.get(timeout=WAIT_S)
    world.caller.hears(CallerHungUp())
    assert world.end() == "caller.hung_up"
    before = list(world.journal.entries)
    done("too late")
    done(EndCall("too late"))
    world.bridge.feed(ToolReturned("c1", "too late"))
    world.bridge.wind_up("server.draining")
    world.bridge.cut("server.draining")
    assert world.journal.entries == before


def test_the_call_is_completed_once_when_the_goodbye_was_heard(world: World) -> None:
    goodbye(world)
    assert world.journal.of("carrier") == []
    world.hears_the_goodbye()
    assert world.end() == "agent.ended"
    assert world.journal.of("carrier") == ["complete"]
    assert_over(world)


def test_a_slow_completion_holds_up_neither_the_caller_nor_the_model(world: World) -> None:
    """It is an HTTP request, and may take seconds; meanwhile people hear what they say."""
    gate = threading.Event()
    world.completion = lambda: (gate.wait(WAIT_S), None)[1]
    goodbye(world)
    world.hears_the_goodbye()
    world.caller.hears(CallerAudio(b"late", 0))
    world.journal.wait_for(b"late")
    world.caller.hears(CallerHungUp())
    gate.set()
    assert world.end() == "agent.ended"


def test_a_wind_up_is_said_and_completed(world: World) -> None:
    live(world)
    world.bridge.wind_up("server.draining")
    world.journal.wait_for(CreateResponse)
    world.speaks()
    world.hears_the_goodbye()
    assert world.end() == "server.draining"


# -- what is told -------------------------------------------------------------------------------


def test_a_call_is_told_from_its_beginning_to_its_close(world: World) -> None:
    live(world)
    world.caller.hears(CallerHungUp())
    world.end()
    told = world.journal.of("facts")
    assert isinstance(told[0], Began)
    assert isinstance(told[-2], Ended)
    assert isinstance(told[-1], Closed)


def test_a_barge_in_is_told_after_the_clear_was_sent(world: World) -> None:
    """So that the time between the two says how long the agent went on."""
    speaking(world)
    world.model.hears(SpeechStarted("c1"))
    world.journal.wait_for(BargedIn)
    kinds = [type(done) for leg, done in world.journal.entries if leg in ("caller", "facts")]
    assert kinds.index(ClearAudio) < kinds.index(BargedIn)


def caller_leaves_with_their_words_unknown(world: World) -> None:
    live(world)
    world.model.hears(SpeechStarted("c1"), SpeechStopped())
    world.journal.wait_for(Uttered)
    world.caller.hears(CallerHungUp())
    world.journal.wait_for("close")


def test_the_callers_last_words_are_waited_for() -> None:
    world = World(Plan(most_ms=LIVE_MS, transcribed=True))
    caller_leaves_with_their_words_unknown(world)
    assert "close" not in world.journal.of("model")
    world.model.hears(CallerSaid("c1", "goodbye"))
    assert world.end() == "caller.hung_up"
    told = [fact.text for fact in world.journal.of("facts") if isinstance(fact, Uttered)]
    assert told == [None, "goodbye"]
    assert_over(world)


def test_words_that_never_come_keep_no_session_open(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Plan(most_ms=LIVE_MS, transcribed=True))
    monkeypatch.setattr("callapp.call.bridge.LATE_WORDS_S", 0.05)
    caller_leaves_with_their_words_unknown(world)
    assert world.end() == "caller.hung_up"
    assert_over(world)


# -- a call that leaves its stream --------------------------------------------------------------


def asks_for_transfer(world: World) -> None:
    """The agent has the caller put through, without a word."""
    world.goes_live()
    call = ToolCalled("r1", "c1", "transfer_call", "{}")
    world.model.hears(ResponseStarted("r1"), call, ResponseEnded("r1", tool_calls=(call,)))
    _, _, done = world.tools.get(timeout=WAIT_S)
    done(Transfer("sales"))


def away(extension: FakeExtension) -> World:
    """A call that has left its stream."""
    world = World(extension=extension)
    asks_for_transfer(world)
    assert extension.left.wait(WAIT_S)
    world.caller.hears(CallerHungUp())
    return world


def test_a_call_that_is_away_goes_on_with_the_stream_that_brings_it_back():
    """On the thread of that stream: the first one's is free."""
    extension = FakeExtension()
    world = away(extension)
    returned = FakeLeg("caller again", world.journal)
    uplink = world.bridge.rejoin(returned, "nobody answered")  # type: ignore[arg-type]
    assert uplink is not None
    world.journal.wait_for(AnswerTool)
    assert world.end() is None
    returned.hears(CallerAudio(b"AAAA", 0), CallerHungUp())
    assert world.bridge.carry_on(uplink) == "caller.hung_up"
    assert b"AAAA" in world.journal.of("model")  # the same session
    assert not extension.let_go_of


def test_a_whisper_to_a_call_that_is_away_is_heard_wherever_it_comes_back():
    """Of another process's model, whoever whispered would have been told that it knows."""
    extension = FakeExtension()
    world = away(extension)
    assert world.bridge.whisper("Offer a discount.")
    assert "Offer a discount." in extension.said[-1].text
    world.bridge.cut("test.over")
    world.end()


def test_a_stream_for_a_call_that_is_not_away_is_not_let_in(world: World):
    world.goes_live()
    assert not world.bridge.rejoin(FakeLeg("another", world.journal), "")  # type: ignore[arg-type]
    assert not world.bridge.conversation.over


def test_a_stream_that_comes_back_before_the_last_one_ends_takes_its_place():
    extension = FakeExtension()
    world = World(extension=extension)
    asks_for_transfer(world)
    assert extension.left.wait(WAIT_S)
    returned = FakeLeg("caller again", world.journal)
    uplink = world.bridge.rejoin(returned, "")  # type: ignore[arg-type]
    assert uplink is not None
    world.caller.hears(CallerHungUp())  # late, and of no meaning
    assert world.end() is None
    returned.hears(CallerHungUp())
    assert world.bridge.carry_on(uplink) == "caller.hung_up"


@pytest.mark.parametrize("reason", ["agent.transferred", "server.moved"])
def test_a_call_that_is_found_elsewhere_is_over_here(reason: str):
    extension = FakeExtension()
    world = away(extension)
    extension.found = reason
    assert world.end() == reason
    assert extension.let_go_of == (reason == "agent.transferred")


@pytest.mark.parametrize("reason", ["agent.transferred", "server.moved"])
def test_what_became_of_a_call_counts_more_than_how_it_ended(reason: str):
    """The end of a call that was taken over is told as any other's."""
    extension = FakeExtension()
    world = away(extension)
    extension.looked_for = False
    extension.found = reason
    world.bridge.cut("caller.hung_up")
    assert world.end() == reason


@pytest.mark.parametrize("extension", [FakeExtension(CallappError("no")), None], ids=["refused", "none"])
def test_a_call_that_cannot_leave_stays(extension: FakeExtension | None):
    world = World(extension=extension)
    asks_for_transfer(world)
    world.journal.wait_for(AnswerTool)
    [answer] = [done for done in world.journal.of("model") if isinstance(done, AnswerTool)]
    assert "Not transferred" in answer.output
    world.bridge.cut("test.over")
    assert world.end() == "test.over"


@pytest.mark.parametrize("tape", [None, Tape()])
def test_a_call_that_is_over_is_freed_at_once(tape: Tape | None) -> None:
    """The garbage collector comes by when it likes, and a call has minutes of audio."""
    world = World(tape=tape)
    world.goes_live()
    world.caller.hears(CallerHungUp())
    assert world.end() == "caller.hung_up"
    gc.disable()
    try:
        bridge = weakref.ref(world.bridge)
        del world.bridge
        assert bridge() is None
    finally:
        gc.enable()
