"""Whatever happens in whatever order: time goes on, and there are never two responses at once."""

from __future__ import annotations

from base64 import b64encode

from hypothesis import given, settings
from hypothesis import strategies as st

from callapp.conversation.asides import Manners
from callapp.conversation.commands import CreateResponse, DropModel, Finish
from callapp.conversation.events import (
    Answered,
    AudioArrived,
    AudioEnded,
    DigitPressed,
    ModelLost,
    Part,
    Played,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
    WindUpAsked,
)
from callapp.conversation.machine import Conversation
from callapp.conversation.plan import Plan
from callapp.conversation.responses import REQUEST_MS
from callapp.conversation.wishes import CollectDigits, EndCall, StaySilent, VoicemailReached

PLAN = Plan(
    greeting="Say hello",
    most_ms=200_000,
    hold_line=b64encode(b"\x55" * 800),
    message="Say: call back",
    detects_machines=True,
    manners=Manners(
        nudge_ms=5_000, waiting_lines=("One moment.",), shortest_speech_ms=300, most_interruptions=2
    ),
)
SECOND = b64encode(b"\x55" * 8_000)
RESULTS = (
    "42",
    EndCall("done"),
    CollectDigits(2),
    CollectDigits(3, sensitive=True),
    StaySilent(),
    VoicemailReached(),
)
ANSWERED = (Answered(False), Answered(True), Answered(True, recording=True))


class Model:
    """A model that keeps to the protocol: one response at a time, with what it was asked for."""

    def __init__(self) -> None:
        self.active: str | None = None
        self.asked: list[CreateResponse] = []
        self.count = 0

    def begin(self, tag: str | None) -> ResponseStarted:
        self.count += 1
        self.active = f"resp_{self.count}"
        return ResponseStarted(self.active, tag)

    def events(self, what: str, number: int) -> list:
        match what:
            case "answers" if self.asked and self.active is None:
                return [self.begin(self.asked.pop(0).tag)]
            case "begins" if self.active is None:
                refused = [RequestRefused(request.request_id) for request in self.asked]
                self.asked = []
                return [self.begin(None), *refused]
            case "speaks" if self.active is not None:
                return [AudioArrived(self.active, Part(f"item_{self.count}", 0), SECOND)]
            case "calls" if self.active is not None:
                return [ToolCalled(self.active, f"call_{number}", "look_up", "{}")]
            case "ends" | "fails" | "is cancelled" if self.active is not None:
                ended, self.active = self.active, None
                status = {"ends": "completed", "fails": "failed", "is cancelled": "cancelled"}[what]
                return [AudioEnded(ended, f"item_{self.count}", 0), ResponseEnded(ended, status)]
            case "is lost":
                self.active, self.asked = None, []
                return [ModelLost("openai.disconnected")]
            case "is found":
                return [SessionConfirmed()]
            case _:
                return []


STEPS = st.one_of(
    st.tuples(
        st.sampled_from(
            ["answers", "begins", "speaks", "calls", "ends", "fails", "is cancelled", "is lost", "is found"]
        ),
        st.integers(0, 5),
    ),
    st.tuples(st.just("hears"), st.integers(0, 30)),
    st.tuples(st.just("returns"), st.tuples(st.integers(0, 5), st.sampled_from(RESULTS))),
    st.tuples(st.just("presses"), st.sampled_from("0159*#")),
    st.tuples(st.just("is known"), st.sampled_from(ANSWERED)),
    st.tuples(st.just("waits"), st.integers(1, 8_000)),
    st.sampled_from([("speaks up", 0), ("falls silent", 0), ("has to go", 0)]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_time_goes_on_and_responses_come_one_at_a_time(steps):
    call, model, now_ms, asked_ms = Conversation(PLAN), Model(), 0.0, 0.0
    for what, detail in [("is found", 0), *steps]:
        commands: list = []
        events: list = []
        match what:
            case "hears":
                events = [Played(f"mark-{detail}")]
            case "returns":
                events = [ToolReturned(f"call_{detail[0]}", detail[1])]
            case "presses":
                events = [DigitPressed(detail)]
            case "is known":
                events = [detail]
            case "speaks up":
                events = [SpeechStarted(f"caller-{now_ms}")]
            case "falls silent":
                events = [SpeechStopped()]
            case "has to go":
                events = [WindUpAsked("server.draining")]
            case "waits":
                now_ms += detail
            case _:
                events = model.events(what, detail)
        for event in events:
            commands += call.receive(event, now_ms)
        ticks = 0
        while call.deadline_ms <= now_ms:
            commands += call.receive(Tick(), now_ms)
            ticks += 1
            assert ticks < 20, f"a deadline that does not pass: {call.deadline_ms} at {now_ms}"
        for command in commands:
            if isinstance(command, DropModel):
                model.active, model.asked = None, []
            if isinstance(command, CreateResponse):
                assert model.active is None, "asked while a response was active"
                assert not model.asked or now_ms - asked_ms >= REQUEST_MS, "asked twice at a time"
                model.asked, asked_ms = [command], now_ms
        if any(isinstance(command, Finish) for command in commands):
            assert call.over
            return
