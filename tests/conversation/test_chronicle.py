"""What is told of a call: scripts of events, and the facts that come of them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, TypeVar

import pytest

from callapp.conversation.commands import CompleteCall
from callapp.conversation.events import (
    AgentSaid,
    AudioArrived,
    AudioEnded,
    CallerHungUp,
    CallerSaid,
    DigitPressed,
    MessageStarted,
    ModelLost,
    Part,
    RemoteToolCalled,
    RemoteToolRan,
    ResponseEnded,
    ResponseStarted,
    ServiceComplained,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
    Usage,
    WindUpAsked,
)
from callapp.conversation.facts import (
    BargedIn,
    Ended,
    Fact,
    Fault,
    FirstAudio,
    KeysPressed,
    ModelConnected,
    ModelDisconnected,
    ToolRan,
    TurnAnswered,
    Used,
    Uttered,
)
from callapp.conversation.hearing import Ears
from callapp.conversation.wishes import CollectDigits, EndCall
from tests.conversation.test_machine import Call as PlainCall

F = TypeVar("F")

LOUD, SILENT = b"\x20", b"\xff"


class Call(PlainCall):
    """One that keeps all the facts that it told."""

    def __init__(self, **plan: Any) -> None:
        super().__init__(**{"transcribed": True, **plan})
        self.facts: list[Fact] = []

    def tell(self, *events: Any, at_ms: float | None = None) -> list[Any]:
        commands = super().tell(*events, at_ms=at_ms)
        self.facts += self.conversation.chronicle.take()
        return commands

    def all(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def only(self, kind: type[F]) -> F:
        (fact,) = self.all(kind)
        return fact

    def utterances(self) -> list[Uttered]:
        """As a record has them: the newest of each item, in the order in which they were spoken."""
        newest = {fact.item_id: fact for fact in self.all(Uttered)}
        return sorted(newest.values(), key=lambda one: one.start_ms)

    def speak(
        self,
        text: str,
        *audio: tuple[bytes, int],
        name: str = "1",
        at_ms: float | None = None,
        done: bool = True,
    ) -> None:
        """The model says something; its audio is some milliseconds each of some bytes."""
        response, item = f"resp_{name}", f"item_{name}"
        self.tell(ResponseStarted(response), MessageStarted(response, item), at_ms=at_ms)
        for byte, ms in audio or ((LOUD, 1_000),):
            self.tell(AudioArrived(response, Part(item, 0), b64encode(byte * (ms * 8))))
        self.tell(AgentSaid(item, text, whole=True), AudioEnded(response, item, 0), ResponseEnded(response))

    def ask(self, item_id: str, start_ms: float, end_ms: float, text: str | None = None) -> None:
        """The caller speaks."""
        self.tell(SpeechStarted(item_id), at_ms=start_ms)
        self.tell(SpeechStopped(), at_ms=end_ms)
        if text is not None:
            self.tell(CallerSaid(item_id, text))


def live(**plan: Any) -> Call:
    call = Call(**plan)
    call.tell(SessionConfirmed(), at_ms=300)
    return call


# -- what was said --------------------------------------------------------------------------------


def test_what_the_agent_says_is_told_once_it_was_heard_and_not_before():
    """The model is done long before the listener is, and the record may not be ahead of the ear."""
    call = live()
    call.speak("Good morning.", at_ms=1_000)
    assert call.all(Uttered) == []
    call.hear_all()
    told = call.only(Uttered)
    assert (told.role, told.item_id, told.text) == ("agent", "item_1", "Good morning.")
    assert (told.start_ms, told.end_ms) == (1_000, 2_000)
    assert not told.interrupted


def test_words_that_come_after_they_were_heard_are_told_then():
    call = live()
    call.tell(ResponseStarted("r"), MessageStarted("r", "i"), at_ms=1_000)
    call.tell(AudioArrived("r", Part("i", 0), b64encode(LOUD * 8_000)), AudioEnded("r", "i", 0))
    call.hear_all()
    assert call.only(Uttered).text is None
    call.tell(AgentSaid("i", "Good morning.", whole=True))
    assert [told.text for told in call.utterances()] == ["Good morning."]


def test_what_waits_in_the_phone_begins_when_it_is_heard_not_when_it_was_sent():
    call = live()
    call.speak("First.", at_ms=1_000)
    call.speak("Second.", name="2", at_ms=1_010)
    call.hear_all()
    assert [(told.text, told.start_ms, told.end_ms) for told in call.utterances()] == [
        ("First.", 1_000, 2_000),
        ("Second.", 2_000, 3_000),
    ]


def test_what_the_caller_cut_short_ends_where_they_stopped_hearing_it():
    call = live()
    call.speak("one two three four five", (LOUD, 5_000), at_ms=1_000)
    call.tell(SpeechStarted("c1"), at_ms=3_000)
    told = call.only(Uttered)
    assert told.text == "one two"
    assert told.meant == "one two three four five"
    assert told.interrupted
    assert (told.start_ms, told.end_ms) == (1_000, pytest.approx(3_000, abs=2))


def test_what_was_sent_and_not_heard_at_all_was_not_said():
    call = live()
    call.speak("one two three", (LOUD, 3_000), at_ms=1_000)
    call.speak("never", name="2")
    call.tell(SpeechStarted("c1"), at_ms=2_000)
    assert [told.item_id for told in call.utterances()] == ["item_1"]


def test_a_call_that_ends_in_mid_sentence_tells_the_half_that_was_heard():
    call = live()
    call.speak("one two three four", (LOUD, 4_000), at_ms=1_000)
    call.tell(CallerHungUp(), at_ms=3_000)
    told = call.only(Uttered)
    assert (told.text, told.interrupted) == ("one two", True)
    assert call.facts[-1] == Ended(3_000, "caller.hung_up")


def test_the_goodbye_was_heard_whole_though_its_last_echo_was_lost():
    call = live()
    call.speak("Goodbye.", at_ms=1_000)
    call.tell(CallerHungUp(), at_ms=2_500)
    told = call.only(Uttered)
    assert (told.text, told.interrupted, told.end_ms) == ("Goodbye.", False, 2_000)


def test_the_callers_words_take_their_place_however_late_they_come():
    """Transcriptions complete out of order; the order is that of speaking."""
    call = live()
    call.ask("c1", 1_000, 2_000)
    call.speak("Yes?", at_ms=2_100)
    call.hear_all()
    call.ask("c2", 4_000, 5_000)
    call.tell(CallerSaid("c2", "second"), CallerSaid("c1", "first"), at_ms=5_100)
    assert [told.text for told in call.utterances()] == ["first", "Yes?", "second"]


def test_words_that_come_after_the_end_are_waited_for_and_told():
    call = live()
    call.ask("c1", 1_000, 2_000)
    call.tell(CallerHungUp(), at_ms=2_100)
    assert call.conversation.over
    assert not call.conversation.told
    call.tell(CallerSaid("c1", "bye", Usage(transcribed_s=1.5)), at_ms=2_400)
    assert call.conversation.told
    assert call.utterances()[0].text == "bye"
    assert call.only(Used).usage.transcribed_s == 1.5


def test_no_words_are_waited_for_that_nobody_will_tell():
    call = live(transcribed=False)
    call.ask("c1", 1_000, 2_000)
    call.tell(CallerHungUp(), at_ms=2_100)
    assert call.conversation.told
    assert call.utterances()[0].text is None


def test_words_that_a_lost_session_owed_are_not_waited_for():
    call = live()
    call.ask("c1", 1_000, 2_000)
    call.tell(ModelLost("openai.disconnected"), CallerHungUp(), at_ms=2_100)
    assert call.conversation.told


def test_the_callers_speech_stands_on_the_calls_clock_without_padding_and_silence():
    """The session began at 300 ms and was sent all audio from the stream's start on."""
    call = live(ears=Ears(padding_ms=300, silence_ms=500))
    call.tell(SpeechStarted("c1", 700), at_ms=1_150)
    call.tell(SpeechStopped(2_500), at_ms=2_600)
    told = call.only(Uttered)
    assert (told.start_ms, told.end_ms) == (1_000, 2_000)


def test_after_a_reconnect_it_stands_there_too():
    """The session is sent what was said since the last one was lost."""
    call = live(ears=Ears(padding_ms=300, silence_ms=500))
    call.tell(ModelLost("openai.disconnected"), at_ms=11_000)
    call.tell(SessionConfirmed(), at_ms=13_000)
    call.tell(SpeechStarted("c1", 2_000), at_ms=13_600)
    call.tell(SpeechStopped(3_500), at_ms=14_600)
    told = call.only(Uttered)
    assert (told.start_ms, told.end_ms) == (13_300, 14_000)


def test_a_position_that_cannot_be_is_not_believed():
    """After a muted phone the model has heard less than the clock has run."""
    call = live(ears=Ears(padding_ms=300, silence_ms=500))
    call.tell(SpeechStarted("c1", 700), at_ms=9_000)
    call.tell(SpeechStopped(2_500), at_ms=9_900)
    told = call.only(Uttered)
    assert (told.start_ms, told.end_ms) == (9_000, 9_400)


# -- turns ----------------------------------------------------------------------------------------


def test_voice_to_voice_is_from_the_callers_last_sound_to_the_first_byte_and_to_the_first_sound():
    call = live(ears=Ears(silence_ms=500))
    call.ask("c1", 1_000, 2_500)
    call.speak("Well.", (SILENT, 100), (SILENT + LOUD, 400), at_ms=2_700)
    turn = call.only(TurnAnswered)
    assert (turn.index, turn.at_ms, turn.barge_in) == (1, 2_700, False)
    assert turn.voice_to_voice_ms == 700
    assert turn.audible_ms == pytest.approx(800, abs=1)


def test_the_greeting_answers_nobody():
    call = live(greeting="Say hello")
    call.speak("Hello.", at_ms=500)
    assert call.all(TurnAnswered) == []
    assert call.only(FirstAudio).at_ms == 500


def test_a_caller_who_goes_on_speaking_has_one_turn():
    call = live()
    call.ask("c1", 1_000, 2_000)
    call.ask("c2", 2_300, 3_000)
    call.speak("I see.", at_ms=3_400)
    assert call.only(TurnAnswered).voice_to_voice_ms == 400


def test_a_barge_in_is_told_with_what_was_heard_and_marks_the_turn():
    call = live()
    call.speak("a long story", (LOUD, 5_000), at_ms=1_000)
    call.ask("c1", 3_000, 4_000)
    call.speak("Sorry.", name="2", at_ms=4_500)
    barge_in = call.only(BargedIn)
    assert (barge_in.at_ms, barge_in.since_ms, barge_in.item_id) == (3_000, 3_000, "item_1")
    assert barge_in.heard_ms == pytest.approx(2_000, abs=2)
    assert barge_in.sent_ms == 5_000
    assert call.only(TurnAnswered).barge_in


def test_a_barge_in_on_a_line_that_no_model_spoke_names_no_item():
    call = live(hold_line=b64encode(LOUD * 12_000))
    call.tell(ModelLost("openai.disconnected"), at_ms=5_000)
    call.tell(Tick(), at_ms=6_000)
    call.tell(SessionConfirmed(), SpeechStarted("c1"), at_ms=7_000)
    barge_in = call.only(BargedIn)
    assert (barge_in.item_id, barge_in.sent_ms) == (None, 1_500)


def test_speech_while_nothing_plays_is_no_barge_in():
    call = live()
    call.speak("Hello.", at_ms=1_000)
    call.hear_all()
    call.ask("c1", 3_000, 4_000)
    assert call.all(BargedIn) == []


def test_a_call_cut_short_by_its_limit_was_interrupted_by_nobody():
    call = live()
    call.speak("a long story", (LOUD, 5_000), at_ms=1_000)
    call.tell(WindUpAsked("limit.call_seconds"), at_ms=2_000)
    assert call.all(BargedIn) == []
    assert call.only(Uttered).interrupted


def test_words_that_come_after_the_last_goodbye_ran_out_of_time_were_heard_by_nobody():
    call = live()
    call.tell(WindUpAsked("limit.call_seconds"), at_ms=1_000)
    call.tell(ResponseStarted("resp_1", "goodbye"), MessageStarted("resp_1", "item_1"), at_ms=7_000)
    call.tell(AudioArrived("resp_1", Part("item_1", 0), b64encode(LOUD * 4_000)))
    call.tell(AgentSaid("item_1", "Your time"))
    call.tell(Tick(), at_ms=7_500)
    assert any(isinstance(command, CompleteCall) for command in call.given)
    call.tell(AgentSaid("item_1", " is up. Goodbye!"), at_ms=7_600)
    call.tell(AgentSaid("item_1", "Your time is up. Goodbye!", whole=True), CallerHungUp(), at_ms=7_700)
    assert [said.text for said in call.utterances()] == ["Your time"]


# -- tools ----------------------------------------------------------------------------------------

TOOL = ToolCalled("resp_1", "t1", "weather", '{"city": "Kyoto"}')


def call_tool(call: Call, at_ms: float = 1_000) -> None:
    call.tell(ResponseStarted("resp_1"), TOOL, ResponseEnded("resp_1", tool_calls=(TOOL,)), at_ms=at_ms)


def test_a_tool_is_told_once_with_what_it_was_given_what_it_said_and_how_long_it_took():
    call = live()
    call_tool(call)
    call.tell(ToolReturned("t1", "sunny"), at_ms=1_250)
    assert call.only(ToolRan) == ToolRan(1_000, "t1", "weather", '{"city": "Kyoto"}', "sunny", "ok", 250)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [('{"error": "no such city"}', "error"), ('{"temperature": 21}', "ok"), ("{not json", "ok")],
)
def test_the_outcome_of_a_tool_is_what_the_model_was_told(answer: str, outcome: str):
    call = live()
    call_tool(call)
    call.tell(ToolReturned("t1", answer), at_ms=1_100)
    assert call.only(ToolRan).outcome == outcome


def test_a_tool_that_takes_too_long_is_told_as_that_and_its_late_result_not_at_all():
    call = live()
    call_tool(call)
    call.tell(Tick(), at_ms=16_000)
    call.tell(ToolReturned("t1", "late"), at_ms=17_000)
    assert call.only(ToolRan).outcome == "timeout"


def test_a_tool_that_outlives_its_session_is_told_all_the_same():
    call = live()
    call_tool(call)
    call.tell(ModelLost("openai.disconnected"), at_ms=1_100)
    call.tell(ToolReturned("t1", "sunny"), at_ms=1_300)
    assert (call.only(ToolRan).output, call.only(ToolRan).outcome) == ("sunny", "ok")


def test_a_tool_that_is_running_when_the_call_ends_is_told_as_abandoned():
    call = live()
    call_tool(call)
    call.tell(CallerHungUp(), at_ms=1_400)
    assert (call.only(ToolRan).outcome, call.only(ToolRan).duration_ms) == ("abandoned", 400)


def test_end_call_is_a_tool_like_any_other():
    call = live()
    end = ToolCalled("resp_1", "t1", "end_call", "{}")
    call.tell(ResponseStarted("resp_1"), end, ToolReturned("t1", EndCall("done")), at_ms=1_000)
    call.tell(ResponseEnded("resp_1", tool_calls=(end,)), at_ms=1_200)
    ran = call.only(ToolRan)
    assert (ran.name, ran.outcome, ran.duration_ms) == ("end_call", "ok", 0)


# -- keys -----------------------------------------------------------------------------------------


def test_keys_that_belong_together_are_told_together():
    call = live()
    call.tell(DigitPressed("1"), DigitPressed("2"), DigitPressed("#"), at_ms=1_000)
    assert call.only(KeysPressed) == KeysPressed(1_000, 2, "12")


def test_secret_keys_are_told_to_nobody():
    """A record is read by people who may not see a card number."""
    call = live()
    tool = ToolCalled("resp_1", "t1", "collect_digits", '{"count": 4, "sensitive": true}')
    call.tell(ResponseStarted("resp_1"), tool, ResponseEnded("resp_1", tool_calls=(tool,)), at_ms=1_000)
    call.tell(ToolReturned("t1", CollectDigits(4, sensitive=True)))
    call.tell(*(DigitPressed(digit) for digit in "9876"), at_ms=2_000)
    assert call.only(KeysPressed) == KeysPressed(2_000, 4, None)
    assert call.only(ToolRan).output is None
    assert "9876" not in repr(call.facts)


# -- the model ------------------------------------------------------------------------------------


def test_a_reconnect_is_told_with_how_long_the_model_was_away():
    call = live()
    call.tell(ModelLost("openai.disconnected"), at_ms=2_000)
    call.tell(ModelLost("openai.unreachable"), at_ms=2_200)
    call.tell(SessionConfirmed(), at_ms=2_900)
    assert call.all(ModelConnected) == [ModelConnected(300, 300, False), ModelConnected(2_900, 900, True)]
    assert [fact.reason for fact in call.all(ModelDisconnected)] == [
        "openai.disconnected",
        "openai.unreachable",
    ]


def test_usage_and_failures_are_told_as_reported():
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    call.tell(ResponseEnded("resp_1", "failed", "server_error", usage=Usage(input_text=7)), at_ms=1_100)
    call.speak("This one does not fail, and reports nothing.", name="2")
    assert call.only(Used) == Used(1_100, Usage(input_text=7))
    assert "server_error" in call.only(Fault).what


def test_a_response_that_is_cut_off_unheard_is_told_as_a_fault():
    call = live()
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "incomplete"), at_ms=1_000)
    assert "incomplete" in call.only(Fault).what


def test_a_session_that_we_give_up_is_told_with_the_reason():
    call = live(session_ms=10_000)
    call.tell(Tick(), at_ms=10_300)
    assert call.only(ModelDisconnected) == ModelDisconnected(10_300, "its time is nearly over")


def test_a_complaint_of_the_service_is_told_and_ends_nothing():
    call = live()
    call.tell(ServiceComplained("invalid_value", "no such voice"), at_ms=1_000)
    assert call.only(Fault) == Fault(1_000, "invalid_value", "no such voice")


def test_a_tool_that_the_service_ran_by_itself_is_told_once_with_how_long_it_took():
    """It is told by its response and by the conversation."""
    call = live()
    call.tell(RemoteToolCalled("mcp_1"), at_ms=1_000)
    for at_ms in (1_400, 1_450):
        call.tell(RemoteToolRan("mcp_1", "crm.find", "{}", "Ms Sato", failed=False), at_ms=at_ms)
    call.tell(RemoteToolRan("mcp_2", "crm.find", "{}", "no", failed=True), at_ms=2_000)
    assert call.all(ToolRan) == [
        ToolRan(1_000, "mcp_1", "crm.find", "{}", "Ms Sato", "ok", 400),
        ToolRan(2_000, "mcp_2", "crm.find", "{}", "no", "error", 0),
    ]
