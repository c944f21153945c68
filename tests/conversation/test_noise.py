"""Noise does not cut the agent, where its file says so; and nobody interrupts five times in half a minute."""

from __future__ import annotations

import pytest

from callapp.conversation.asides import Manners
from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    ClearAudio,
    CompleteCall,
    CreateResponse,
    TruncateItem,
)
from callapp.conversation.events import (
    MessageStarted,
    ModelLost,
    OutputTaken,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
)
from callapp.conversation.wishes import Transfer
from tests.conversation.test_machine import Call, audio, end_call, live, only

HALF_A_SECOND = Manners(shortest_speech_ms=500)
AT_MOST_FOUR = Manners(most_interruptions=4)


def speaking(manners: Manners, *, done: bool = True) -> Call:
    """A call in which the agent began to speak at 1 s, ten seconds long."""
    call = live(manners=manners)
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 10_000, done=done)
    return call


def noise(call: Call, at_ms: float, ms: float = 300) -> list:
    commands = call.tell(SpeechStarted(f"noise-{at_ms}"), at_ms=at_ms)
    return commands + call.tell(SpeechStopped(), at_ms=at_ms + ms)


# -- too short to be speech ---------------------------------------------------------------------


def test_a_short_noise_does_not_cut_the_agent():
    call = speaking(HALF_A_SECOND, done=False)
    assert noise(call, 2_000) == []
    assert only(call.tell(ResponseEnded("resp_1"), Tick(), at_ms=8_000), ClearAudio, CreateResponse) == []


def test_speech_that_lasts_cuts_it_where_it_was_heard():
    call = speaking(HALF_A_SECOND, done=False)
    assert call.tell(SpeechStarted("item_2"), at_ms=2_000) == []
    assert call.conversation.deadline_ms == 2_500
    commands = call.tell(Tick(), at_ms=2_500)
    assert [type(c) for c in commands] == [ClearAudio, CancelResponse, TruncateItem]
    assert 1_495 <= commands[2].heard_ms <= 1_500


def test_speech_that_proved_long_enough_just_as_it_ended_counts():
    call = speaking(HALF_A_SECOND)
    call.tell(SpeechStarted("item_2"), at_ms=2_000)
    assert [type(c) for c in call.tell(SpeechStopped(), at_ms=2_505)] == [ClearAudio, TruncateItem]
    assert call.tell(ResponseStarted("resp_2")) == []


def test_what_the_model_begins_to_answer_to_a_noise_is_cancelled():
    """The model answers each turn by itself, unless a response of its own is still active."""
    call = speaking(HALF_A_SECOND)
    noise(call, 2_000)
    assert call.tell(ResponseStarted("resp_2"), at_ms=2_700) == [CancelResponse("resp_2")]
    assert call.tell(MessageStarted("resp_2", "item_2"), audio("resp_2", "item_2", 400))[1:] == []
    assert (
        only(call.tell(ResponseEnded("resp_2", "cancelled"), at_ms=2_900), ClearAudio, CreateResponse) == []
    )


def test_a_response_that_we_asked_for_is_not():
    call = speaking(HALF_A_SECOND)
    call.tell(ResponseStarted("resp_2"), ToolCalled("resp_2", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_2"))
    noise(call, 2_000)
    [create] = only(call.tell(ToolReturned("call_1", "42")), CreateResponse)
    assert call.tell(ResponseStarted("resp_3", create.tag)) == []


@pytest.mark.parametrize("ms", [300, 800], ids=["noise", "speech"])
def test_a_response_that_we_asked_for_and_that_begins_while_it_is_in_doubt_is_given_up_for_speech_alone(ms):
    call = speaking(HALF_A_SECOND)
    call.tell(ResponseStarted("resp_2"), ToolCalled("resp_2", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_2"))
    [create] = only(call.tell(ToolReturned("call_1", "42")), CreateResponse)
    call.tell(SpeechStarted("item_2"), at_ms=2_000)
    assert call.tell(ResponseStarted("resp_3", create.tag), at_ms=2_100) == []
    commands = call.tell(SpeechStopped(), at_ms=2_000 + ms)
    assert only(commands, CancelResponse) == ([] if ms == 300 else [CancelResponse("resp_3")])


def test_what_the_model_begins_to_answer_to_a_noise_does_not_stand_for_what_we_asked_for():
    """It was in the way of our request, which was refused, and is told of after that."""
    call = speaking(HALF_A_SECOND)
    call.tell(ResponseStarted("resp_2"), ToolCalled("resp_2", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_2"))
    noise(call, 2_000)
    [create] = only(call.tell(ToolReturned("call_1", "42")), CreateResponse)
    call.tell(OutputTaken("call_1"), RequestRefused(create.request_id), at_ms=2_400)
    assert call.tell(ResponseStarted("resp_3"), at_ms=2_450) == [CancelResponse("resp_3")]
    commands = call.tell(ResponseEnded("resp_3", "cancelled"), Tick(), at_ms=2_900)
    assert [c.tag for c in only(commands, CreateResponse)] == ["answer"]


def test_a_short_word_at_the_agents_last_is_answered():
    call = live(manners=HALF_A_SECOND)
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 1_200)
    assert noise(call, 2_100) == []  # "yes", and the agent has been heard out by its end
    assert call.tell(ResponseStarted("resp_2"), at_ms=2_900) == []
    assert call.tell(audio("resp_2", "item_2", 400))


def test_while_the_agent_is_silent_every_word_counts():
    call = live(manners=HALF_A_SECOND)
    noise(call, 2_000, ms=200)
    assert call.tell(ResponseStarted("resp_1"), at_ms=2_500) == []
    assert call.tell(audio("resp_1", "item_1", 400))


def saying_goodbye():
    """Three seconds of it, from the first second on."""
    call = live(manners=HALF_A_SECOND)
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 3_000, done=False)
    end_call(call, "resp_1")
    return call


def test_a_noise_does_not_call_off_the_goodbye():
    call = saying_goodbye()
    noise(call, 2_000)
    assert call.conversation.farewell.begun


def test_who_begins_to_speak_just_before_the_goodbye_was_heard_is_not_hung_up_on():
    call = saying_goodbye()
    call.tell(SpeechStarted("item_2"), at_ms=3_900)
    assert call.hear_all() == []
    call.tell(Tick(), at_ms=4_400)
    assert not call.conversation.farewell.begun


def test_after_a_mere_noise_there_the_call_ends():
    call = saying_goodbye()
    call.tell(SpeechStarted("item_2"), at_ms=3_900)
    call.hear_all()
    assert CompleteCall() in call.tell(SpeechStopped(), at_ms=4_200)


def test_who_begins_to_speak_just_before_being_put_through_stays():
    call = live(manners=HALF_A_SECOND)
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 3_000, done=False)
    call.tell(ToolCalled("resp_1", "call_1", "transfer", "{}"), ToolReturned("call_1", Transfer("sales")))
    call.tell(ResponseEnded("resp_1"), SpeechStarted("item_2"), at_ms=3_900)
    assert call.hear_all() == []
    assert only(call.tell(Tick(), at_ms=4_400), AnswerTool)  # it is not done


def test_a_tools_answer_waits_while_it_is_in_doubt_whether_the_caller_speaks():
    call = speaking(HALF_A_SECOND)
    call.tell(ResponseStarted("resp_2"), ToolCalled("resp_2", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_2"), SpeechStarted("item_2"), at_ms=2_000)
    assert only(call.tell(ToolReturned("call_1", "42")), CreateResponse) == []
    assert only(call.tell(SpeechStopped(), at_ms=2_200), CreateResponse)


def test_a_doubt_ends_with_its_session():
    call = speaking(HALF_A_SECOND)
    call.tell(SpeechStarted("item_2"), at_ms=2_000)
    call.tell(ModelLost("openai.disconnected"), SessionConfirmed(), at_ms=2_100)
    assert only(call.tell(Tick(), at_ms=2_600), ClearAudio) == []


# -- too often to be a person -------------------------------------------------------------------


def interrupt(call: Call, times: int) -> None:
    """Interrupt as often, a second apart; each time the agent begins anew."""
    for number in range(times):
        call.tell(SpeechStarted(f"caller_{number}"), at_ms=call.now_ms + 500)
        call.tell(SpeechStopped(), at_ms=call.now_ms + 250)
        call.speak(f"again_{number}", f"again_{number}", 10_000)
        call.now_ms += 250


def test_the_fifth_interruption_in_half_a_minute_is_followed_by_a_line_about_the_noise():
    call = speaking(AT_MOST_FOUR)
    interrupt(call, 4)
    assert only(call.given, CreateResponse) == []
    commands = call.tell(SpeechStarted("noise"), at_ms=call.now_ms + 500)
    assert isinstance(commands[0], ClearAudio)
    assert "noisy" in commands[-1].instructions  # asked for over the noise


def test_the_line_about_the_noise_is_heard_also_while_the_noise_goes_on():
    call = speaking(AT_MOST_FOUR)
    interrupt(call, 4)
    [create] = only(call.tell(SpeechStarted("noise"), at_ms=6_000), CreateResponse)
    assert call.tell(ResponseStarted("line", create.tag), at_ms=6_200) == []
    assert call.tell(MessageStarted("line", "line"), audio("line", "line", 400), at_ms=6_400)
    assert call.tell(SpeechStopped(), at_ms=9_000) == []


def test_then_nothing_interrupts_for_some_seconds_and_no_noise_is_answered():
    call = speaking(AT_MOST_FOUR)
    interrupt(call, 4)
    [create] = only(call.tell(SpeechStarted("noise"), at_ms=6_000), CreateResponse)
    call.speak("line", "line", 5_000, done=False)
    assert create.tag == "noise"
    assert call.tell(SpeechStopped(), at_ms=7_000) == []
    assert noise(call, 8_000) == []
    call.tell(ResponseEnded("line"))
    assert call.tell(ResponseStarted("resp_2"), at_ms=9_000) == [CancelResponse("resp_2")]


def test_what_a_tool_brings_meanwhile_is_said_over_the_noise():
    call = speaking(AT_MOST_FOUR)
    interrupt(call, 4)
    call.tell(ResponseStarted("resp_2"), ToolCalled("resp_2", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_2"))
    [create] = only(call.tell(SpeechStarted("noise"), at_ms=6_000), CreateResponse)
    call.speak("line", "line", 1_000)
    call.tell(SpeechStopped(), at_ms=6_500)
    call.tell(SpeechStarted("more noise"), at_ms=6_600)
    [create] = only(call.tell(ToolReturned("call_1", "42"), at_ms=6_700), CreateResponse)
    assert call.tell(ResponseStarted("resp_3", create.tag), at_ms=6_800) == []


def test_who_speaks_when_the_line_was_heard_out_is_answered():
    """The caller was asked to come closer, and asks whether it is better now."""
    call = speaking(AT_MOST_FOUR)
    interrupt(call, 4)
    [create] = only(call.tell(SpeechStarted("noise"), at_ms=6_000), CreateResponse)
    call.tell(ResponseStarted("line", create.tag), SpeechStopped(), at_ms=6_500)
    call.tell(audio("line", "line", 2_000), ResponseEnded("line"))
    call.hear_all()
    assert noise(call, 10_000, ms=1_500) == []
    assert call.tell(ResponseStarted("resp_2")) == []
    assert call.tell(audio("resp_2", "item_2", 2_000))
    assert noise(call, 12_000) == []  # and still, nothing interrupts


def test_and_after_them_the_caller_can_interrupt_again():
    call = speaking(AT_MOST_FOUR)
    interrupt(call, 5)
    call.tell(SpeechStopped())
    call.speak("resp_2", "item_2", 20_000)
    assert only(call.tell(SpeechStarted("caller"), at_ms=call.now_ms + 8_000), ClearAudio)


def test_the_agents_own_line_about_the_noise_is_said_word_for_word():
    call = speaking(Manners(most_interruptions=1, noise_line="お声が遠いようです。"))
    interrupt(call, 1)
    [create] = only(call.tell(SpeechStarted("noise"), at_ms=9_000), CreateResponse)
    assert create.instructions.endswith("お声が遠いようです。")
    assert not create.tools_allowed


def test_a_line_about_the_noise_that_the_models_answer_came_before_is_said_after_it():
    call = speaking(Manners(most_interruptions=1))
    interrupt(call, 1)
    [create] = only(call.tell(SpeechStarted("noise"), at_ms=3_000), CreateResponse)
    call.tell(SpeechStopped(), ResponseStarted("resp_2"), at_ms=3_100)
    assert call.tell(RequestRefused(create.request_id)) == [CancelResponse("resp_2")]
    commands = call.tell(ResponseEnded("resp_2", "cancelled"), Tick(), at_ms=3_700)
    assert [c.tag for c in only(commands, CreateResponse)] == ["noise"]


def test_what_was_taken_for_that_line_and_was_heard_is_cut_where_it_was_heard():
    """That the line was refused is told later than the answer in its way begins, which may speak by then."""
    call = speaking(Manners(most_interruptions=1))
    interrupt(call, 1)
    [create] = only(call.tell(SpeechStarted("noise"), at_ms=3_000), CreateResponse)
    call.tell(SpeechStopped(), ResponseStarted("resp_2"), MessageStarted("resp_2", "item_2"), at_ms=3_100)
    call.tell(audio("resp_2", "item_2", 2_000), at_ms=3_200)
    commands = call.tell(RequestRefused(create.request_id), at_ms=3_300)
    assert [type(c) for c in commands] == [ClearAudio, CancelResponse, TruncateItem]
    assert 95 <= commands[2].heard_ms <= 100


def test_interruptions_that_are_far_apart_are_a_persons():
    call = speaking(Manners(most_interruptions=1))
    for number in range(4):
        assert only(call.tell(SpeechStarted(f"caller_{number}"), at_ms=call.now_ms + 2_000), ClearAudio)
        call.tell(SpeechStopped(), at_ms=call.now_ms + 30_000)
        call.speak(f"again_{number}", f"again_{number}", 10_000)
    assert only(call.given, CreateResponse) == []


def test_without_a_limit_the_caller_may_interrupt_for_ever():
    call = speaking(Manners(most_interruptions=None))
    interrupt(call, 20)
    assert len(only(call.given, ClearAudio)) == 20
    assert only(call.given, CreateResponse) == []
