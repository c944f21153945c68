"""Keys that the caller presses: the model is told of them, and of the secret ones nobody else."""

from __future__ import annotations

import json

import pytest

from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    ClearAudio,
    CreateResponse,
    RunTool,
    Tell,
)
from callapp.conversation.events import (
    AudioEnded,
    DigitPressed,
    ModelLost,
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
from callapp.conversation.keys import Keys
from callapp.conversation.wishes import CollectDigits
from tests.conversation.test_machine import Call, audio, end_call, live, only


def press(call: Call, keys: str, *, at_ms: float, every_ms: float = 200) -> list:
    """Press keys one after another; return what that led to."""
    commands = []
    for number, key in enumerate(keys):
        commands += call.tell(DigitPressed(key), at_ms=at_ms + number * every_ms)
    return commands


def collect(call: Call, count: int, *, sensitive: bool = False, question_ms: int = 0) -> list:
    """The model asks for digits, in a response that it may ask them for aloud."""
    asked = ToolCalled("resp_1", "call_1", "collect_digits", "{}")
    call.tell(ResponseStarted("resp_1"))
    if question_ms:
        call.tell(audio("resp_1", "item_1", question_ms), AudioEnded("resp_1", "item_1", 0))
    call.tell(asked, ResponseEnded("resp_1", tool_calls=(asked,)))
    return call.tell(ToolReturned("call_1", CollectDigits(count, sensitive)))


def output(commands: list) -> dict:
    [answer] = only(commands, AnswerTool)
    return json.loads(answer.output)


# -- of the caller's own accord -----------------------------------------------------------------


def test_keys_are_told_to_the_model_after_two_seconds_of_quiet_and_it_is_asked_to_answer():
    call = live()
    assert press(call, "123", at_ms=1_000) == []
    assert call.conversation.deadline_ms == 3_400
    told, create = call.tell(Tick(), at_ms=3_400)
    assert told == Tell("caller", "[keys pressed: 1 2 3]")
    assert isinstance(create, CreateResponse)


def test_the_end_key_ends_them_at_once_and_is_not_one_of_them():
    assert only(press(live(), "42#", at_ms=1_000), Tell) == [Tell("caller", "[keys pressed: 4 2]")]


def test_an_end_key_alone_is_told_as_it_is():
    assert only(press(live(), "#", at_ms=1_000), Tell) == [Tell("caller", "[keys pressed: #]")]


def test_a_key_interrupts_the_agent_as_speech_does():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "menu", 9_000, done=False)
    commands = press(call, "1", at_ms=2_000)
    assert [type(c) for c in commands[:2]] == [ClearAudio, CancelResponse]
    call.tell(ResponseEnded("resp_1", "cancelled"))
    assert [type(c) for c in call.tell(Tick(), at_ms=4_000)] == [Tell, CreateResponse]


def test_keys_do_not_count_as_noise():
    call = live()
    call.conversation.noise._most = 1
    for number in range(5):
        call.speak(f"resp_{number}", f"item_{number}", 9_000)
        assert only(press(call, "1#", at_ms=call.now_ms + 500), ClearAudio)
        call.tell(ResponseStarted(f"answer_{number}", "answer"), ResponseEnded(f"answer_{number}"))
    assert not call.conversation.noise.deaf(call.now_ms)


def test_a_goodbye_is_called_off_by_a_key_but_not_the_last_one():
    call = live()
    call.speak("resp_1", "goodbye", 3_000, done=False)
    end_call(call, "resp_1")
    press(call, "1", at_ms=1_000)
    assert not call.conversation.farewell.begun
    call.tell(WindUpAsked("server.draining"))
    assert press(call, "1", at_ms=1_500) == []
    assert call.conversation.farewell.begun


def test_what_is_pressed_while_the_model_is_away_is_told_to_the_next_session():
    call = live()
    call.tell(ModelLost("openai.disconnected"), at_ms=1_000)
    assert press(call, "7#", at_ms=1_200) == []
    commands = call.tell(SessionConfirmed(), at_ms=2_000)
    assert Tell("caller", "[keys pressed: 7]") in commands
    assert only(commands, CreateResponse)


def test_what_is_pressed_before_the_first_session_stands_is_told_to_it():
    call = Call()
    press(call, "7#", at_ms=100)
    commands = call.tell(SessionConfirmed(), at_ms=400)
    assert commands[0] == Tell("caller", "[keys pressed: 7]")
    assert only(commands, CreateResponse)


# -- asked for by a tool ------------------------------------------------------------------------


def test_digits_that_were_asked_for_are_the_tools_answer_as_soon_as_there_are_enough():
    call = live()
    assert collect(call, 4) == []
    commands = press(call, "1234", at_ms=5_000)
    assert output(commands) == {"digits": "1234", "ended_by": "count"}
    assert only(call.given, RunTool, Tell) == [RunTool("call_1", "collect_digits", "{}")]
    assert isinstance(commands[-1], CreateResponse)


def test_the_end_key_delivers_fewer():
    call = live()
    collect(call, 10)
    assert output(press(call, "98#", at_ms=2_000)) == {"digits": "98", "ended_by": "end key"}


def test_an_end_key_after_the_last_digit_means_nothing():
    """People end a number with # whether or not they have to; the answer must not be cut by it."""
    call = live()
    collect(call, 2)
    press(call, "12", at_ms=2_000)
    call.speak("resp_2", "thanks", 3_000)
    assert press(call, "#", at_ms=2_900) == []


def test_the_caller_has_time_from_the_end_of_the_question():
    call = live()
    call.tell(at_ms=1_000)
    collect(call, 4, question_ms=6_000)
    call.hear_all()
    heard_ms = call.conversation.playback.dry_ms
    assert call.conversation.deadline_ms == heard_ms + 10_000
    commands = call.tell(Tick(), at_ms=heard_ms + 10_000)
    assert output(commands) == {"digits": "", "ended_by": "pause"}
    assert isinstance(commands[-1], CreateResponse)


def test_and_five_seconds_after_each_digit():
    call = live()
    collect(call, 4)
    press(call, "12", at_ms=9_000)
    assert call.conversation.deadline_ms == 14_200
    assert output(call.tell(Tick(), at_ms=14_200)) == {"digits": "12", "ended_by": "pause"}


def test_a_caller_who_speaks_is_given_more_time():
    call = live()
    collect(call, 4)
    call.tell(SpeechStarted("item_2"), at_ms=7_000)
    call.tell(SpeechStopped(), at_ms=9_000)
    call.tell(ResponseStarted("resp_2"), ResponseEnded("resp_2"))
    assert only(call.tell(Tick(), at_ms=18_000), AnswerTool) == []
    assert only(call.tell(Tick(), at_ms=19_000), AnswerTool)


def test_digits_pressed_before_the_tool_was_called_count():
    call = live()
    press(call, "1", at_ms=1_000)
    collect(call, 2)
    assert output(press(call, "2", at_ms=1_500))["digits"] == "12"


def test_digits_that_are_all_there_before_the_tool_was_called_are_its_answer_at_once():
    call = live()
    press(call, "12", at_ms=1_000)
    assert output(collect(call, 2)) == {"digits": "12", "ended_by": "count"}


def test_a_caller_who_was_asked_nothing_aloud_has_time_from_when_the_tool_was_called():
    call = live()
    call.tell(at_ms=5_000)
    collect(call, 2)
    assert call.conversation.deadline_ms == 15_000


def test_only_one_tool_collects_at_a_time():
    call = live()
    collect(call, 2)
    call.tell(ResponseStarted("resp_2"), ToolCalled("resp_2", "call_2", "collect_digits", "{}"))
    assert "error" in output(call.tell(ToolReturned("call_2", CollectDigits(2))))
    assert output(press(call, "12", at_ms=2_000)) == {"digits": "12", "ended_by": "count"}


def test_digits_of_a_session_that_is_lost_are_told_to_the_next_one():
    call = live()
    collect(call, 2)
    call.tell(ModelLost("openai.disconnected"), SessionConfirmed())
    [told] = only(press(call, "12", at_ms=2_000), Tell)
    assert '"digits": "12"' in told.text


# -- secret digits ------------------------------------------------------------------------------


def test_sensitive_digits_reach_the_model_and_nobody_else():
    call = live()
    collect(call, 4, sensitive=True)
    commands = press(call, "4711", at_ms=2_000)
    assert output(commands)["digits"] == "4711"
    assert "4711" not in repr(commands)
    assert [line.text for line in call.conversation.history.lines()] == ["[4 digits]"]
    assert "7" not in repr(DigitPressed("7"))


def test_those_that_were_asked_for_openly_stand_in_the_history():
    call = live()
    collect(call, 2)
    press(call, "12", at_ms=2_000)
    assert call.conversation.history.lines()[0].text == "[keys pressed: 1 2]"


def test_what_is_pressed_soon_after_those_is_no_secret_and_means_what_it_always_does():
    call = live()
    collect(call, 2)
    press(call, "12", at_ms=2_000)
    assert only(press(call, "3#", at_ms=3_000), Tell) == [Tell("caller", "[keys pressed: 3]")]
    heard = [line.text for line in call.conversation.history.lines() if line.role == "caller"]
    assert heard == ["[keys pressed: 1 2]", "[keys pressed: 3]"]


@pytest.mark.parametrize("up", [True, False])
def test_secret_digits_that_come_too_late_are_still_secret(up):
    call = live()
    collect(call, 4, sensitive=True)
    call.tell(Tick(), at_ms=10_300)
    if not up:
        call.tell(ModelLost("openai.disconnected"))
    commands = press(call, "4711#", at_ms=12_000)
    if not up:
        commands += call.tell(SessionConfirmed())
    assert only(commands, Tell)[-1 if up else 0].text
    assert any("4 7 1 1" in told.text for told in only(commands, Tell))
    assert "4 7 1 1" not in repr(commands)
    assert [line.text for line in call.conversation.history.lines()] == ["[4 digits]"]


def test_a_single_secret_digit_is_counted_in_the_singular():
    keys = Keys()
    keys.collect("call_1", CollectDigits(1, sensitive=True), 0)
    entry = keys.pressed("5", 10)
    assert entry is not None
    assert entry.as_history == "[1 digit]"
    assert "5" not in repr(entry)
