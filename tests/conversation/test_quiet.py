"""Nobody speaks: a tool is at work, the model waits, the caller is gone, or it is just a quiet moment."""

from __future__ import annotations

import pytest

from callapp.conversation.asides import Manners
from callapp.conversation.commands import AnswerTool, CompleteCall, CreateResponse, TimeSilence
from callapp.conversation.course import Phase
from callapp.conversation.events import (
    AudioEnded,
    DigitPressed,
    ModelLost,
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
)
from callapp.conversation.wishes import CollectDigits, StaySilent
from tests.conversation.test_machine import Call, audio, live, only

TEN_SECONDS = Manners(language="ja-JP", nudge_ms=10_000)


def asides(call: Call) -> list[CreateResponse]:
    return [c for c in only(call.given, CreateResponse) if c.tag in ("aside", "last minute", "nudge")]


def wait_until(call: Call, at_ms: float) -> None:
    """Let nothing happen but the time that passes; whatever is asked for is said, a second long."""
    while (deadline_ms := call.conversation.deadline_ms) <= at_ms:
        asked = only(call.tell(Tick(), at_ms=max(call.now_ms, deadline_ms)), CreateResponse)
        for create in asked:
            say(call, create)
    call.now_ms = at_ms


def say(call: Call, create: CreateResponse, ms: int = 1_000) -> None:
    response_id = f"of-{create.request_id}"
    call.tell(ResponseStarted(response_id, create.tag), audio(response_id, f"item-{response_id}", ms))
    call.tell(AudioEnded(response_id, f"item-{response_id}", 0), ResponseEnded(response_id))


def call_tool(call: Call, response_id: str = "resp_1", tool_call_id: str = "call_1") -> None:
    asked = ToolCalled(response_id, tool_call_id, "look_up", "{}")
    call.tell(ResponseStarted(response_id), asked, ResponseEnded(response_id, tool_calls=(asked,)))


# -- silence ------------------------------------------------------------------------------------


def test_a_silence_is_broken_twice_and_then_the_call_ends_with_a_goodbye():
    call = live(manners=TEN_SECONDS)
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 2_000)
    wait_until(call, 36_000)
    nudge, second, goodbye = only(call.given, CreateResponse)
    assert nudge.tag == second.tag == "nudge"
    assert nudge.instructions != second.instructions
    assert "ja-JP" in nudge.instructions
    assert not any(one.tools_allowed for one in only(call.given, CreateResponse))
    assert goodbye.tag == "goodbye"
    assert call.conversation.farewell.reason == "limit.silence"
    assert call.hear_all() == [CompleteCall()]
    assert call.conversation.phase is Phase.LEAVING
    assert call.conversation.end_reason == "limit.silence"


def test_a_silence_begins_when_the_agent_has_been_heard_out():
    call = live(manners=TEN_SECONDS)
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 30_000)
    wait_until(call, 40_900)
    assert asides(call) == []
    wait_until(call, 41_100)
    assert len(asides(call)) == 1


def test_a_caller_who_speaks_again_is_nudged_anew():
    call = live(manners=TEN_SECONDS)
    wait_until(call, 25_000)
    assert len(asides(call)) == 2
    call.tell(SpeechStarted("item_1"), at_ms=25_000)
    call.tell(SpeechStopped(), at_ms=26_000)
    call.speak("resp_1", "item_2", 1_000)
    wait_until(call, 50_000)
    assert len(asides(call)) == 4
    assert not call.conversation.farewell.begun


def test_the_goodbye_into_a_silence_can_be_interrupted():
    call = live(manners=TEN_SECONDS)
    wait_until(call, 33_000)
    assert call.conversation.farewell.begun
    call.tell(SpeechStarted("item_1"))
    assert not call.conversation.farewell.begun
    assert call.conversation.phase is Phase.LIVE


def test_while_the_caller_speaks_there_is_no_silence():
    call = live(manners=TEN_SECONDS)
    call.tell(SpeechStarted("item_1"), at_ms=2_000)
    wait_until(call, 60_000)
    assert asides(call) == []


def test_while_the_caller_presses_keys_there_is_none_either():
    call = live(manners=Manners(nudge_ms=3_000))
    call_tool(call)
    call.tell(ToolReturned("call_1", CollectDigits(4)))
    wait_until(call, 9_000)
    assert asides(call) == []
    call.tell(DigitPressed("1"))
    wait_until(call, 13_900)
    assert asides(call) == []


def test_while_the_model_is_away_nobody_is_nudged():
    call = live(manners=Manners(nudge_ms=1_000))
    call.tell(ModelLost("openai.disconnected"), at_ms=500)
    call.tell(Tick(), at_ms=5_000)
    assert asides(call) == []


def test_without_a_limit_a_silence_lasts():
    call = live(manners=Manners(nudge_ms=None))
    wait_until(call, 600_000)
    assert asides(call) == []


def test_a_question_that_nobody_heard_is_none_after_which_the_call_ends():
    call = live(manners=TEN_SECONDS)
    for at_ms in (10_300, 20_300):
        [nudge] = only(call.tell(Tick(), at_ms=at_ms), CreateResponse)
        call.tell(RequestFailed(nudge.request_id))
    wait_until(call, 50_000)
    assert [c.tag for c in only(call.given, CreateResponse)] == ["nudge"] * 4
    wait_until(call, 53_000)
    assert call.conversation.farewell.reason == "limit.silence"
    last, second = [c.instructions for c in only(call.given, CreateResponse)[2:4]]
    assert last == nudge.instructions != second


def test_a_service_that_takes_no_question_does_not_keep_the_line_of_who_is_gone():
    call = live(manners=TEN_SECONDS)
    tags = []
    while "goodbye" not in tags:
        asked = only(call.tell(Tick(), at_ms=call.conversation.deadline_ms), CreateResponse)
        tags += [one.tag for one in asked]
        call.tell(*(RequestFailed(one.request_id) for one in asked))
    assert tags == ["nudge"] * 4 + ["goodbye"]


def test_a_nudge_gives_way_to_the_models_own_answer():
    call = live(manners=TEN_SECONDS)
    [nudge] = only(call.tell(Tick(), at_ms=10_300), CreateResponse)
    call.tell(ResponseStarted("resp_1"), RequestRefused(nudge.request_id))
    call.tell(ResponseEnded("resp_1"), Tick(), at_ms=13_000)
    assert len(asides(call)) == 1


# -- the service's own timer -----------------------------------------------------------------------


def timed(**plan) -> Call:
    """A call whose service breaks silences by itself, after as long as we would."""
    call = Call(manners=TEN_SECONDS, **plan)
    call.tell(SessionConfirmed(times_silence=True), at_ms=300)
    call.speak("resp_1", "item_1", 1_000)
    return call


def breaks_the_silence(call: Call, number: int, at_ms: float) -> list:
    """The service's timer runs out, and the model speaks into the silence for a second."""
    wait_until(call, at_ms)
    commands = call.tell(SilenceTimedOut())
    return commands + call.speak(f"nudge_{number}", f"item_of_{number}", 1_000)


def test_where_the_service_breaks_silences_we_leave_it_to_it_but_for_the_goodbye():
    call = timed()
    assert breaks_the_silence(call, 1, 11_300) != []
    breaks_the_silence(call, 2, 22_300)
    assert only(call.given, CreateResponse) == []
    assert only(call.given, TimeSilence) == [TimeSilence(False)]  # it would ask for ever
    wait_until(call, 33_200)
    assert only(call.given, CreateResponse) == []
    wait_until(call, 33_400)
    [goodbye] = only(call.given, CreateResponse)
    assert goodbye.tag == "goodbye"
    assert call.hear_all() == [CompleteCall()]
    assert call.conversation.end_reason == "limit.silence"


def test_a_service_that_does_not_break_the_silence_in_time_is_stood_in_for():
    """Its timer does not begin before the model has spoken, nor when it thinks that it speaks still."""
    call = timed()
    wait_until(call, 14_200)
    assert asides(call) == []
    wait_until(call, 14_400)
    assert len(asides(call)) == 1


def test_a_service_that_asks_for_ever_is_cut_short_by_the_goodbye():
    """It was told to stop, and did not heed it, or not in time."""
    call = timed()
    breaks_the_silence(call, 1, 11_300)
    breaks_the_silence(call, 2, 22_300)
    commands = breaks_the_silence(call, 3, 33_200)
    assert [c.tag for c in only(commands, CreateResponse)] == ["goodbye"]
    assert call.conversation.farewell.reason == "limit.silence"


def test_a_model_that_is_woken_and_says_nothing_is_asked_to():
    call = timed()
    wait_until(call, 11_300)
    call.tell(SilenceTimedOut())
    wait_until(call, 15_400)
    assert [c.tag for c in only(call.given, CreateResponse)] == ["answer"]


def test_the_service_s_timer_stands_still_while_a_tool_is_at_work():
    """It knows nothing of tools: the model would ask whether anybody is there, and be waited for itself."""
    call = timed()
    call.tell(ResponseStarted("resp_2"))
    assert call.tell(ToolCalled("resp_2", "call_1", "look_up", "{}"))[-1] == TimeSilence(False)
    call.tell(ResponseEnded("resp_2"))
    assert call.tell(ToolReturned("call_1", "42"))[-2:] == [
        TimeSilence(True),
        CreateResponse("ask-1", "answer"),
    ]


def test_nor_does_it_run_while_keys_are_awaited_or_the_model_waits_on_purpose():
    for wish in (CollectDigits(4), StaySilent()):
        call = timed()
        call_tool(call, "resp_2")
        call.tell(ToolReturned("call_1", wish))
        assert only(call.given, TimeSilence)[-1] == TimeSilence(False)
    call.tell(SpeechStarted("item_2"))
    assert only(call.given, TimeSilence)[-1] == TimeSilence(False)  # nobody is disturbed who speaks
    call.tell(SpeechStopped())
    assert only(call.given, TimeSilence)[-1] == TimeSilence(True)


def test_a_caller_who_speaks_after_two_questions_has_the_timer_run_again():
    call = timed()
    breaks_the_silence(call, 1, 11_300)
    breaks_the_silence(call, 2, 22_300)
    call.tell(SpeechStarted("item_2"), SpeechStopped(), at_ms=25_000)
    assert only(call.given, TimeSilence) == [TimeSilence(False), TimeSilence(True)]
    assert call.conversation.asides.silence.nudges == 0


def test_a_session_that_is_gone_is_told_nothing_and_its_successor_begins_with_the_timer_on():
    call = timed()
    call.tell(ModelLost("openai.disconnected"))
    call_tool(call, "resp_9")
    assert only(call.given, TimeSilence) == []
    call.tell(SessionConfirmed(times_silence=True))
    call_tool(call, "resp_2", "call_2")
    assert only(call.given, TimeSilence) == [TimeSilence(False)]


# -- the model waits ----------------------------------------------------------------------------


def test_after_wait_nothing_is_asked_of_the_model():
    call = live()
    call_tool(call)
    [answer] = call.tell(ToolReturned("call_1", StaySilent()))
    assert isinstance(answer, AnswerTool)
    wait_until(call, 60_000)
    assert only(call.given, CreateResponse) == []


def test_beside_another_tool_wait_does_not_keep_its_answer_back():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "wait", "{}"))
    call.tell(ToolCalled("resp_1", "call_2", "look_up", "{}"), ResponseEnded("resp_1"))
    call.tell(ToolReturned("call_2", "42"), ToolReturned("call_1", StaySilent()))
    assert [c.tag for c in only(call.given, CreateResponse)] == ["answer"]


def test_a_model_that_waits_is_not_made_to_speak_for_a_minute():
    call = live(manners=TEN_SECONDS)
    call_tool(call)
    call.tell(ToolReturned("call_1", StaySilent()), at_ms=1_000)
    wait_until(call, 60_900)
    assert asides(call) == []
    wait_until(call, 61_100)
    assert len(asides(call)) == 1


# -- the last minute ----------------------------------------------------------------------------


def test_a_minute_before_the_limit_the_caller_is_told():
    call = live(most_ms=300_000)
    wait_until(call, 239_900)
    assert asides(call) == []
    wait_until(call, 290_000)
    [warning] = asides(call)
    assert "one minute" in warning.instructions


def test_the_warning_waits_for_a_quiet_moment():
    call = live(most_ms=300_000)
    call.tell(at_ms=235_000)
    call.speak("resp_1", "item_1", 20_000)
    wait_until(call, 254_900)
    assert asides(call) == []
    wait_until(call, 255_600)
    assert len(asides(call)) == 1


def test_a_warning_that_was_refused_is_given_in_the_next_quiet_moment():
    call = live(most_ms=300_000)
    [warning] = only(call.tell(Tick(), at_ms=240_000), CreateResponse)
    call.tell(ResponseStarted("resp_1"), RequestRefused(warning.request_id))
    call.tell(audio("resp_1", "item_1", 2_000), ResponseEnded("resp_1"))
    wait_until(call, 250_000)
    assert len(asides(call)) == 2


@pytest.mark.parametrize("begun_first", [True, False])
def test_a_warning_of_which_nothing_was_heard_is_given_in_the_next_quiet_moment(begun_first):
    """It passed for given as soon as the model had begun it, if only to be cancelled."""
    call = live(most_ms=300_000)
    [warning] = only(call.tell(Tick(), at_ms=240_000), CreateResponse)
    begun, spoken_over = ResponseStarted("resp_1", warning.tag), SpeechStarted("item_1")
    call.tell(*((begun, spoken_over) if begun_first else (spoken_over, begun)))
    call.tell(ResponseEnded("resp_1", "cancelled"), SpeechStopped())
    call.tell(ResponseStarted("resp_2"), audio("resp_2", "item_2", 2_000), ResponseEnded("resp_2"))
    wait_until(call, 299_000)
    assert len(asides(call)) == 2


def test_a_warning_that_the_service_does_not_take_is_tried_again_after_a_while():
    """It was asked for again with each error that came back, for 45 seconds on end."""
    call = live(most_ms=300_000)
    [warning] = only(call.tell(Tick(), at_ms=240_000), CreateResponse)
    assert only(call.tell(RequestFailed(warning.request_id), at_ms=240_100), CreateResponse) == []
    wait_until(call, 244_900)
    assert len(asides(call)) == 1
    wait_until(call, 299_000)
    assert len(asides(call)) == 2


def test_without_a_quiet_moment_there_is_no_warning():
    call = live(most_ms=300_000)
    call.tell(SpeechStarted("item_1"), at_ms=200_000)
    call.tell(SpeechStopped(), ResponseStarted("resp_1"), ResponseEnded("resp_1"), at_ms=290_000)
    wait_until(call, 299_000)
    assert asides(call) == []


def test_a_short_call_has_no_warning():
    call = live(most_ms=170_000)
    wait_until(call, 169_000)
    assert asides(call) == []


# -- slow tools ---------------------------------------------------------------------------------


def test_a_slow_tool_is_bridged_by_one_line_every_six_seconds():
    call = live()
    call.tell(at_ms=1_000)
    call_tool(call)
    wait_until(call, 1_700)
    assert asides(call) == []
    wait_until(call, 7_700)
    [line] = asides(call)
    assert not line.tools_allowed
    wait_until(call, 7_900)
    assert len(asides(call)) == 2


def test_the_tools_answer_waits_for_the_lines_end():
    call = live()
    call.tell(at_ms=1_000)
    call_tool(call)
    [line] = only(call.tell(Tick(), at_ms=1_800), CreateResponse)
    call.tell(ResponseStarted("resp_2", line.tag))
    assert call.tell(ToolReturned("call_1", "42")) == [AnswerTool("call_1", "42")]
    [answer] = only(call.tell(ResponseEnded("resp_2")), CreateResponse)
    assert answer.tag == "answer"


def test_a_line_waits_until_what_the_model_said_before_has_been_heard():
    call = live()
    call.tell(at_ms=1_000)
    call.tell(ResponseStarted("resp_1"), audio("resp_1", "preamble", 3_000))
    call.tell(ToolCalled("resp_1", "call_1", "look_up", "{}"), ResponseEnded("resp_1"))
    wait_until(call, 4_700)
    assert asides(call) == []
    wait_until(call, 4_900)
    assert len(asides(call)) == 1


def test_a_quick_tool_needs_no_line():
    call = live()
    call.tell(at_ms=1_000)
    call_tool(call)
    commands = call.tell(ToolReturned("call_1", "42"), at_ms=1_790)
    assert [c.tag for c in only(commands, CreateResponse)] == ["answer"]


def test_the_agents_own_lines_are_said_in_turn():
    call = live(manners=Manners(waiting_lines=("少々お待ちください。", "お調べしております。")))
    call.tell(at_ms=1_000)
    call_tool(call)
    wait_until(call, 14_500)
    said = [line.instructions.partition(": ")[2] for line in asides(call)]
    assert said == ["少々お待ちください。", "お調べしております。", "少々お待ちください。"]
    assert not any(line.tools_allowed for line in asides(call))


def test_a_caller_who_speaks_is_not_talked_over_by_a_line():
    call = live()
    call.tell(at_ms=1_000)
    call_tool(call)
    call.tell(SpeechStarted("item_1"), at_ms=1_500)
    wait_until(call, 9_000)
    assert asides(call) == []
