"""Whatever happens, in whichever order and at whatever time: what may never go wrong, does not.

Hypothesis makes up the events; what is printed for a failure is the shortest list of them that it found.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    Command,
    CompleteCall,
    CreateResponse,
    DeleteItem,
    DropModel,
    Finish,
    LeaveStream,
    OpenAudio,
    PlayAudio,
    Reconnect,
    RunTool,
    SendMark,
    Tell,
    TruncateItem,
)
from callapp.conversation.events import (
    AgentSaid,
    Answered,
    AudioArrived,
    AudioEnded,
    CallerBack,
    CallerHungUp,
    CallerLost,
    CallerSaid,
    CompletionFailed,
    EndedElsewhere,
    Event,
    LeavingFailed,
    MessageStarted,
    ModelLost,
    Part,
    Played,
    RequestFailed,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SilenceTimedOut,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
    TransferAsked,
    WindUpAsked,
)
from callapp.conversation.facts import BargedIn
from callapp.conversation.machine import Conversation
from callapp.conversation.plan import Plan
from callapp.conversation.responses import REQUEST_MS
from callapp.conversation.wishes import EndCall, SendDigits, Transfer, VoicemailReached

MOST_MS = 120_000
LINE = b64encode(b"\x55" * 1_200 * 8)
NUMBERS = st.integers(1, 3)
TO_THE_MODEL = (
    AnswerTool,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    OpenAudio,
    Tell,
    TruncateItem,
)

# Made up without knowing the session: its names come when it is told.
Made = Callable[[str], Event]


def tool_called(session: str, response: int, number: int, complete: bool) -> ToolCalled:
    return ToolCalled(f"{session}r{response}", f"{session}t{response}{number}", "look", "{}", complete)


def audio(ms: int, *, silent: bool = False) -> bytes:
    return b64encode((b"\xff" if silent else b"\x55") * ms * 8)


# What the model says in a session, with names that belong to that session alone.
of_the_model: st.SearchStrategy[Made] = st.one_of(
    st.builds(lambda n: lambda s: SpeechStarted(f"{s}c{n}"), NUMBERS),
    st.just(lambda s: SpeechStopped()),
    st.just(lambda s: SilenceTimedOut()),
    st.builds(
        lambda n, tag: lambda s: ResponseStarted(f"{s}r{n}", tag),
        NUMBERS,
        st.sampled_from([None, "greeting", "answer", "goodbye"]),
    ),
    st.builds(lambda n, i: lambda s: MessageStarted(f"{s}r{n}", f"{s}i{n}{i}"), NUMBERS, NUMBERS),
    st.builds(
        lambda n, i, ms, silent: (
            lambda s: AudioArrived(f"{s}r{n}", Part(f"{s}i{n}{i}", 0), audio(ms, silent=silent))
        ),
        NUMBERS,
        NUMBERS,
        st.sampled_from([0, 20, 500, 2_500]),
        st.booleans(),
    ),
    st.builds(lambda n, i: lambda s: AudioEnded(f"{s}r{n}", f"{s}i{n}{i}", 0), NUMBERS, NUMBERS),
    st.builds(
        lambda n, i, whole: lambda s: AgentSaid(f"{s}i{n}{i}", "some words", whole),
        NUMBERS,
        NUMBERS,
        st.booleans(),
    ),
    st.builds(lambda n: lambda s: CallerSaid(f"{s}c{n}", "Hello?"), NUMBERS),
    st.builds(
        lambda n, t, complete: lambda s: tool_called(s, n, t, complete), NUMBERS, NUMBERS, st.booleans()
    ),
    st.builds(
        lambda n, status, calls: (
            lambda s: ResponseEnded(
                f"{s}r{n}", status, None, tuple(tool_called(s, n, t, True) for t in calls)
            )
        ),
        NUMBERS,
        st.sampled_from(["completed", "completed", "cancelled", "failed", "incomplete"]),
        st.lists(NUMBERS, max_size=2, unique=True),
    ),
    st.builds(lambda n: lambda s: RequestRefused(f"ask-{n}"), NUMBERS),
    st.builds(lambda n: lambda s: RequestFailed(f"ask-{n}"), NUMBERS),
)
# Most audio is more of what is being played.
speaking_on: st.SearchStrategy[Made] = st.builds(
    lambda ms: lambda s: AudioArrived(f"{s}r1", Part(f"{s}i11", 0), audio(ms)), st.sampled_from([20, 500])
)
lost = st.builds(lambda: lambda s: ModelLost("openai.disconnected"))
confirmed = st.builds(
    lambda lasts_ms, timed: lambda s: SessionConfirmed(lasts_ms, timed),
    st.sampled_from([None, 3_600_000.0, 60_000.0]),
    st.booleans(),
)
of_others: st.SearchStrategy[Made] = st.one_of(
    st.builds(lambda n: lambda s: Played(f"mark-{n}"), st.integers(1, 6)),
    st.builds(lambda r, n: lambda s: ToolReturned(f"{s}t{r}{n}", "an answer"), NUMBERS, NUMBERS),
    st.builds(
        lambda r, n, wish: lambda s: ToolReturned(f"{s}t{r}{n}", wish),
        NUMBERS,
        NUMBERS,
        st.sampled_from(
            [EndCall("done"), SendDigits("1w2"), Transfer("sales"), Transfer("sales", warm=True)]
        ),
    ),
    st.sampled_from(
        [
            lambda s: CallerBack("nobody answered"),
            lambda s: LeavingFailed("refused"),
            lambda s: TransferAsked(Transfer("sales")),
        ]
    ),
    st.just(lambda s: Tick()),
)
of_machines: st.SearchStrategy[Made] = st.one_of(
    st.builds(lambda m, r: lambda s: Answered(m, m and r), st.booleans(), st.booleans()),
    st.builds(lambda r, n: lambda s: ToolReturned(f"{s}t{r}{n}", VoicemailReached()), NUMBERS, NUMBERS),
)
ending: st.SearchStrategy[Made] = st.one_of(
    st.just(lambda s: CallerHungUp()),
    st.just(lambda s: CallerLost()),
    st.just(lambda s: WindUpAsked("server.draining")),
    st.just(lambda s: EndedElsewhere("twilio.completed")),
    st.just(lambda s: CompletionFailed()),
    st.just(lambda s: ModelLost("openai.refused", hopeless=True)),
)
waits = st.sampled_from([0.0, 0.0, 1.0, 20.0, 20.0, 400.0, 400.0, 1_600.0, 4_000.0, 11_000.0])
# Endings are rare, or there would be nothing else; ``one_of`` would take them all for equals.
SHARES = (
    [speaking_on] * 20
    + [of_the_model] * 28
    + [of_others] * 8
    + [of_machines]
    + [lost]
    + [confirmed] * 3
    + [ending]
)
happenings = st.tuples(waits, st.sampled_from(SHARES).flatmap(lambda kind: kind))
plans = st.builds(
    Plan,
    greeting=st.sampled_from([None, "Say hello"]),
    most_ms=st.just(float(MOST_MS)),
    hold_line=st.sampled_from([None, LINE]),
    message=st.sampled_from([None, "Say: call back"]),
    detects_machines=st.booleans(),
    keys_as_sound=st.booleans(),
)


class Watcher:
    """A call that is looked at while it happens, fed as the bridge does it.

    Beside it runs one in which all audio is thought about: nothing may differ.
    """

    def __init__(self, plan: Plan) -> None:
        self.conversation = Conversation(plan)
        self.thorough = Conversation(plan)
        self.parts: dict[Part, Part] = {}
        self.now_ms = 0.0
        self.session = "-"
        self.sessions = 0
        self.up = False
        self.finished = False
        self.away = False
        self.asked_until_ms = -math.inf
        self.active: str | None = None
        self.failing = False  # before what happens now: the session may be given up in the same moment
        self.cancelled: set[str] = set()
        self.answered: set[str] = set()
        self.run: set[str] = set()
        self.sent_ms: dict[str, float] = {}
        self.marks: set[str] = set()

    def pass_time(self, wait_ms: float) -> None:
        """Let time go by, with the ticks that are due meanwhile."""
        until_ms = self.now_ms + wait_ms
        while not self.finished:
            deadline_ms = self.conversation.deadline_ms
            assert math.isfinite(deadline_ms), "nothing would ever end this call"
            if deadline_ms > until_ms:
                break
            # The bridge looks at it with each chunk of the caller's audio.
            self.now_ms = min(until_ms, max(self.now_ms + 20, deadline_ms))
            self.feed(Tick())
            if self.now_ms >= until_ms:
                break
        self.now_ms = until_ms

    def feed(self, event: Event) -> list[Command]:
        self._before(event)
        self.failing = self.conversation.voice.failing
        commands = self._receive(event)
        assert commands == self.thorough.receive(event, self.now_ms)
        assert self.conversation.deadline_ms == self.thorough.deadline_ms
        for command in commands:
            self._check(event, command)
        if self.finished:
            assert self.conversation.deadline_ms == math.inf
            assert self.conversation.receive(event, self.now_ms) == []
        return commands

    def _receive(self, event: Event) -> list[Command]:
        """More of what is being played goes straight on."""
        if isinstance(event, AudioArrived):
            part = self.parts.setdefault(event.part, event.part)
            if self.conversation.playback.flow.go_on(part, event.payload, self.now_ms):
                return [PlayAudio(event.payload)]
            event = AudioArrived(event.response_id, part, event.payload)
        return self.conversation.receive(event, self.now_ms)

    def happen(self, made: Made) -> None:
        """Something happens, if it can: a model that is away says nothing, and is confirmed only once."""
        if made(self.session).__class__ is SessionConfirmed and not self.up:
            self.sessions += 1
            self.session = f"s{self.sessions}-"
        event = made(self.session)
        if self.up or not self._of_model(event):
            self.feed(event)

    @staticmethod
    def _of_model(event: Event) -> bool:
        return isinstance(
            event,
            SpeechStarted
            | SpeechStopped
            | ResponseStarted
            | MessageStarted
            | AudioArrived
            | AudioEnded
            | AgentSaid
            | CallerSaid
            | ToolCalled
            | ResponseEnded
            | RequestRefused
            | RequestFailed,
        )

    def _before(self, event: Event) -> None:
        match event:
            case CallerBack() | LeavingFailed():
                self.away = False
            case SessionConfirmed():
                self.up = True
            case ModelLost():
                self._model_gone()
            case ResponseStarted(response_id=response_id):
                self.active = response_id
                self.asked_until_ms = -math.inf
            case ResponseEnded(response_id=response_id):
                if self.active == response_id:
                    self.active = None
            case RequestRefused() | RequestFailed():
                self.asked_until_ms = -math.inf

    def _model_gone(self) -> None:
        self.up = False
        self.active = None
        self.asked_until_ms = -math.inf

    def _check(self, event: Event, command: Command) -> None:
        assert not self.finished, f"{command} after the end"
        if isinstance(command, TO_THE_MODEL):
            assert self.up, f"{command} to a model that is not there"
        match command:
            case CreateResponse():
                assert not self.away, "a response for nobody"
                assert self.active is None, "a second response at once"
                assert self.now_ms >= self.asked_until_ms, "asked twice"
                self.asked_until_ms = self.now_ms + REQUEST_MS
            case CancelResponse(response_id=response_id):
                assert response_id == self.active
                self.cancelled.add(response_id)
            case LeaveStream():
                self.away = True
            case PlayAudio(payload=payload):
                assert not self.away, "audio for nobody"
                if isinstance(event, AudioArrived):
                    assert event.response_id not in self.cancelled
                    item = event.part.item_id
                    self.sent_ms[item] = self.sent_ms.get(item, 0) + len(payload) * 3 / 4 / 8
                else:
                    sound = self.conversation.away.sounding
                    assert sound or self.failing or not self.up, "a line of ours while the model is there"
            case TruncateItem(item_id=item_id, heard_ms=heard_ms):
                assert 0 < heard_ms <= self.sent_ms[item_id] + 0.5
                assert item_id.startswith(self.session), "an item of a session that is lost"
            case DeleteItem(item_id=item_id):
                assert item_id.startswith(self.session), "an item of a session that is lost"
            case SendMark(name=name):
                assert name not in self.marks
                self.marks.add(name)
            case RunTool(tool_call_id=tool_call_id):
                assert tool_call_id not in self.run
                self.run.add(tool_call_id)
            case AnswerTool(tool_call_id=tool_call_id):
                assert tool_call_id not in self.answered
                assert tool_call_id.startswith(self.session), "a tool call of a session that is lost"
                self.answered.add(tool_call_id)
            case DropModel():
                self._model_gone()
            case Reconnect(after_ms=after_ms):
                assert 0 <= after_ms <= 10_000
                self._model_gone()
            case Finish():
                self.finished = True


def play(plan: Plan, happened: list[tuple[float, Made]]) -> Watcher:
    """Let it happen to a call whose session stands, as most do when something happens."""
    call = Watcher(plan)
    call.happen(lambda session: SessionConfirmed())
    for wait_ms, made in happened:
        call.pass_time(wait_ms)
        if call.finished:
            break
        call.happen(made)
    assert call.conversation.chronicle.facts == call.thorough.chronicle.facts
    return call


def test_a_piece_of_another_part_with_nothing_in_it_is_not_taken_for_the_beginning_of_its_sound() -> None:
    def heard(item_id: str, payload: bytes) -> tuple[float, Made]:
        return 0.0, lambda s: AudioArrived(f"{s}r1", Part(f"{s}{item_id}", 0), payload)

    one, other, nothing = heard("i11", audio(20)), heard("i12", audio(20)), heard("i11", b"")
    started: tuple[float, Made] = 0.0, lambda s: ResponseStarted(f"{s}r1", None)
    interrupted: tuple[float, Made] = 0.0, lambda s: SpeechStarted(f"{s}c1")
    call = play(Plan(), [started, one, one, other, other, nothing, one, one, interrupted])
    assert [fact.sent_ms for fact in call.conversation.chronicle.facts if isinstance(fact, BargedIn)] == [80]


@settings(max_examples=600, deadline=None)
@given(plans, st.lists(happenings, min_size=20, max_size=80))
def test_whatever_happens_the_rules_hold_and_the_call_ends(
    plan: Plan, happened: list[tuple[float, Made]]
) -> None:
    call = play(plan, happened)
    # From here on the model is dead, and nobody says anything any more.
    call.pass_time(MOST_MS + 30_000)
    assert call.finished
    assert call.conversation.over
    assert call.conversation.end_reason is not None


@settings(max_examples=300, deadline=None)
@given(plans, st.lists(happenings, min_size=20, max_size=80))
def test_a_model_that_comes_back_late_says_nothing_to_a_call_that_is_over(
    plan: Plan, happened: list[tuple[float, Made]]
) -> None:
    call = play(plan, happened)
    commands = call.feed(EndedElsewhere("server.error")) if not call.finished else []
    assert not any(isinstance(command, CompleteCall) for command in commands)
    for _, made in happened:
        assert call.conversation.receive(made("late-"), call.now_ms) == []


@settings(max_examples=300, deadline=None)
@given(plans, st.lists(happenings, max_size=40))
def test_nothing_at_all_makes_it_raise(plan: Plan, happened: list[tuple[float, Made]]) -> None:
    """Here all sessions use the same names, and a model that is away speaks all the same."""
    conversation = Conversation(plan)
    now_ms = 0.0
    for wait_ms, made in happened:
        now_ms += wait_ms
        over = conversation.over
        commands = conversation.receive(made(""), now_ms)
        assert not (over and commands)
