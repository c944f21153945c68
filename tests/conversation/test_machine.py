"""The way of a call, as scripts of events and the commands expected of them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    ClearAudio,
    CloseAudio,
    CompleteCall,
    CreateResponse,
    DeleteItem,
    DropModel,
    Finish,
    OpenAudio,
    PlayAudio,
    Reconnect,
    RunTool,
    SendMark,
    Tell,
    TruncateItem,
    Warn,
)
from callapp.conversation.course import Phase
from callapp.conversation.events import (
    AgentSaid,
    AudioArrived,
    AudioEnded,
    CallerHungUp,
    CallerLost,
    CompletionFailed,
    DigitPressed,
    EndedElsewhere,
    LineTaken,
    MessageStarted,
    ModelLost,
    OutputTaken,
    Part,
    Played,
    RemoteToolReturned,
    RequestFailed,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
    Whispered,
    WindUpAsked,
)
from callapp.conversation.machine import Conversation
from callapp.conversation.plan import Plan
from callapp.conversation.wishes import EndCall


class Call:
    """A conversation with a clock to set, and all commands it gave."""

    def __init__(self, **plan) -> None:
        self.conversation = Conversation(Plan(**plan))
        self.now_ms = 0.0
        self.given: list = []

    def tell(self, *events, at_ms: float | None = None) -> list:
        """Feed events at a time; return what they led to."""
        if at_ms is not None:
            self.now_ms = at_ms
        commands = [c for event in events for c in self.conversation.receive(event, self.now_ms)]
        self.given += commands
        return commands

    def speak(self, response_id: str, item_id: str, ms: int, *, done: bool = True) -> list:
        """The model starts a response and sends audio of one item."""
        commands = self.tell(ResponseStarted(response_id), MessageStarted(response_id, item_id))
        commands += self.tell(audio(response_id, item_id, ms))
        if done:
            commands += self.tell(AudioEnded(response_id, item_id, 0), ResponseEnded(response_id))
        return commands

    def hear_all(self) -> list:
        """The phone plays all it was sent: the last mark comes back."""
        dry_ms = self.conversation.playback.dry_ms
        return self.tell(*(Played(name) for name in self.marks), at_ms=max(self.now_ms, dry_ms) + 20)

    @property
    def marks(self) -> list[str]:
        """The names of all that were sent."""
        return [c.name for c in self.given if isinstance(c, SendMark)]


def audio(response_id: str, item_id: str, ms: int) -> AudioArrived:
    return AudioArrived(response_id, Part(item_id, 0), b64encode(b"\x55" * (ms * 8)))


def only(commands: list, *kinds: type) -> list:
    return [c for c in commands if isinstance(c, kinds)]


def live(**plan) -> Call:
    call = Call(**plan)
    call.tell(SessionConfirmed(), at_ms=300)
    return call


# -- the beginning ------------------------------------------------------------------------------


def test_nothing_is_said_before_the_session_is_confirmed():
    call = Call(greeting="Say hello")
    assert call.tell(Tick(), at_ms=200) == []
    commands = call.tell(SessionConfirmed(), at_ms=300)
    assert [type(c) for c in commands] == [CreateResponse, OpenAudio]
    assert commands[0].instructions == "Say hello"
    assert not commands[0].tools_allowed


def test_without_a_greeting_the_caller_speaks_first():
    call = Call()
    assert call.tell(SessionConfirmed()) == [OpenAudio()]


def test_a_session_that_never_comes_ends_the_call():
    call = Call(greeting="Say hello")
    assert call.conversation.deadline_ms == 10_000
    assert call.tell(Tick(), at_ms=10_000) == [Finish("openai.no_session")]


def test_a_second_confirmation_greets_nobody_twice():
    call = live(greeting="Say hello")
    assert call.tell(SessionConfirmed()) == []


# -- barge-in -----------------------------------------------------------------------------------


def test_barge_in_truncates_at_what_was_heard_not_at_what_was_sent():
    """The model is done long before the listener is: 5 s sent, 1.24 s heard."""
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 5_000)
    commands = call.tell(SpeechStarted(), at_ms=2_240)
    assert [type(c) for c in commands] == [ClearAudio, TruncateItem]
    assert commands[1].item_id == "item_1"
    assert 1_238 <= commands[1].heard_ms <= 1_240


def test_barge_in_cancels_a_response_that_is_still_active_and_plays_nothing_more_of_it():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 2_000, done=False)
    commands = call.tell(SpeechStarted(), at_ms=1_500)
    assert [type(c) for c in commands] == [ClearAudio, CancelResponse, TruncateItem]
    assert call.tell(audio("resp_1", "item_1", 200), audio("resp_1", "item_1", 200)) == []
    assert call.tell(ResponseEnded("resp_1", "cancelled")) == []
    assert call.tell(audio("resp_1", "item_1", 200)) == []


@pytest.mark.parametrize("event", [Tick(), SpeechStopped(), MessageStarted("resp_1", "item_2")])
def test_audio_goes_on_without_a_thought_until_anything_happens(event):
    call = live()
    piece = audio("resp_1", "item_1", 20)
    call.tell(ResponseStarted("resp_1"), MessageStarted("resp_1", "item_1"), at_ms=1_000)

    def goes_on() -> bool:
        return call.conversation.playback.flow.go_on(piece.part, piece.payload, call.now_ms)

    assert not goes_on()
    call.tell(piece)
    assert goes_on()
    call.tell(AgentSaid("item_1", "Hello"))
    assert goes_on()
    call.tell(event)
    assert not goes_on()
    call.tell(piece)
    assert goes_on()


def test_an_item_of_which_nothing_was_heard_is_deleted_and_one_heard_out_is_left_alone():
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    call.tell(audio("resp_1", "preamble", 1_000), audio("resp_1", "answer", 2_000))
    call.tell(audio("resp_1", "more", 500))
    call.tell(AudioEnded("resp_1", "preamble", 0), AudioEnded("resp_1", "answer", 0))
    call.tell(AudioEnded("resp_1", "more", 0), ResponseEnded("resp_1"))
    commands = call.tell(SpeechStarted(), at_ms=2_500)
    assert [type(c) for c in commands] == [ClearAudio, TruncateItem, DeleteItem]
    assert commands[1].item_id == "answer"
    assert 498 <= commands[1].heard_ms <= 500
    assert commands[2].item_id == "more"


def test_speech_while_nothing_plays_does_nothing():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 500)
    call.hear_all()
    assert call.tell(SpeechStarted(), at_ms=5_000) == []


def test_a_cancelled_response_is_never_heard_even_if_none_of_it_had_been_sent():
    call = live()
    call.tell(SpeechStarted(), SpeechStopped(), at_ms=1_000)
    call.tell(ResponseStarted("resp_1"), MessageStarted("resp_1", "item_1"))
    commands = call.tell(SpeechStarted(), at_ms=1_100)
    assert commands == [CancelResponse("resp_1"), DeleteItem("item_1")]
    assert call.tell(audio("resp_1", "item_1", 100), audio("resp_1", "item_2", 100)) == [DeleteItem("item_2")]


def test_a_response_that_the_service_cancelled_itself_is_cleared_too():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 2_000, done=False)
    commands = call.tell(ResponseEnded("resp_1", "cancelled"), at_ms=1_500)
    assert [type(c) for c in commands] == [ClearAudio, TruncateItem]


def test_an_item_is_forgotten_once():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 2_000, done=False)
    call.tell(SpeechStarted(), SpeechStopped(), SpeechStarted(), at_ms=1_500)
    call.tell(audio("resp_1", "item_1", 100), ResponseEnded("resp_1", "cancelled"))
    assert len(only(call.given, TruncateItem, DeleteItem, ClearAudio, CancelResponse)) == 3


def test_an_echo_while_the_agent_speaks_on_tells_how_far_it_has_been_heard():
    """Of the round trip, too: the second one is late, so playback is behind the clock by as much."""
    call = live()
    call.speak("r", "i", 5_000)
    assert call.tell(Played(call.marks[0]), at_ms=300 + 1_000 + 50) == []
    assert call.tell(Played(call.marks[1]), at_ms=300 + 2_000 + 50 + 400) == []
    cut = only(call.tell(SpeechStarted("c", None), at_ms=3_300), TruncateItem)
    assert cut[0].heard_ms == pytest.approx(3_000 - 400, abs=5)


# -- one response at a time ---------------------------------------------------------------------


def test_a_request_waits_for_the_active_response():
    call = live(greeting="Say hello")
    call.tell(ResponseStarted("greeting", "greeting"))
    call.tell(ToolCalled("greeting", "call_1", "look_up", "{}"))
    assert only(call.tell(ToolReturned("call_1", "42")), CreateResponse) == []
    commands = call.tell(ResponseEnded("greeting"))
    assert [type(c) for c in commands] == [CreateResponse]


def test_while_the_caller_speaks_nothing_is_asked_for_and_their_turn_covers_the_tools_answer():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_1"), SpeechStarted())
    assert only(call.tell(ToolReturned("call_1", "42")), CreateResponse) == []
    call.tell(OutputTaken("call_1"), SpeechStopped(), ResponseStarted("resp_2"), ResponseEnded("resp_2"))
    call.tell(Tick(), at_ms=5_000)
    assert only(call.given, CreateResponse) == []


def test_an_output_that_crosses_the_models_own_answer_is_asked_about_after_it():
    """The answer began before the output stood in the conversation, so it knows nothing of it."""
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_1"), SpeechStarted(), ToolReturned("call_1", "42"))
    call.tell(SpeechStopped(), ResponseStarted("resp_2"), OutputTaken("call_1"))
    assert len(only(call.tell(ResponseEnded("resp_2")), CreateResponse)) == 1


@pytest.mark.parametrize(("taken_first", "asked"), [(False, 1), (True, 0)])
def test_keys_that_cross_the_models_own_answer_are_answered_after_it(taken_first, asked):
    """The answer began before they stood in the conversation, so it knows nothing of them."""
    call = live()
    call.tell(SpeechStarted(), DigitPressed("1"), at_ms=1_000)
    [told] = only(call.tell(DigitPressed("#")), Tell)
    happens = [LineTaken(told.item_id), ResponseStarted("resp_1")]
    call.tell(SpeechStopped(), *(happens if taken_first else reversed(happens)))
    call.tell(ResponseEnded("resp_1"), Tick(), at_ms=9_000)
    assert len(only(call.given, CreateResponse)) == asked


def test_an_answer_that_knows_only_the_first_of_two_lines_does_not_do_for_the_second():
    call = live()
    call.tell(SpeechStarted(), at_ms=1_000)
    first, second = only(call.tell(Whispered("Offer a discount."), Whispered("Ten per cent.")), Tell)
    assert first.item_id != second.item_id
    call.tell(LineTaken(first.item_id), SpeechStopped(), ResponseStarted("resp_1"), LineTaken(second.item_id))
    assert len(only(call.tell(ResponseEnded("resp_1")), CreateResponse)) == 1


def test_a_line_that_is_lost_with_its_session_is_not_waited_for_in_the_next():
    call = live()
    call.tell(SpeechStarted(), Whispered("Offer a discount."), at_ms=1_000)
    call.tell(ModelLost("openai.disconnected"), SessionConfirmed(), at_ms=2_000)
    call.tell(ResponseStarted("resp_1", "answer"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_1"), SpeechStarted(), ToolReturned("call_1", "42"))
    call.tell(OutputTaken("call_1"), SpeechStopped(), ResponseStarted("resp_2"), ResponseEnded("resp_2"))
    assert len(only(call.given, CreateResponse)) == 1, "the new session's first answer"


def test_an_answer_that_begins_while_the_caller_speaks_again_is_not_heard():
    call = live()
    call.tell(SpeechStarted(), SpeechStopped(), SpeechStarted(), at_ms=1_000)
    assert call.tell(ResponseStarted("resp_1")) == [CancelResponse("resp_1")]
    assert call.tell(audio("resp_1", "item_1", 100)) == [DeleteItem("item_1")]


def test_if_the_model_does_not_answer_the_turn_by_itself_it_is_asked_to():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    call.tell(ResponseEnded("resp_1"), SpeechStarted(), ToolReturned("call_1", "42"))
    call.tell(SpeechStopped(), at_ms=2_000)
    assert call.conversation.deadline_ms == 3_500
    assert [type(c) for c in call.tell(Tick(), at_ms=3_500)] == [CreateResponse]


def test_a_refused_request_is_made_again_after_the_active_response():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    [create] = only(call.tell(ToolReturned("call_1", "42"), ResponseEnded("resp_1")), CreateResponse)
    call.tell(ResponseStarted("resp_2"), RequestRefused(create.request_id))
    assert only(call.tell(ResponseEnded("resp_2")), CreateResponse) == []
    assert len(only(call.tell(Tick(), at_ms=2_000), CreateResponse)) == 1


def test_a_refused_request_is_not_made_again_where_the_models_own_answer_knows_what_it_was_for():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    [create] = only(call.tell(ToolReturned("call_1", "42"), ResponseEnded("resp_1")), CreateResponse)
    call.tell(OutputTaken("call_1"), ResponseStarted("resp_2"), RequestRefused(create.request_id))
    call.tell(ResponseEnded("resp_2"), Tick(), at_ms=9_000)
    assert only(call.given, CreateResponse) == [create]


def test_one_that_is_refused_when_the_models_own_answer_is_over_is_not_made_again_either():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    [create] = only(call.tell(ToolReturned("call_1", "42"), ResponseEnded("resp_1")), CreateResponse)
    call.tell(OutputTaken("call_1"), ResponseStarted("resp_2"), ResponseEnded("resp_2"))
    call.tell(RequestRefused(create.request_id))
    call.tell(Tick(), at_ms=9_000)
    assert only(call.given, CreateResponse) == [create]


def test_a_goodbye_that_was_called_off_is_not_asked_for_again_when_it_is_refused_late():
    """The model's own answer took its place first, and was taken for it."""
    call = live()
    asked = ToolCalled("resp_1", "call_1", "end_call", "{}")
    call.tell(ResponseStarted("resp_1"), asked, ResponseEnded("resp_1", tool_calls=(asked,)))
    [goodbye] = only(call.tell(ToolReturned("call_1", EndCall("done"))), CreateResponse)
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=1_000)
    call.tell(ResponseStarted("resp_2"), RequestRefused(goodbye.request_id), at_ms=1_500)
    call.tell(ResponseEnded("resp_2", "cancelled"), Tick(), at_ms=3_000)
    assert [request.tag for request in only(call.given, CreateResponse)] == ["goodbye", "answer"]


def test_a_result_that_the_response_on_its_way_comes_to_know_is_not_asked_about_again():
    call = live()
    one, two = (ToolCalled(f"resp_{n}", f"call_{n}", "look_up", "{}") for n in (1, 2))
    call.tell(ResponseStarted("resp_1"), one, ResponseEnded("resp_1"))
    call.tell(SpeechStarted(), SpeechStopped(), ResponseStarted("resp_2"), two, ResponseEnded("resp_2"))
    assert len(only(call.tell(ToolReturned("call_1", "42")), CreateResponse)) == 1
    call.tell(ToolReturned("call_2", "43"), OutputTaken("call_1"), OutputTaken("call_2"))
    call.tell(ResponseStarted("resp_3", "answer"), ResponseEnded("resp_3"), Tick(), at_ms=9_000)
    assert len(only(call.given, CreateResponse)) == 1


def test_a_result_that_comes_too_late_for_the_response_on_its_way_is_asked_about_after_it():
    call = live()
    one, two = (ToolCalled(f"resp_{n}", f"call_{n}", "look_up", "{}") for n in (1, 2))
    call.tell(ResponseStarted("resp_1"), one, ResponseEnded("resp_1"))
    call.tell(SpeechStarted(), SpeechStopped(), ResponseStarted("resp_2"), two, ResponseEnded("resp_2"))
    call.tell(ToolReturned("call_1", "42"), ToolReturned("call_2", "43"), OutputTaken("call_1"))
    call.tell(ResponseStarted("resp_3", "answer"), OutputTaken("call_2"))
    assert len(only(call.tell(ResponseEnded("resp_3")), CreateResponse)) == 1


def test_a_request_that_was_overtaken_by_the_caller_is_cancelled_as_soon_as_it_begins():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    call.tell(ToolReturned("call_1", "42"), ResponseEnded("resp_1"))
    call.tell(SpeechStarted())
    assert call.tell(ResponseStarted("resp_2", "answer")) == [CancelResponse("resp_2")]
    assert call.tell(audio("resp_2", "item_2", 100)) == [DeleteItem("item_2")]


def test_a_turn_that_was_over_before_such_a_request_began_is_answered_all_the_same():
    """The service takes its time to begin, and answers no turn by itself while a request is under way."""
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    call.tell(ToolReturned("call_1", "42"), ResponseEnded("resp_1"), at_ms=1_000)
    call.tell(SpeechStarted(), SpeechStopped(), at_ms=2_000)
    assert call.tell(ResponseStarted("resp_2", "answer"), at_ms=2_100) == [CancelResponse("resp_2")]
    commands = call.tell(ResponseEnded("resp_2", "cancelled"), at_ms=2_200)
    assert [c.tag for c in only(commands, CreateResponse)] == ["answer"], "there is nothing to wait for"


def test_a_turn_that_was_over_before_a_cancelled_response_is_answered_without_the_whole_wait():
    """As long as that one goes on at the service, the model answers no turn by itself."""
    call = live()
    call.tell(ResponseStarted("resp_1"), audio("resp_1", "item_1", 2_000), at_ms=1_000)
    assert only(call.tell(SpeechStarted("item_2"), at_ms=2_000), CancelResponse)
    call.tell(SpeechStopped(), at_ms=2_600)
    call.tell(ResponseEnded("resp_1", "cancelled"), at_ms=2_700)
    assert [c.tag for c in only(call.tell(Tick(), at_ms=4_100), CreateResponse)] == ["answer"]


def test_a_turn_that_was_over_before_a_cancelled_response_is_answered_once():
    """The model may come to answer it by itself all the same."""
    call = live()
    call.tell(ResponseStarted("resp_1"), audio("resp_1", "item_1", 2_000), at_ms=1_000)
    call.tell(SpeechStarted("item_2"), at_ms=2_000)
    call.tell(SpeechStopped(), ResponseEnded("resp_1", "cancelled"), at_ms=2_600)
    call.tell(ResponseStarted("resp_2"), audio("resp_2", "item_3", 500), ResponseEnded("resp_2"), at_ms=2_800)
    assert only(call.tell(Tick(), at_ms=9_000), CreateResponse) == []


def test_an_unanswered_request_is_made_once_more_and_then_the_session_is_given_up():
    call = live(greeting="Say hello")
    assert [type(c) for c in call.tell(Tick(), at_ms=10_300)] == [CreateResponse]
    assert call.tell(Tick(), at_ms=20_300) == [DropModel("openai.no_answer"), CloseAudio(), Reconnect(0)]


def test_a_request_that_was_answered_at_its_second_try_leaves_the_next_one_two_tries():
    call = live(greeting="Say hello")
    call.tell(Tick(), at_ms=10_300)
    call.tell(ResponseStarted("resp_1", "greeting"), ResponseEnded("resp_1"))
    call.tell(Whispered("Offer a discount."), at_ms=20_000)
    assert [type(c) for c in call.tell(Tick(), at_ms=30_000)] == [CreateResponse]


def test_a_session_that_refuses_for_a_response_of_which_nothing_comes_is_given_up():
    call = live()
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=1_000)
    while not only(call.given, DropModel):
        call.tell(Tick(), at_ms=call.conversation.deadline_ms)
        assert call.now_ms <= 16_000
        call.tell(*(RequestRefused(c.request_id) for c in only(call.given[-1:], CreateResponse)))
    assert call.given[-3:] == [DropModel("openai.no_answer"), CloseAudio(), Reconnect(0)]


def test_what_was_refused_once_is_asked_for_again_however_long_the_caller_spoke_meanwhile():
    """Nothing was asked for in that time, and the session was given up for it, their turn with it."""
    call = live(greeting="Say hello")
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "cancelled"), at_ms=800)
    call.tell(RequestRefused("ask-1"), SpeechStarted("item_1"), at_ms=1_000)
    call.tell(SpeechStopped(), at_ms=13_000)
    assert [type(c) for c in call.tell(Tick(), at_ms=call.conversation.deadline_ms)] == [CreateResponse]


def test_a_failed_response_is_asked_for_again_but_not_for_ever():
    call = live(greeting="Say hello")
    for number in range(4):
        call.tell(ResponseStarted(f"resp_{number}", "greeting"))
        call.tell(ResponseEnded(f"resp_{number}", "failed", "server_error"))
        call.tell(Tick(), at_ms=call.now_ms + 5_000)
    assert len(only(call.given, CreateResponse)) == 4
    assert call.given[-1] == Finish("openai.failed")


def test_failures_that_were_overcome_do_not_count_any_more():
    """In an hour there are more of them than in a row may be."""
    call = live()
    for number in range(10):
        call.tell(Whispered("Offer a discount."), at_ms=20_000 * (number + 1))
        call.tell(ResponseStarted(f"bad_{number}", "answer"), ResponseEnded(f"bad_{number}", "failed"))
        assert len(only(call.tell(Tick(), at_ms=call.now_ms + 500), CreateResponse)) == 1
        call.speak(f"good_{number}", f"item_{number}", 1_000)
        call.hear_all()
    assert only(call.given, Finish) == []


def test_a_service_that_is_asked_too_often_has_time_and_the_caller_hears_a_line_meanwhile():
    """Its limits of rate pass in seconds; four tries in two would end a call that can go on."""
    call = live(hold_line=b64encode(b"\x55" * 8_000))
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=10_000)
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "failed", "rate_limit_exceeded"))
    silent_since_ms, tries = 10_000, 1
    while call.now_ms < 18_400:
        commands = call.tell(Tick(), at_ms=call.conversation.deadline_ms)
        if only(commands, PlayAudio):
            assert call.now_ms - silent_since_ms <= 3_500
            silent_since_ms = call.conversation.playback.dry_ms
        for asked in only(commands, CreateResponse):
            tries += 1
            if tries < 4:
                failed = ResponseEnded(f"resp_{tries}", "failed", "rate_limit_exceeded")
                call.tell(ResponseStarted(f"resp_{tries}", asked.tag), failed)
    assert tries == 4
    call.speak("resp_4", "item_2", 1_000)
    call.hear_all()
    assert call.tell(Tick(), at_ms=call.now_ms + 9_000) == [], "nobody is asked to wait any more"


def test_who_waits_for_a_goodbye_that_fails_hears_a_line_as_well():
    """They sat in silence until the line was closed, twelve seconds later."""
    call = live(hold_line=b64encode(b"\x55" * 8_000))
    asked = ToolCalled("resp_1", "call_1", "end_call", "{}")
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", tool_calls=(asked,)), at_ms=10_000)
    call.tell(ToolReturned("call_1", EndCall("done")), ResponseStarted("resp_2", "goodbye"))
    call.tell(ResponseEnded("resp_2", "failed", "rate_limit_exceeded", wait_ms=8_000))
    assert only(call.tell(Tick(), at_ms=call.conversation.deadline_ms), PlayAudio)
    assert call.now_ms <= 13_500
    call.hear_all()
    assert [c.tag for c in only(call.tell(Tick(), at_ms=18_000), CreateResponse)] == ["goodbye"]
    call.speak("resp_3", "item_3", 1_000)
    assert only(call.hear_all(), CompleteCall)


def test_a_goodbye_that_fails_too_often_is_not_why_the_call_ends():
    """It was to end anyway; the record said that OpenAI had failed the caller."""
    call = live()
    asked = ToolCalled("resp_0", "call_1", "end_call", "{}")
    call.tell(ResponseStarted("resp_0"), ResponseEnded("resp_0", tool_calls=(asked,)), at_ms=10_000)
    [goodbye] = only(call.tell(ToolReturned("call_1", EndCall("done"))), CreateResponse)
    for pause_ms in (500, 3_000, 5_000):
        call.tell(RequestFailed(goodbye.request_id))
        [goodbye] = only(call.tell(Tick(), at_ms=call.now_ms + pause_ms), CreateResponse)
    assert call.tell(RequestFailed(goodbye.request_id)) == [Finish("agent.ended")]


@pytest.mark.parametrize(("wait_ms", "until_ms"), [(20, 500), (1_300, 1_300), (360_000, 10_000)])
@pytest.mark.parametrize("how", ["response", "request"])
def test_a_service_that_says_for_how_long_to_leave_it_alone_is(how, wait_ms, until_ms):
    call = live(greeting="Say hello")
    if how == "response":
        call.tell(ResponseStarted("resp_1", "greeting"), ResponseEnded("resp_1", "failed", wait_ms=wait_ms))
    else:
        call.tell(RequestFailed("ask-1", wait_ms))
    assert call.conversation.deadline_ms == call.now_ms + until_ms
    assert only(call.tell(Tick(), at_ms=call.now_ms + until_ms), CreateResponse)


def test_a_goodbye_that_nobody_calls_off_leaves_a_failing_service_alone_as_well():
    """Over the caller, and whoever else, it was asked for four times within as many answers."""
    call = live()
    [goodbye] = only(call.tell(WindUpAsked("limit.cost"), at_ms=10_000), CreateResponse)
    assert call.tell(SpeechStarted("item_1"), RequestFailed(goodbye.request_id)) == []
    assert call.conversation.deadline_ms == 10_500
    [goodbye] = only(call.tell(Tick(), at_ms=10_500), CreateResponse)
    assert call.tell(RequestFailed(goodbye.request_id)) == []
    assert call.conversation.deadline_ms == 13_500


def test_a_goodbye_need_not_wait_for_what_has_failed_before_it():
    call = live(greeting="Say hello")
    call.tell(RequestFailed("ask-1", 9_000))
    assert [c.tag for c in only(call.tell(WindUpAsked("limit.cost")), CreateResponse)] == ["goodbye"]


def test_an_answer_is_not_asked_for_sooner_because_it_was_a_greeting_that_failed():
    call = live(greeting="Say hello")
    call.tell(RequestFailed("ask-1", 9_000), at_ms=1_000)
    call.tell(DigitPressed("1"), at_ms=2_000)
    told = call.tell(Tick(), at_ms=4_000)
    assert only(told, Tell)
    assert only(told, CreateResponse) == []
    assert call.conversation.deadline_ms == 10_000
    assert [c.tag for c in only(call.tell(Tick(), at_ms=10_000), CreateResponse)] == ["answer"]


def test_a_refusal_that_comes_late_does_not_shorten_the_pause_after_a_failure():
    """It is of the request that the model's own answer crossed, which has failed since."""
    call = live(greeting="Say hello")
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "failed", wait_ms=8_000), at_ms=1_000)
    call.tell(RequestRefused("ask-1"), at_ms=1_200)
    assert call.conversation.deadline_ms == 9_000


def test_who_speaks_while_a_failed_answer_is_to_be_tried_again_hears_no_line():
    call = live(hold_line=b64encode(b"\x55" * 8_000))
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=10_000)
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "failed", "server_error"))
    call.tell(SpeechStarted("item_2"), at_ms=10_200)
    assert call.tell(Tick(), at_ms=14_000) == []


def test_who_has_just_spoken_after_a_failure_hears_the_answer_and_no_line_before_it():
    call = live(hold_line=b64encode(b"\x55" * 8_000))
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=10_000)
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "failed", "server_error"))
    call.tell(SpeechStarted("item_2"), at_ms=10_200)
    call.tell(SpeechStopped(), at_ms=14_000)
    assert only(call.tell(Tick(), at_ms=14_020), PlayAudio) == []
    call.tell(ResponseStarted("resp_2"), Tick(), at_ms=14_300)
    assert only(call.given, PlayAudio) == []
    assert only(call.tell(Tick(), at_ms=15_000), PlayAudio)


def test_while_the_phone_is_behind_with_what_it_plays_no_line_is_due():
    """It was due and could not be said: a tick was wanted with each chunk of audio, for seconds."""
    call = live(hold_line=b64encode(b"\x55" * 8_000))
    call.speak("resp_1", "item_1", 1_000)
    call.hear_all()
    call.speak("resp_2", "item_2", 3_000)  # and no echo says that any of it was heard
    failed = ResponseEnded("resp_3", "failed", "rate_limit_exceeded", wait_ms=8_000)
    call.tell(ResponseStarted("resp_3"), failed, at_ms=5_000)
    assert only(call.tell(Tick(), at_ms=6_000), PlayAudio) == []
    assert call.conversation.deadline_ms > 6_000


def test_a_try_that_is_heard_and_goes_on_slowly_is_not_broken_by_a_line():
    call = live(hold_line=b64encode(b"\x55" * 8_000))
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=10_000)
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "failed", "server_error"))
    call.tell(Tick(), at_ms=10_500)
    call.tell(ResponseStarted("resp_2", "answer"), MessageStarted("resp_2", "item_2"))
    call.tell(audio("resp_2", "item_2", 1_000), at_ms=10_600)
    assert call.tell(Tick(), at_ms=12_000) == [], "the rest of it is to come"


def test_a_request_that_the_service_does_not_take_is_made_again_soon_but_not_for_ever():
    call = live(greeting="Say hello")
    for number, retry_ms in (1, 500), (2, 3_000), (3, 5_000):
        assert call.tell(RequestFailed(f"ask-{number}")) == []
        [asked] = call.tell(Tick(), at_ms=call.now_ms + retry_ms)
        assert (asked.request_id, asked.tag) == (f"ask-{number + 1}", "greeting")
    assert call.tell(RequestFailed("ask-4")) == [Finish("openai.failed")]


def test_an_error_that_answers_a_request_whose_response_has_begun_changes_nothing():
    call = live(greeting="Say hello")
    call.tell(ResponseStarted("resp_1", "greeting"))
    assert call.tell(RequestFailed("ask-1")) == []
    assert only(call.tell(ResponseEnded("resp_1"), Tick(), at_ms=5_000), CreateResponse) == []


@pytest.mark.parametrize("status", ["incomplete", "cancelled"])
def test_a_turn_that_is_answered_by_nothing_at_all_is_answered_again_but_not_for_ever(status):
    """A filter or a limit cuts the answer off before its first sound, or the service cancels it."""
    call = live()
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=1_000)
    for number, retry_ms in (1, 500), (2, 3_000), (3, 5_000):
        told = call.tell(ResponseStarted(f"resp_{number}"), ResponseEnded(f"resp_{number}", status))
        assert told == [Warn(f"a response was cut off before its first sound: {status}")]
        commands = call.tell(Tick(), at_ms=call.now_ms + retry_ms)
        assert [c.tag for c in commands] == ["answer"]
    call.tell(ResponseStarted("resp_4", "answer"))
    assert call.tell(ResponseEnded("resp_4", status))[-1] == Finish("openai.failed")


@pytest.mark.parametrize("status", ["incomplete", "cancelled"])
def test_an_answer_that_was_cut_off_after_its_first_sound_is_not_asked_for_again(status):
    call = live()
    call.tell(SpeechStarted("item_1"), SpeechStopped(), ResponseStarted("resp_1"), at_ms=1_000)
    call.tell(audio("resp_1", "item_2", 500), ResponseEnded("resp_1", status))
    assert only(call.tell(Tick(), at_ms=5_000), CreateResponse) == []


def test_an_answer_that_was_cut_off_after_its_first_sound_is_remembered():
    call = live()
    call.tell(ResponseStarted("resp_1"), MessageStarted("resp_1", "item_1"), at_ms=1_000)
    call.tell(audio("resp_1", "item_1", 500), AgentSaid("item_1", "We open at"))
    assert only(call.tell(ResponseEnded("resp_1", "incomplete")), DeleteItem, TruncateItem) == []
    call.hear_all()
    assert [line.text for line in call.conversation.history.lines()] == ["We open at"]


@pytest.mark.parametrize("begins", ["before", "after"])
def test_words_that_were_silenced_before_their_first_sound_are_forgotten_also_if_the_cancel_came_too_late(
    begins,
):
    """The response then ends like any other."""
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    events = [MessageStarted("resp_1", "item_1"), SpeechStarted("item_2")]
    commands = call.tell(*(events if begins == "before" else reversed(events)))
    assert commands == [CancelResponse("resp_1"), DeleteItem("item_1")]
    commands = call.tell(audio("resp_1", "item_1", 500), AgentSaid("item_1", "We open at ten.", whole=True))
    assert commands == call.tell(ResponseEnded("resp_1")) == []
    assert "We open at ten." not in [line.text for line in call.conversation.history.lines()]


@pytest.mark.parametrize("status", ["incomplete", "cancelled", "failed"])
def test_an_answer_that_was_cut_off_before_its_first_sound_is_forgotten_and_asked_for_again(status):
    call = live()
    call.tell(SpeechStarted("item_1"), SpeechStopped(), ResponseStarted("resp_1"), at_ms=1_000)
    call.tell(MessageStarted("resp_1", "item_2"), AgentSaid("item_2", "We open at"))
    commands = call.tell(ResponseEnded("resp_1", status))
    assert [c for c in commands if not isinstance(c, Warn)] == [DeleteItem("item_2")]
    assert [c.tag for c in only(call.tell(Tick(), at_ms=1_500), CreateResponse)] == ["answer"]
    assert call.conversation.history.lines() == []


def test_tools_of_an_answer_that_was_cut_off_are_followed_by_one_request():
    call = live()
    called = ToolCalled("resp_1", "call_1", "look", "{}")
    call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "incomplete", tool_calls=(called,)))
    assert call.tell(Tick(), at_ms=800) == []
    assert [type(c) for c in call.tell(ToolReturned("call_1", "42"))] == [AnswerTool, CreateResponse]


def test_a_tool_that_the_service_ran_in_an_answer_that_was_cut_off_is_followed_by_one_request_at_once():
    call = live()
    call.tell(ResponseStarted("resp_1"), RemoteToolReturned(), at_ms=1_000)
    commands = call.tell(ResponseEnded("resp_1", "incomplete"))
    assert [c.tag for c in only(commands, CreateResponse)] == ["answer"]
    call.tell(ResponseStarted("resp_2", "answer"), ResponseEnded("resp_2"))
    assert only(call.tell(Tick(), at_ms=5_000), CreateResponse) == []


def test_a_turn_that_is_answered_with_nothing_is_answered_once_more_and_then_the_model_wants_silence():
    call = live()
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=1_000)
    commands = call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", empty=True))
    assert [c.tag for c in commands] == ["answer"]
    call.tell(ResponseStarted("resp_2", "answer"), ResponseEnded("resp_2", empty=True))
    call.tell(SpeechStarted("item_2"), SpeechStopped(), at_ms=4_000)
    call.tell(ResponseStarted("resp_3"), ResponseEnded("resp_3", empty=True))
    assert len(only(call.given, CreateResponse)) == 1


def test_a_greeting_in_which_nothing_is_said_is_asked_for_once_more():
    call = live(greeting="Say hello")
    call.tell(ResponseStarted("resp_1", "greeting"))
    commands = call.tell(ResponseEnded("resp_1", empty=True))
    assert [(c.tag, c.instructions) for c in commands] == [("greeting", "Say hello")]


def test_an_empty_answer_that_we_cancelled_ourselves_is_not_asked_for_again():
    call = live()
    call.tell(ResponseStarted("resp_1"), SpeechStarted("item_1"), at_ms=1_000)
    call.tell(ResponseEnded("resp_1", "cancelled"), SpeechStopped())
    assert only(call.tell(Tick(), at_ms=4_900), CreateResponse) == [], "the model has its time to answer"


def test_a_response_that_failed_after_it_called_a_tool_is_asked_for_again_once_the_output_is_there():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look", "{}"), at_ms=1_000)
    assert call.tell(ResponseEnded("resp_1", "failed", "server_error"), Tick(), at_ms=1_100) == []
    assert call.tell(Tick(), at_ms=1_600) == []
    commands = call.tell(ToolReturned("call_1", "42"), at_ms=2_000)
    assert [type(c) for c in commands] == [AnswerTool, CreateResponse]
    call.tell(OutputTaken("call_1"), ResponseStarted("resp_2", "answer"), ResponseEnded("resp_2"))
    assert only(call.tell(Tick(), at_ms=9_000), CreateResponse) == [], "one request follows a batch"


def test_a_failed_goodbye_that_calls_a_tool_is_said_all_the_same():
    """Once a goodbye is under way, no output of a tool is followed by a request."""
    call = live()
    call.tell(WindUpAsked("server.draining"), at_ms=1_000)
    call.tell(ResponseStarted("resp_1", "goodbye"), ToolCalled("resp_1", "call_1", "look", "{}"))
    call.tell(ResponseEnded("resp_1", "failed", "server_error"))
    assert [c.tag for c in only(call.tell(Tick(), at_ms=1_500), CreateResponse)] == ["goodbye"]


def test_a_turn_that_ends_under_the_greeting_is_answered_after_it():
    """The caller began before the greeting did: it was not silenced, and is in the answer's way."""
    call = live(greeting="Say hello")
    call.tell(SpeechStarted("item_1"), at_ms=400)
    assert call.tell(ResponseStarted("resp_1", "greeting")) == []
    call.tell(audio("resp_1", "item_2", 500), SpeechStopped(), at_ms=900)
    commands = call.tell(ResponseEnded("resp_1"), Tick(), at_ms=2_500)
    assert [c.tag for c in only(commands, CreateResponse)] == ["answer"]


def test_a_turn_that_the_model_lets_pass_is_asked_to_be_answered():
    call = live()
    call.tell(SpeechStarted("item_1"), SpeechStopped(), at_ms=1_000)
    assert call.conversation.deadline_ms == 5_000
    assert [c.tag for c in only(call.tell(Tick(), at_ms=5_000), CreateResponse)] == ["answer"]


# -- tools --------------------------------------------------------------------------------------


def test_each_tool_call_is_answered_once_and_the_batch_is_followed_by_one_request():
    call = live()
    one, two = (ToolCalled("resp_1", f"call_{n}", "look_up", "{}") for n in (1, 2))
    call.tell(ResponseStarted("resp_1"), one, one, two)
    call.tell(ResponseEnded("resp_1", tool_calls=(one, two)))
    call.tell(ToolReturned("call_2", "two"), ToolReturned("call_1", "one"), ToolReturned("call_1", "x"))
    assert len(only(call.given, RunTool)) == 2
    assert only(call.given, AnswerTool) == [AnswerTool("call_2", "two"), AnswerTool("call_1", "one")]
    assert isinstance(call.given[-1], CreateResponse)
    assert len(only(call.given, CreateResponse)) == 1


def test_a_tool_that_takes_too_long_is_answered_for_and_its_late_result_dropped():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "slow", "{}"))
    call.tell(ResponseEnded("resp_1"))
    commands = call.tell(Tick(), at_ms=15_300)
    assert [type(c) for c in commands] == [AnswerTool, CreateResponse]
    assert "too long" in commands[0].output
    assert call.tell(ToolReturned("call_1", "late")) == []


def test_a_tool_that_takes_too_long_is_answered_for_whatever_was_called_after_it():
    call = live()
    first, second = (ToolCalled(f"resp_{n}", f"call_{n}", "slow", "{}") for n in (1, 2))
    call.tell(ResponseStarted("resp_1"), first, ResponseEnded("resp_1"), at_ms=1_000)
    call.tell(ResponseStarted("resp_2"), second, ResponseEnded("resp_2"), at_ms=5_000)
    while not only(call.given, AnswerTool):
        call.tell(Tick(), at_ms=call.conversation.deadline_ms)
    assert call.now_ms == 16_000


def test_a_call_that_an_interruption_cut_short_is_answered_without_being_run():
    call = live()
    call.tell(ResponseStarted("resp_1"), SpeechStarted())
    cut = ToolCalled("resp_1", "call_1", "look_up", '{"na', complete=False)
    commands = call.tell(ResponseEnded("resp_1", "cancelled", tool_calls=(cut,)))
    assert [type(c) for c in commands] == [AnswerTool]


def test_a_call_that_a_limit_cut_short_is_not_said_to_have_been_interrupted_by_the_caller():
    """The model would answer for something that nobody did."""
    call = live()
    cut = ToolCalled("resp_1", "call_1", "look_up", '{"na', complete=False)
    commands = call.tell(ResponseStarted("resp_1"), ResponseEnded("resp_1", "incomplete", tool_calls=(cut,)))
    [answer] = only(commands, AnswerTool)
    assert "caller" not in answer.output


def test_a_tool_of_an_interrupted_response_is_answered_too():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look_up", "{}"))
    call.tell(SpeechStarted(), ResponseEnded("resp_1", "cancelled"))
    assert call.tell(ToolReturned("call_1", "42")) == [AnswerTool("call_1", "42")]


# -- the goodbye --------------------------------------------------------------------------------


def end_call(call: Call, response_id: str, tool_call_id: str = "call_end") -> list:
    asked = ToolCalled(response_id, tool_call_id, "end_call", '{"reason": "done"}')
    commands = call.tell(asked, ToolReturned(tool_call_id, EndCall("done")))
    return commands + call.tell(ResponseEnded(response_id, tool_calls=(asked,)))


def test_a_goodbye_that_came_with_end_call_is_heard_to_its_end_before_the_line_closes():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 2_000, done=False)
    call.tell(AudioEnded("resp_1", "goodbye", 0))
    commands = end_call(call, "resp_1")
    assert only(commands, CreateResponse, CompleteCall) == []
    assert len(only(commands, AnswerTool)) == 1
    assert call.tell(Tick(), at_ms=2_900) == []
    assert call.hear_all() == [CompleteCall()]
    assert call.conversation.phase is Phase.LEAVING
    assert call.tell(CallerHungUp()) == [Finish("agent.ended")]


def test_end_call_without_a_goodbye_asks_for_one():
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    commands = end_call(call, "resp_1")
    assert [type(c) for c in only(commands, AnswerTool, CreateResponse)] == [AnswerTool, CreateResponse]
    assert not only(commands, CreateResponse)[0].tools_allowed
    call.speak("resp_2", "goodbye", 1_000)
    assert call.hear_all() == [CompleteCall()]


def test_the_caller_can_interrupt_the_goodbye_and_the_call_goes_on():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 3_000, done=False)
    end_call(call, "resp_1")
    commands = call.tell(SpeechStarted(), at_ms=1_800)
    assert [type(c) for c in commands] == [ClearAudio, TruncateItem]
    call.tell(SpeechStopped())
    call.speak("resp_2", "answer", 500)
    assert call.hear_all() == []
    assert call.conversation.phase is Phase.LIVE
    call.tell(ResponseStarted("resp_3"), audio("resp_3", "bye", 400))
    end_call(call, "resp_3", "call_end_2")
    assert call.hear_all() == [CompleteCall()]


def test_an_interrupted_end_call_is_answered_and_ends_nothing():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 3_000, done=False)
    call.tell(SpeechStarted(), at_ms=1_500)
    commands = end_call(call, "resp_1")
    [answer] = only(commands, AnswerTool)
    assert "not ended" in answer.output
    call.tell(SpeechStopped(), ResponseStarted("resp_2"), ResponseEnded("resp_2"))
    assert call.conversation.phase is Phase.LIVE
    assert not call.conversation.farewell.begun


def test_a_goodbye_asked_for_and_then_interrupted_is_not_said_later():
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    end_call(call, "resp_1")
    call.tell(SpeechStarted())
    assert call.tell(ResponseStarted("resp_2", "goodbye")) == [CancelResponse("resp_2")]
    call.tell(ResponseEnded("resp_2", "cancelled"), SpeechStopped(), ResponseStarted("resp_3"))
    assert call.conversation.phase is Phase.LIVE


def test_a_goodbye_that_was_interrupted_is_not_asked_for_again_where_nothing_came_of_it():
    """It was called off, so the line would stay open after it."""
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    end_call(call, "resp_1")
    call.tell(SpeechStarted(), at_ms=2_000)
    call.tell(SpeechStopped(), at_ms=3_000)
    asked = [c for _ in range(2) for c in call.tell(Tick(), at_ms=call.conversation.deadline_ms)]
    assert [c.tag for c in asked] == ["answer"]


def test_if_the_last_mark_never_comes_the_line_closes_all_the_same():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 2_000, done=False)
    end_call(call, "resp_1")
    deadline_ms = call.conversation.deadline_ms
    assert 3_000 < deadline_ms <= 5_000  # the unheard audio's length plus 2 s at most
    assert call.tell(Tick(), at_ms=deadline_ms) == [CompleteCall()]


def test_end_call_beside_other_tools_says_goodbye_once_and_asks_for_nothing_more():
    call = live()
    call.speak("resp_1", "goodbye", 500, done=False)
    call.tell(ToolCalled("resp_1", "call_1", "note", "{}"))
    end_call(call, "resp_1")
    call.tell(ToolReturned("call_1", "ok"))
    assert only(call.given, CreateResponse) == []
    assert len(only(call.given, AnswerTool)) == 2
    assert call.hear_all() == [CompleteCall()]


def test_a_completion_that_fails_closes_the_stream():
    call = live()
    call.speak("resp_1", "goodbye", 500, done=False)
    end_call(call, "resp_1")
    call.hear_all()
    assert call.tell(CompletionFailed()) == [Finish("agent.ended")]


def test_a_completion_that_leads_to_nothing_closes_the_stream():
    call = live()
    call.speak("resp_1", "goodbye", 500, done=False)
    end_call(call, "resp_1")
    call.hear_all()
    deadline_ms = call.now_ms + 5_000
    assert call.conversation.deadline_ms == deadline_ms
    assert call.tell(Tick(), at_ms=deadline_ms - 1) == []
    assert call.tell(Tick(), at_ms=deadline_ms) == [Finish("agent.ended")]


# -- endings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [Call, live])
@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (CallerHungUp(), "caller.hung_up"),
        (CallerLost(), "twilio.disconnected"),
        (ModelLost("openai.refused", hopeless=True), "openai.refused"),
        (EndedElsewhere("twilio.completed"), "twilio.completed"),
    ],
)
def test_the_first_end_reason_wins_and_the_rest_is_fallout(before, event, reason):
    call = before()
    assert call.tell(event)[-1] == Finish(reason)
    assert call.tell(CallerLost(), ModelLost("openai.disconnected"), Tick()) == []
    assert call.conversation.end_reason == reason


def test_a_model_that_drops_during_the_goodbye_does_not_cut_it():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 2_000, done=False)
    end_call(call, "resp_1")
    assert call.tell(ModelLost("openai.disconnected"), at_ms=1_500) == [CloseAudio()]
    assert call.hear_all() == [CompleteCall()]


def test_a_goodbye_that_is_called_off_after_its_model_was_lost_is_followed_by_another_model():
    """A key, say: the call goes on, and there has to be somebody to go on with."""
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 2_000, done=False)
    end_call(call, "resp_1")
    call.tell(ResponseEnded("resp_1"), ModelLost("openai.disconnected"), at_ms=1_500)
    commands = call.tell(DigitPressed("#"), at_ms=1_600)
    assert [type(c) for c in commands] == [ClearAudio, Reconnect]
    [asked] = only(call.tell(SessionConfirmed(), at_ms=2_000), CreateResponse)
    assert asked.tag == "answer"


def test_at_the_limit_a_goodbye_is_said_that_nobody_can_call_off():
    call = live(most_ms=60_000)
    call.tell(at_ms=58_000)
    call.speak("resp_1", "story", 20_000, done=False)
    commands = call.tell(Tick(), at_ms=60_000)
    assert [type(c) for c in commands] == [ClearAudio, CancelResponse, TruncateItem]
    [create] = call.tell(ResponseEnded("resp_1", "cancelled"))
    assert isinstance(create, CreateResponse)
    call.speak("resp_2", "goodbye", 2_000)
    assert call.tell(SpeechStarted()) == []
    call.tell(SpeechStopped())
    assert call.tell(ResponseStarted("resp_3")) == [CancelResponse("resp_3")]
    assert call.hear_all() == [CompleteCall()]
    assert call.conversation.end_reason == "limit.call_seconds"


def test_at_the_limit_a_model_that_says_nothing_is_not_waited_for():
    call = live(most_ms=60_000)
    call.tell(Tick(), at_ms=60_000)
    assert call.tell(Tick(), at_ms=call.conversation.deadline_ms) == [CompleteCall()]
    assert call.now_ms <= 67_000


def test_at_the_limit_a_goodbye_that_goes_on_and_on_is_not_heard_out():
    call = live(most_ms=60_000)
    call.tell(Tick(), at_ms=60_000)
    call.speak("resp_1", "goodbye", 20_000)
    assert call.conversation.deadline_ms == 66_500
    assert call.tell(Tick(), at_ms=66_500) == [CompleteCall()]


def test_a_second_reason_to_end_gives_the_last_goodbye_no_more_time():
    call = live(most_ms=60_000)
    call.tell(Tick(), at_ms=60_000)
    assert call.tell(WindUpAsked("server.draining"), at_ms=65_000) == []
    assert call.tell(Tick(), at_ms=67_000) == [CompleteCall()]
    assert call.conversation.end_reason == "limit.call_seconds"


def test_a_goodbye_under_way_is_not_said_twice_when_time_is_up():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 2_000, done=False)
    end_call(call, "resp_1")
    assert call.tell(WindUpAsked("server.draining")) == []
    assert call.hear_all() == [CompleteCall()]


def test_a_call_without_a_voice_yet_is_closed_when_the_server_stops():
    assert Call().tell(WindUpAsked("server.draining")) == [Finish("server.draining")]


def test_audio_passes_untouched_and_in_order():
    call = live()
    pieces = [audio("resp_1", "item_1", ms) for ms in (20, 40, 60)]
    call.tell(ResponseStarted("resp_1"), *pieces)
    assert [c.payload for c in only(call.given, PlayAudio)] == [p.payload for p in pieces]


def test_an_end_call_that_was_given_up_is_not_answered_again_when_its_response_ends():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "end_call", "{}"))
    call.tell(ToolReturned("call_1", EndCall("done")))
    assert len(only(call.tell(Tick(), at_ms=16_000), AnswerTool)) == 1
    assert only(call.tell(ResponseEnded("resp_1"), at_ms=16_500), AnswerTool) == []
