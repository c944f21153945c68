"""A response that has begun and brings nothing: the socket is alive, and the caller hears silence."""

from __future__ import annotations

from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    DropModel,
    Reconnect,
    TruncateItem,
    Warn,
)
from callapp.conversation.events import (
    AgentSaid,
    MessageStarted,
    RemoteToolCalled,
    RemoteToolReturned,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
)
from callapp.conversation.responses import ANSWER, CANCELLED_MS, GREETING, STALLED_MS
from callapp.conversation.tool_calls import TOOL_MS
from callapp.conversation.wishes import EndCall
from tests.conversation.test_machine import Call, audio, live, only

BEGUN_MS = 1_000
STALLED_AT_MS = BEGUN_MS + STALLED_MS


def stalled(*events: object, **plan: object) -> Call:
    """A call whose response began after a second; nothing comes after these events."""
    call = live(**plan)
    call.tell(ResponseStarted("resp_1"), *events, at_ms=BEGUN_MS)
    return call


def test_it_is_cancelled_and_asked_for_once_more() -> None:
    call = stalled()
    assert call.conversation.deadline_ms == STALLED_AT_MS
    assert call.tell(Tick(), at_ms=STALLED_AT_MS - 1) == []
    commands = call.tell(Tick(), at_ms=STALLED_AT_MS)
    assert [type(c) for c in commands] == [Warn, CancelResponse]
    [asked] = only(call.tell(ResponseEnded("resp_1", "cancelled")), CreateResponse)
    assert asked.tag == ANSWER


def test_what_was_asked_for_is_asked_for_again() -> None:
    """A greeting that hangs is still a greeting."""
    call = live(greeting="Say hello.")
    call.tell(ResponseStarted("resp_1", GREETING), at_ms=BEGUN_MS)
    call.tell(Tick(), at_ms=STALLED_AT_MS)
    [asked] = only(call.tell(ResponseEnded("resp_1", "cancelled")), CreateResponse)
    assert (asked.tag, asked.instructions) == (GREETING, "Say hello.")


def test_if_the_cancel_brings_nothing_either_the_session_is_given_up() -> None:
    call = stalled()
    call.tell(Tick(), at_ms=STALLED_AT_MS)
    assert call.conversation.deadline_ms == STALLED_AT_MS + CANCELLED_MS
    commands = call.tell(Tick(), at_ms=STALLED_AT_MS + CANCELLED_MS)
    assert only(commands, DropModel) == [DropModel("openai.stalled")]
    assert only(commands, Reconnect)
    assert only(call.tell(SessionConfirmed()), CreateResponse), "the caller still waits for an answer"


def test_a_second_one_in_a_row_is_the_sessions_end() -> None:
    call = stalled()
    call.tell(Tick(), at_ms=STALLED_AT_MS)
    call.tell(ResponseEnded("resp_1", "cancelled"), ResponseStarted("resp_2", ANSWER))
    commands = call.tell(Tick(), at_ms=STALLED_AT_MS + STALLED_MS)
    assert only(commands, DropModel) == [DropModel("openai.stalled")]


def test_one_that_comes_to_its_end_is_forgiven() -> None:
    call = stalled()
    call.tell(Tick(), at_ms=STALLED_AT_MS)
    call.tell(ResponseEnded("resp_1", "cancelled"))
    call.speak("resp_2", "item_2", 500)
    call.hear_all()
    call.tell(ResponseStarted("resp_3"), at_ms=30_000)
    commands = call.tell(Tick(), at_ms=30_000 + STALLED_MS)
    assert [type(c) for c in commands] == [Warn, CancelResponse]


def test_while_something_is_heard_nobody_waits() -> None:
    """The model is far ahead of the phone; what counts is the silence after the last sound."""
    call = stalled(MessageStarted("resp_1", "item_1"), audio("resp_1", "item_1", 8_000))
    heard_ms = BEGUN_MS + 8_000
    assert call.tell(Tick(), at_ms=heard_ms + STALLED_MS - 10) == []
    commands = call.tell(Tick(), at_ms=heard_ms + STALLED_MS)
    assert [type(c) for c in commands] == [Warn, CancelResponse, TruncateItem]


def test_words_are_a_sign_of_life_and_a_message_that_has_no_sound_is_forgotten() -> None:
    call = stalled(MessageStarted("resp_1", "item_1"))
    call.tell(AgentSaid("item_1", "Well"), at_ms=6_000)
    assert call.tell(Tick(), at_ms=STALLED_AT_MS) == []
    commands = call.tell(Tick(), at_ms=6_000 + STALLED_MS)
    assert only(commands, DeleteItem) == [DeleteItem("item_1")]


def test_a_tool_that_the_service_runs_has_the_time_that_ours_have() -> None:
    call = stalled(RemoteToolCalled("mcp_1"))
    assert call.tell(Tick(), at_ms=BEGUN_MS + TOOL_MS) == []
    assert only(call.tell(Tick(), at_ms=BEGUN_MS + TOOL_MS + STALLED_MS), CancelResponse)


def test_so_has_each_of_two_that_it_runs_at_once():
    call = stalled(RemoteToolCalled("mcp_1"), RemoteToolCalled("mcp_2"))
    call.tell(RemoteToolReturned("mcp_1"), at_ms=BEGUN_MS + 500)
    assert call.tell(Tick(), at_ms=BEGUN_MS + TOOL_MS) == []
    call.tell(RemoteToolReturned("mcp_2"))
    assert call.conversation.deadline_ms == BEGUN_MS + TOOL_MS + STALLED_MS


def test_an_approved_tool_that_begins_meanwhile_is_no_sign_of_life() -> None:
    call = stalled(RemoteToolCalled("mcp_1", approved=True))
    assert only(call.tell(Tick(), at_ms=STALLED_AT_MS), CancelResponse)


def test_tools_of_a_response_that_never_ends_do_not_hold_the_call() -> None:
    call = stalled(ToolCalled("resp_1", "call_1", "look", "{}"))
    assert only(call.tell(Tick(), at_ms=STALLED_AT_MS), CancelResponse)


def test_one_that_has_called_a_tool_is_asked_for_again_when_that_has_brought_its_output() -> None:
    call = stalled(ToolCalled("resp_1", "call_1", "look", "{}"))
    call.tell(Tick(), at_ms=STALLED_AT_MS)
    assert only(call.tell(ResponseEnded("resp_1", "cancelled")), CreateResponse) == []
    commands = call.tell(ToolReturned("call_1", "42"))
    assert [type(c) for c in commands] == [AnswerTool, CreateResponse]


def test_one_that_has_called_for_the_end_is_followed_by_another() -> None:
    call = stalled(ToolCalled("resp_1", "call_1", "end_call", "{}"), ToolReturned("call_1", EndCall("bye")))
    call.tell(Tick(), at_ms=STALLED_AT_MS)
    commands = call.tell(ResponseEnded("resp_1", "cancelled"))
    assert [type(c) for c in commands] == [AnswerTool, CreateResponse]


def test_one_that_has_called_for_the_end_and_is_lost_with_its_session_is_followed_by_another() -> None:
    call = stalled(ToolCalled("resp_1", "call_1", "end_call", "{}"), ToolReturned("call_1", EndCall("bye")))
    call.tell(Tick(), at_ms=STALLED_AT_MS)
    assert only(call.tell(Tick(), at_ms=STALLED_AT_MS + CANCELLED_MS), DropModel)
    assert only(call.tell(SessionConfirmed()), CreateResponse), "nobody would speak"


def test_an_interrupted_response_that_never_ends_does_not_leave_the_caller_without_an_answer() -> None:
    """It is in the way of every other one, and was cancelled already."""
    call = stalled(MessageStarted("resp_1", "item_1"), audio("resp_1", "item_1", 3_000))
    call.tell(SpeechStarted(), at_ms=2_000)
    call.tell(SpeechStopped(), at_ms=2_500)
    commands = call.tell(Tick(), at_ms=2_000 + CANCELLED_MS)
    assert only(commands, DropModel) == [DropModel("openai.stalled")]
