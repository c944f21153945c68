"""A machine has answered: the agent falls silent, waits until it records, says its message and leaves."""

from __future__ import annotations

import pytest

from callapp.conversation.asides import Manners
from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    ClearAudio,
    Command,
    CompleteCall,
    CreateResponse,
    Finish,
    LeaveStream,
    OpenAudio,
    PlayAudio,
    Reconnect,
    RunTool,
    Tell,
)
from callapp.conversation.events import (
    Answered,
    CallerBack,
    ModelLost,
    RequestFailed,
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
from callapp.conversation.farewell import UNHEARD_MARK_MS
from callapp.conversation.voicemail import (
    MOST_GREETING_MS,
    PERSON_MS,
    QUIET_MS,
    QUIET_WHILE_DETECTING_MS,
    Voicemail,
)
from callapp.conversation.winding_up import PERSON
from callapp.conversation.wishes import SendDigits, VoicemailReached
from tests.conversation.test_machine import Call, audio, live, only

MESSAGE = "Say exactly this: please call back."
MACHINE = Answered(machine=True)
RECORDING = Answered(machine=True, recording=True)
HUMAN = Answered(machine=False)


def report(call: Call, response_id: str = "resp_1") -> list[Command]:
    """The model finds out that it speaks to a machine."""
    asked = ToolCalled(response_id, "call_1", "report_voicemail", "{}")
    call.tell(ResponseStarted(response_id), asked, ResponseEnded(response_id, tool_calls=(asked,)))
    return call.tell(ToolReturned("call_1", VoicemailReached()))


def message_of(commands: list[Command]) -> str | None:
    """What the model is asked to say, if anything."""
    requests = only(commands, CreateResponse)
    return requests[-1].instructions if requests else None


def say_message(call: Call) -> list[Command]:
    """The model says what it was asked to, and the phone plays it to its end."""
    call.tell(ResponseStarted("resp_m", "goodbye"), audio("resp_m", "item_m", 8_000))
    call.tell(ResponseEnded("resp_m"))
    return call.hear_all()


def test_the_message_is_said_when_the_machine_records_and_the_call_ends_when_it_was_heard():
    call = live(message=MESSAGE, detects_machines=True)
    [asked] = call.tell(RECORDING, at_ms=9_000)
    assert (asked.instructions, asked.tools_allowed) == (MESSAGE, False)
    assert only(say_message(call), CompleteCall) == [CompleteCall()]
    assert call.conversation.end_reason == "agent.voicemail"


def test_a_verdict_in_mid_greeting_silences_the_agent():
    """What it says now would be on the recording, in front of the message."""
    call = live(greeting="Hello", message=MESSAGE, detects_machines=True)
    call.tell(ResponseStarted("resp_1", "greeting"), audio("resp_1", "item_1", 3_000), at_ms=500)
    commands = call.tell(RECORDING, at_ms=1_500)
    assert isinstance(commands[0], ClearAudio)
    assert only(commands, CancelResponse) == [CancelResponse("resp_1")]
    assert only(commands, CreateResponse) == []  # not before the greeting's response is over
    assert call.tell(audio("resp_1", "item_1", 500)) == []
    assert message_of(call.tell(ResponseEnded("resp_1", "cancelled"))) == MESSAGE


def test_a_machine_that_still_speaks_is_waited_for_and_not_answered():
    call = live(message=MESSAGE, detects_machines=True)
    assert call.tell(MACHINE, at_ms=3_000) == []
    assert call.tell(SpeechStarted(), SpeechStopped(), at_ms=4_000) == []
    # The model takes the machine's words for a turn, and begins to answer.
    assert call.tell(ResponseStarted("resp_1"), at_ms=4_500) == [CancelResponse("resp_1")]
    assert only(call.tell(audio("resp_1", "item_1", 500)), PlayAudio) == []
    call.tell(ResponseEnded("resp_1", "cancelled"))
    assert message_of(call.tell(RECORDING, at_ms=7_000)) == MESSAGE


def test_a_message_that_fails_too_often_was_not_left():
    call = live(message=MESSAGE, detects_machines=True)
    [message] = only(call.tell(RECORDING, at_ms=9_000), CreateResponse)
    for pause_ms in (500, 3_000, 5_000):
        call.tell(RequestFailed(message.request_id))
        [message] = only(call.tell(Tick(), at_ms=call.now_ms + pause_ms), CreateResponse)
        assert message.instructions == MESSAGE
    assert call.tell(RequestFailed(message.request_id)) == [Finish("openai.failed")]


def test_a_person_is_talked_to_as_ever():
    call = live(greeting="Hello", message=MESSAGE, detects_machines=True)
    assert call.tell(HUMAN, at_ms=4_000) == []
    assert not call.conversation.voicemail.reached


def test_without_a_message_a_machine_is_hung_up_on():
    call = live()
    call.tell(ResponseStarted("resp_1"), audio("resp_1", "item_1", 3_000))
    commands = call.tell(MACHINE, at_ms=3_000)
    assert isinstance(commands[0], ClearAudio)
    assert commands[-1] == CompleteCall()
    assert call.conversation.end_reason == "agent.voicemail"


def test_without_a_message_a_machine_is_hung_up_on_also_before_the_model_is_there():
    call = Call(greeting="Hello")
    assert call.tell(MACHINE, at_ms=200) == [CompleteCall()]


def test_a_machine_that_is_known_before_the_model_is_there_is_not_greeted():
    call = Call(greeting="Hello", message=MESSAGE, detects_machines=True)
    assert call.tell(RECORDING, at_ms=200) == []
    commands = call.tell(SessionConfirmed(), at_ms=300)
    assert only(commands, OpenAudio)
    assert message_of(commands) == MESSAGE


def test_nothing_that_the_machine_does_cuts_the_message():
    """Its beep is a sound like any other."""
    call = live(message=MESSAGE, detects_machines=True)
    call.tell(RECORDING, at_ms=5_000)
    call.tell(ResponseStarted("resp_m", "goodbye"), audio("resp_m", "item_m", 8_000))
    assert call.tell(SpeechStarted(), SpeechStopped(), at_ms=5_500) == []
    commands = call.tell(ResponseEnded("resp_m"), RECORDING, MACHINE, HUMAN)
    assert only(commands, ClearAudio, CancelResponse, CompleteCall) == []
    assert only(call.hear_all(), CompleteCall) == [CompleteCall()]


def test_who_speaks_on_over_the_message_is_a_person_after_all():
    """Carriers take the one for the other now and then."""
    call = live(message=MESSAGE, detects_machines=True)
    call.tell(RECORDING, at_ms=5_000)
    call.tell(ResponseStarted("resp_m", "goodbye"), audio("resp_m", "item_m", 8_000), ResponseEnded("resp_m"))
    call.tell(SpeechStarted("item_1"), at_ms=6_000)
    assert call.conversation.deadline_ms == 6_000 + PERSON_MS
    assert call.tell(Tick(), at_ms=6_000 + PERSON_MS - 1) == []
    commands = call.tell(Tick(), at_ms=6_000 + PERSON_MS)
    assert isinstance(commands[0], ClearAudio)
    assert commands[-1] == Tell("system", PERSON)
    assert not call.conversation.farewell.begun
    assert call.tell(SpeechStopped(), at_ms=9_000) == []
    assert call.tell(ResponseStarted("resp_2")) == []  # the model answers them
    assert only(call.tell(audio("resp_2", "item_2", 500)), PlayAudio)
    call.tell(ResponseEnded("resp_2"))
    assert only(call.hear_all(), CompleteCall) == []


@pytest.mark.parametrize("lost_ms", [6_500, 8_000])
def test_a_model_that_comes_after_one_that_was_lost_knows_of_the_person(lost_ms):
    """The one that was lost had said that it spoke to a machine."""
    call = live(message=MESSAGE, detects_machines=True)
    call.tell(RECORDING, at_ms=5_000)
    call.tell(ResponseStarted("resp_m", "goodbye"), audio("resp_m", "item_m", 8_000), ResponseEnded("resp_m"))
    call.tell(SpeechStarted("item_1"), at_ms=6_000)
    for event, at_ms in sorted([(ModelLost("x"), lost_ms), (Tick(), 6_000 + PERSON_MS)], key=lambda e: e[1]):
        call.tell(event, at_ms=at_ms)
    assert Tell("system", PERSON) in call.tell(SessionConfirmed(), at_ms=8_500)


def test_a_beep_that_began_before_the_message_is_as_long_as_it_likes():
    call = live(message=MESSAGE, detects_machines=True)
    call.tell(SpeechStarted("item_1"), at_ms=4_000)
    call.tell(RECORDING, at_ms=5_400)
    call.tell(ResponseStarted("resp_m", "goodbye"), audio("resp_m", "item_m", 8_000), ResponseEnded("resp_m"))
    assert only(call.tell(Tick(), at_ms=6_000), ClearAudio) == []
    call.tell(SpeechStopped(), at_ms=6_400)
    assert only(call.hear_all(), CompleteCall) == [CompleteCall()]


def test_a_beep_within_the_message_is_not_waited_for_as_a_turn():
    """Its time was over, and a tick was wanted with each chunk of audio until the message was heard."""
    call = live(message=MESSAGE, detects_machines=True)
    call.tell(RECORDING, at_ms=5_000)
    call.speak("resp_1", "item_1", 20_000)
    call.tell(SpeechStarted(), at_ms=6_000)
    call.tell(SpeechStopped(), at_ms=6_500)
    assert call.tell(Tick(), at_ms=11_000) == []
    assert call.conversation.deadline_ms > 11_000


def test_the_message_may_take_longer_than_a_goodbye():
    call = live(message=MESSAGE, detects_machines=True)
    call.tell(RECORDING, at_ms=5_000)
    call.tell(ResponseStarted("resp_m", "goodbye"), audio("resp_m", "item_m", 20_000))
    call.tell(audio("resp_m", "item_m", 20_000), at_ms=20_000)
    assert only(call.tell(ResponseEnded("resp_m"), Tick(), at_ms=40_000), CompleteCall) == []
    assert call.conversation.deadline_ms > 45_000


def test_a_message_in_place_of_a_last_goodbye_that_was_lost_ends_with_its_audio_though_no_echo_comes():
    call = live(message=MESSAGE)
    call.tell(WindUpAsked("server.draining"), RECORDING, ModelLost("openai.disconnected"), at_ms=1_000)
    assert message_of(call.tell(SessionConfirmed(), at_ms=2_000)) == MESSAGE
    call.tell(ResponseStarted("resp_m", "goodbye"), audio("resp_m", "item_m", 8_000), ResponseEnded("resp_m"))
    assert call.conversation.deadline_ms == 10_000 + UNHEARD_MARK_MS


def test_a_goodbye_to_a_machine_is_taken_back_for_the_message():
    """The model has heard that nobody is there, and said goodbye, sooner than the carrier was sure."""
    call = live(message=MESSAGE, detects_machines=True)
    call.conversation.farewell.begin("agent.ended", 1_000)
    call.tell(ResponseStarted("resp_1"), audio("resp_1", "item_1", 5_000), at_ms=1_000)
    call.tell(ResponseEnded("resp_1"))
    commands = call.tell(RECORDING, at_ms=2_000)
    assert isinstance(commands[0], ClearAudio)
    assert message_of(commands) == MESSAGE
    say_message(call)
    assert call.conversation.end_reason == "agent.voicemail"


# -- the model's own judgement ------------------------------------------------------------------


def test_the_model_reports_a_machine_and_speaks_after_a_silence():
    """Nobody else listens: the beep comes some moments after the machine's last word."""
    call = live(message=MESSAGE)
    call.tell(SpeechStarted(), at_ms=1_000)
    call.tell(SpeechStopped(), at_ms=5_000)
    commands = report(call)
    [answer] = only(commands, AnswerTool)
    assert "Say nothing more" in answer.output
    assert only(commands, CreateResponse) == []
    assert call.conversation.deadline_ms == 5_000 + QUIET_MS
    assert message_of(call.tell(Tick(), at_ms=5_000 + QUIET_MS)) == MESSAGE


def test_the_model_reports_a_machine_that_speaks_on():
    call = live(message=MESSAGE)
    report(call)
    call.tell(SpeechStarted(), at_ms=2_000)
    assert call.tell(Tick(), at_ms=9_000) == []
    call.tell(SpeechStopped(), at_ms=10_000)
    assert message_of(call.tell(Tick(), at_ms=12_000)) == MESSAGE


def test_without_a_message_a_machine_that_is_found_while_keys_are_sent_is_hung_up_on_after_them():
    call = live(detects_machines=True)
    keys = ToolCalled("resp_1", "call_1", "send_digits", "{}")
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", tool_calls=(keys,)))
    assert only(call.tell(ToolReturned("call_1", SendDigits("1"))), LeaveStream)
    assert call.tell(MACHINE, at_ms=6_000) == []
    assert only(call.tell(CallerBack(), at_ms=8_000), CompleteCall)
    assert call.conversation.end_reason == "agent.voicemail"


def test_a_machine_that_the_model_reports_as_keys_are_sent_is_hung_up_on_after_them():
    """The tools of a response return as they like; to complete the call while it is away would cut it off."""
    call = live()
    names = ("send_digits", "report_voicemail")
    tools = [ToolCalled("resp_1", f"call_{n}", name, "{}") for n, name in enumerate(names)]
    call.tell(ResponseStarted("resp_1"), *tools, ResponseEnded("resp_1", tool_calls=tuple(tools)))
    assert only(call.tell(ToolReturned("call_0", SendDigits("1"))), LeaveStream)
    commands = call.tell(ToolReturned("call_1", VoicemailReached()), at_ms=6_000)
    assert [type(one) for one in commands] == [AnswerTool]
    assert only(call.tell(CallerBack(), at_ms=8_000), CompleteCall)
    assert call.conversation.end_reason == "agent.voicemail"


def test_without_a_message_the_models_report_ends_the_call():
    commands = report(live())
    assert [type(one) for one in commands] == [AnswerTool, CompleteCall]


def test_while_waiting_nobody_is_nudged_and_no_tool_is_talked_about():
    call = live(message=MESSAGE, detects_machines=True, manners=Manners(nudge_ms=2_000))
    asked = ToolCalled("resp_1", "call_1", "look_up", "{}")
    assert only(call.tell(ResponseStarted("resp_1"), asked), RunTool)
    call.tell(ResponseEnded("resp_1", tool_calls=(asked,)))
    call.tell(MACHINE, at_ms=1_000)
    commands = call.tell(ToolReturned("call_1", "42"), at_ms=2_000)
    assert [type(one) for one in commands] == [AnswerTool]
    assert call.tell(Tick(), at_ms=4_000) == []


# -- the model is not there ---------------------------------------------------------------------


def test_a_model_that_is_lost_before_the_message_is_heard_is_dialled_again_for_it():
    call = live(message=MESSAGE, detects_machines=True, hold_line="////")
    call.tell(RECORDING, at_ms=5_000)
    assert only(call.tell(ModelLost("openai.disconnected"), at_ms=5_100), Reconnect)
    assert only(call.tell(Tick(), at_ms=7_000), PlayAudio) == []  # no "one moment" on the recording
    assert message_of(call.tell(SessionConfirmed(), at_ms=7_500)) == MESSAGE


# -- the moment ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("detecting", "quiet_ms"), [(False, QUIET_MS), (True, QUIET_WHILE_DETECTING_MS)])
def test_a_silence_counts_for_less_while_the_carrier_listens(detecting, quiet_ms):
    """A pause in the middle of a greeting is longer than people think."""
    voicemail = Voicemail(detecting=detecting)
    voicemail.heard(4_000, speaking=False)
    assert not voicemail.due(99_000)
    voicemail.reported(4_500)
    assert not voicemail.due(4_000 + quiet_ms - 1)
    assert voicemail.due(4_000 + quiet_ms)


def test_when_the_carrier_gives_up_a_silence_has_to_do():
    voicemail = Voicemail(detecting=True)
    voicemail.reported(1_000)
    voicemail.answered(HUMAN, 2_000)
    assert voicemail.reached
    assert voicemail.due(1_000 + QUIET_MS)


def test_no_greeting_lasts_for_ever():
    voicemail = Voicemail(detecting=True)
    voicemail.reported(1_000)
    voicemail.heard(2_000, speaking=True)
    assert voicemail.deadline_ms == 1_000 + MOST_GREETING_MS
