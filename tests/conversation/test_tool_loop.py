"""A model that calls tools round and round, while nobody says a word, is stopped."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from callapp.conversation.asides import Manners
from callapp.conversation.commands import AnswerTool, Command, CreateResponse, RunTool, Warn
from callapp.conversation.events import (
    AudioArrived,
    DigitPressed,
    MessageStarted,
    ModelLost,
    Part,
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
from callapp.conversation.tool_calls import MOST_ROUNDS, TOOL_MS
from tests.conversation.test_machine import Call as PlainCall
from tests.conversation.test_machine import only

SECOND = b64encode(b"\x55" * 8_000)


class Call(PlainCall):
    """A live conversation whose model calls one tool a response."""

    def __init__(self, **plan: Any) -> None:
        super().__init__(**plan)
        self.responses = 0
        self.feed(SessionConfirmed())

    def feed(self, event: object) -> list[Command]:
        return self.tell(event, at_ms=self.now_ms + 10)

    def begin(self) -> str:
        self.responses += 1
        response_id = f"resp-{self.responses}"
        self.feed(ResponseStarted(response_id, "answer"))
        return response_id

    def round(self, calls: int = 1) -> list[Command]:
        """A response that calls tools, all of which answer."""
        response_id = self.begin()
        commands: list[Command] = []
        for number in range(calls):
            commands += self.feed(ToolCalled(response_id, f"{response_id}-{number}", "look", "{}"))
        commands += self.feed(ResponseEnded(response_id))
        for number in range(calls):
            commands += self.feed(ToolReturned(f"{response_id}-{number}", "nothing"))
        return commands


def test_so_many_rounds_are_run_and_the_next_one_is_not() -> None:
    call = Call()
    for _ in range(MOST_ROUNDS):
        commands = call.round()
        assert len(only(commands, RunTool)) == 1
        assert [asked.tools_allowed for asked in only(commands, CreateResponse)] == [True]
    commands = call.round()
    assert only(commands, RunTool) == []
    (answer,) = only(commands, AnswerTool)
    assert "too many tool calls" in answer.output
    assert only(commands, Warn) == [Warn("tool loop cut: look was not run")]
    assert [asked.tools_allowed for asked in only(commands, CreateResponse)] == [False], "now it has to speak"


def test_calls_side_by_side_are_one_round() -> None:
    call = Call()
    for _ in range(MOST_ROUNDS):
        assert len(only(call.round(calls=3), RunTool)) == 3


def test_the_caller_s_word_begins_the_count_anew() -> None:
    call = Call()
    for _ in range(MOST_ROUNDS + 1):
        commands = call.round()
    assert only(commands, RunTool) == []
    call.begin()
    call.feed(ResponseEnded(f"resp-{call.responses}"))
    call.feed(SpeechStarted("item-1"))
    call.feed(SpeechStopped())
    assert len(only(call.round(), RunTool)) == 1


def test_a_key_is_a_word_too() -> None:
    call = Call()
    for _ in range(MOST_ROUNDS):
        call.round()
    call.feed(DigitPressed("1"))
    assert len(only(call.round(), RunTool)) == 1


def test_a_noise_is_not_the_caller_s_word() -> None:
    call = Call(manners=Manners(shortest_speech_ms=400))
    for _ in range(MOST_ROUNDS):
        call.round()
    response_id = call.begin()
    call.feed(AudioArrived(response_id, Part("item-1", 0), SECOND))
    call.feed(SpeechStarted("noise"))
    call.feed(SpeechStopped())
    assert only(call.feed(ToolCalled(response_id, "call", "look", "{}")), RunTool) == []


def test_after_a_remote_tool_the_model_is_asked_to_go_on_once_its_response_is_over() -> None:
    call = Call()
    response_id = call.begin()
    assert only(call.feed(RemoteToolReturned()), CreateResponse) == [], "never two responses at once"
    assert len(only(call.feed(ResponseEnded(response_id)), CreateResponse)) == 1


def test_remote_tools_count_as_well() -> None:
    call = Call()
    for _ in range(MOST_ROUNDS):
        response_id = call.begin()
        call.feed(ResponseEnded(response_id))
        (asked,) = only(call.feed(RemoteToolReturned()), CreateResponse)
        assert asked.tools_allowed
    response_id = call.begin()
    call.feed(ResponseEnded(response_id))
    commands = call.feed(RemoteToolReturned())
    assert [asked.tools_allowed for asked in only(commands, CreateResponse)] == [False]
    assert len(only(commands, Warn)) == 1


def test_a_response_that_goes_on_to_speak_after_its_remote_tool_needs_no_other() -> None:
    call = Call()
    response_id = call.begin()
    call.feed(RemoteToolCalled("mcp-1"))
    call.feed(RemoteToolReturned("mcp-1"))
    call.feed(MessageStarted(response_id, "item-1"))
    assert only(call.feed(ResponseEnded(response_id)), CreateResponse) == []


def test_a_response_that_begins_before_an_approved_remote_tool_is_done_is_followed_by_another_one() -> None:
    """The caller spoke meanwhile, and the model answers that."""
    call = Call()
    call.feed(ResponseEnded(call.begin()))
    call.feed(RemoteToolCalled("mcp-1"))
    response_id = call.begin()
    call.feed(RemoteToolReturned("mcp-1"))
    call.feed(MessageStarted(response_id, "item-1"))
    assert len(only(call.feed(ResponseEnded(response_id)), CreateResponse)) == 1
    response_id = call.begin()
    call.feed(MessageStarted(response_id, "item-2"))
    assert only(call.feed(ResponseEnded(response_id)), CreateResponse) == []


def test_who_waits_for_an_approved_remote_tool_when_the_session_is_lost_is_answered_by_the_next() -> None:
    """Nobody else would speak: the tool is gone with its session."""
    call = Call()
    call.feed(ResponseEnded(call.begin()))
    call.feed(RemoteToolCalled("mcp-1"))
    call.feed(ModelLost("openai.disconnected"))
    assert len(only(call.feed(SessionConfirmed()), CreateResponse)) == 1


def test_who_was_told_what_a_remote_tool_brought_waits_for_nothing_when_the_session_is_lost() -> None:
    call = Call()
    response_id = call.begin()
    call.feed(RemoteToolCalled("mcp-1"))
    call.feed(RemoteToolReturned("mcp-1"))
    call.feed(MessageStarted(response_id, "item-1"))
    call.feed(ResponseEnded(response_id))
    call.feed(ModelLost("openai.disconnected"))
    assert only(call.feed(SessionConfirmed()), CreateResponse) == []


def test_nobody_waits_for_a_remote_tool_whose_response_is_over_without_it() -> None:
    call = Call()
    response_id = call.begin()
    call.feed(RemoteToolCalled("mcp-1"))
    call.feed(MessageStarted(response_id, "item-1"))
    call.feed(AudioArrived(response_id, Part("item-1", 0), SECOND))
    call.feed(ResponseEnded(response_id, "incomplete"))
    call.feed(ModelLost("openai.disconnected"))
    assert only(call.feed(SessionConfirmed()), CreateResponse) == []


def test_an_approved_tool_that_is_gone_with_its_session_is_not_given_up_in_the_next() -> None:
    call = Call()
    call.feed(RemoteToolCalled("mcp-1", approved=True))
    call.feed(ModelLost("openai.disconnected"))
    assert len(only(call.feed(SessionConfirmed()), CreateResponse)) == 1
    response_id = call.begin()
    call.feed(MessageStarted(response_id, "item-1"))
    call.feed(AudioArrived(response_id, Part("item-1", 0), SECOND))
    call.feed(ResponseEnded(response_id))
    call.now_ms += TOOL_MS
    assert only(call.feed(Tick()), CreateResponse) == []
    call.feed(ModelLost("openai.disconnected"))
    assert only(call.feed(SessionConfirmed()), CreateResponse) == []


def test_a_new_session_and_a_tool_of_the_lost_one_do_not_begin_the_count_anew() -> None:
    call = Call()
    for _ in range(MOST_ROUNDS - 1):
        call.round()
    response_id = call.begin()
    call.feed(ToolCalled(response_id, "late", "look", "{}"))
    call.feed(ResponseEnded(response_id))
    response_id = call.begin()
    call.feed(RemoteToolReturned())
    call.feed(ModelLost("openai.disconnected"))
    (asked,) = only(call.feed(SessionConfirmed()), CreateResponse)
    assert not asked.tools_allowed
    call.feed(ResponseEnded(call.begin()))
    (asked,) = only(call.feed(ToolReturned("late", "nothing")), CreateResponse)
    assert not asked.tools_allowed


def test_what_an_approved_tool_brings_while_another_response_speaks_is_told_after_it() -> None:
    """It is no part of that response, also where it began in it."""
    call = Call()
    response_id = call.begin()
    call.feed(RemoteToolCalled("mcp_1", approved=True))
    call.feed(RemoteToolReturned("mcp_1"))
    call.feed(MessageStarted(response_id, "item_1"))
    call.feed(AudioArrived(response_id, Part("item_1", 0), SECOND))
    commands = call.feed(ResponseEnded(response_id))
    assert [c.tag for c in commands if isinstance(c, CreateResponse)] == ["answer"]


def test_who_waits_for_an_approved_tool_hears_a_line_and_no_question_and_is_answered_if_it_never_comes() -> (
    None
):
    call = Call(manners=Manners(nudge_ms=8_000, waiting_lines=("One moment.",)))
    call.feed(ResponseEnded(call.begin()))
    call.feed(RemoteToolCalled("mcp_1", approved=True))
    began_ms, asked = call.now_ms, []
    while call.now_ms < began_ms + 20_000:
        call.now_ms = max(call.conversation.deadline_ms, call.now_ms) - 10
        asked += [(one, call.now_ms - began_ms) for one in only(call.feed(Tick()), CreateResponse)]
        if asked and asked[-1][0].tag == "answer":
            break
        if asked:
            call.feed(ResponseStarted(f"aside-{len(asked)}", "aside"))
            call.feed(ResponseEnded(f"aside-{len(asked)}"))
    lines = [one for one, _ in asked[:-1]]
    assert len(lines) > 1
    assert all("One moment." in (line.instructions or "") for line in lines)
    assert asked[0][1] <= 1_000
    answer, after_ms = asked[-1]
    assert (answer.tag, after_ms) == ("answer", TOOL_MS)


@pytest.mark.parametrize("first", ["approved", "own"])
def test_what_an_approved_tool_brings_is_told_also_when_the_response_runs_a_tool_of_its_own(
    first: str,
) -> None:
    call = Call()
    call.feed(RemoteToolCalled("approved", approved=True))
    response_id = call.begin()
    call.feed(RemoteToolCalled("own"))
    for item_id in sorted(["approved", "own"], key=lambda one: one != first):
        call.feed(RemoteToolReturned(item_id))
    call.feed(MessageStarted(response_id, "item_1"))
    call.feed(AudioArrived(response_id, Part("item_1", 0), SECOND))
    assert len(only(call.feed(ResponseEnded(response_id)), CreateResponse)) == 1
