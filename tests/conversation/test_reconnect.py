"""The model is lost in mid-call: the caller is not left alone, and the next session knows what was said."""

from __future__ import annotations

from base64 import b64encode
from itertools import pairwise

from callapp.conversation.briefing import CALL_GOES_ON
from callapp.conversation.commands import (
    ClearAudio,
    CloseAudio,
    CompleteCall,
    CreateResponse,
    DropModel,
    Finish,
    OpenAudio,
    PlayAudio,
    Reconnect,
    Tell,
)
from callapp.conversation.events import (
    AgentSaid,
    CallerSaid,
    DigitPressed,
    MessageStarted,
    ModelLost,
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
    Whispered,
    WindUpAsked,
)
from callapp.conversation.tool_calls import TOOL_MS
from callapp.conversation.wishes import EndCall
from tests.conversation.test_machine import Call, end_call, live, only

LINE = b64encode(b"\x55" * 1_500 * 8)
LOST = ModelLost("openai.disconnected")


def said(call: Call, item_id: str, text: str) -> None:
    call.tell(AgentSaid(item_id, text, whole=True))


def test_a_lost_session_is_opened_again_and_told_what_was_heard():
    call = live(greeting="Say hello")
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 1_000)
    said(call, "item_1", "Hello, how can I help?")
    call.tell(SpeechStarted("item_2"), SpeechStopped(), at_ms=4_000)
    call.speak("resp_2", "item_3", 4_000)
    said(call, "item_3", "We are open from ten to seven every day")
    call.tell(CallerSaid("item_2", "When are you open?"))
    call.tell(SpeechStarted("item_4"), SpeechStopped(), at_ms=6_000)  # half of it was heard
    assert call.tell(LOST, at_ms=7_000) == [CloseAudio(), Reconnect(0)]
    commands = call.tell(SessionConfirmed(), at_ms=7_600)
    assert commands[:4] == [
        Tell("agent", "Hello, how can I help?"),
        Tell("caller", "When are you open?"),
        Tell("agent", "We are open from … [interrupted]"),
        Tell("system", CALL_GOES_ON),
    ]
    assert [type(c) for c in commands[4:]] == [CreateResponse, OpenAudio]  # it was the model's turn
    assert commands[4].tag == "answer"  # and no second greeting


def test_words_of_which_no_sound_was_sent_are_not_told_as_heard():
    """They go before the sound, and those of an answer that is cancelled come until the model knows of it."""
    call = live()
    call.tell(SpeechStarted("item_1"), SpeechStopped(), ResponseStarted("resp_1"), at_ms=1_000)
    call.tell(SpeechStarted("item_2"), at_ms=1_100)  # which cancels it
    call.tell(MessageStarted("resp_1", "item_3"), AgentSaid("item_3", "We are closed"))
    said(call, "item_3", "We are closed on")
    call.tell(ResponseEnded("resp_1", "cancelled"), SpeechStopped(), at_ms=2_000)
    call.tell(ResponseStarted("resp_2"), MessageStarted("resp_2", "item_4"), AgentSaid("item_4", "Oh, no"))
    call.tell(LOST)
    assert only(call.tell(SessionConfirmed(), at_ms=2_500), Tell) == [Tell("system", CALL_GOES_ON)]


def test_what_was_whispered_is_told_at_once_and_told_again_to_the_next_session():
    call = live()
    whispered, create = call.tell(Whispered("Offer a discount."), at_ms=1_000)
    assert whispered.role == "system"
    assert "Offer a discount." in whispered.text
    assert isinstance(create, CreateResponse)
    call.tell(LOST, at_ms=4_000)
    assert whispered in call.tell(SessionConfirmed(), at_ms=4_500)


def test_when_it_was_the_callers_turn_the_new_session_only_listens():
    call = live(greeting="Say hello")
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 1_000)
    said(call, "item_1", "Hello")
    call.hear_all()
    call.tell(LOST, at_ms=4_000)
    assert [type(c) for c in call.tell(SessionConfirmed(), at_ms=4_500)] == [Tell, Tell, OpenAudio]


def test_a_greeting_that_was_never_begun_is_said_by_the_next_session():
    call = live(greeting="Say hello")
    call.tell(LOST, at_ms=400)
    [create] = only(call.tell(SessionConfirmed(), at_ms=900), CreateResponse)
    assert create.instructions == "Say hello"


def test_a_greeting_of_which_no_sound_came_is_said_by_the_next_session():
    """Its item alone is nothing that anybody heard."""
    call = live(greeting="Say hello")
    call.tell(ResponseStarted("resp_1", "greeting"), MessageStarted("resp_1", "item_1"))
    call.tell(LOST, at_ms=400)
    [create] = only(call.tell(SessionConfirmed(), at_ms=900), CreateResponse)
    assert create.instructions == "Say hello"


def test_tries_grow_apart_and_end():
    call = live()
    waits = [only(call.tell(LOST, at_ms=at_ms), Reconnect) for at_ms in (1_000, 1_010, 1_520, 2_530, 4_540)]
    assert [wait.after_ms for [wait] in waits] == [0, 500, 1_000, 2_000, 4_000]
    assert call.tell(LOST, at_ms=8_550) == [Finish("openai.disconnected")]


def test_a_hopeless_loss_is_not_tried_again():
    call = live()
    assert call.tell(ModelLost("openai.refused", hopeless=True))[-1] == Finish("openai.refused")
    assert only(call.given, Reconnect) == []


def test_at_the_start_of_a_call_it_is_tried_again_too():
    call = Call(greeting="Say hello")
    assert call.tell(LOST, at_ms=100) == [Reconnect(0)]
    assert call.tell(LOST, at_ms=150) == [Reconnect(500)]
    [create, _] = call.tell(SessionConfirmed(), at_ms=900)
    assert create.instructions == "Say hello"


def test_while_the_model_is_away_the_caller_hears_a_line_and_never_waits_long_for_the_next():
    call = live(hold_line=LINE)
    call.tell(LOST, at_ms=5_000)
    spoken = []
    while call.now_ms < 14_000:
        deadline_ms = call.conversation.deadline_ms
        if only(call.tell(Tick(), at_ms=deadline_ms), PlayAudio):
            spoken.append(deadline_ms)
    assert spoken[0] == 6_000
    silences = [b - (a + 1_500) for a, b in pairwise(spoken)]
    assert silences
    assert all(3_000 <= silence <= 3_500 for silence in silences), "nor is it said without a pause"


def test_a_line_waits_for_what_is_still_playing():
    call = live(hold_line=LINE)
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 4_000)
    call.tell(LOST, at_ms=1_500)
    assert only(call.tell(Tick(), at_ms=2_500), PlayAudio) == []
    assert only(call.tell(Tick(), at_ms=call.conversation.deadline_ms), PlayAudio)
    assert call.now_ms >= 5_000


def test_items_of_the_lost_session_are_not_named_to_the_next_one():
    call = live(hold_line=LINE)
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 9_000)
    call.tell(LOST, SessionConfirmed(), at_ms=1_500)
    assert call.tell(SpeechStarted("item_2"), at_ms=2_000) == [ClearAudio()]


def test_a_line_that_no_model_spoke_is_not_named_to_one_when_it_is_cut():
    call = live(hold_line=LINE)
    call.tell(LOST, at_ms=5_000)
    assert only(call.tell(Tick(), at_ms=6_000), PlayAudio)
    call.tell(SessionConfirmed(), at_ms=6_500)
    assert call.tell(SpeechStarted("item_1"), at_ms=7_000) == [ClearAudio()]


def test_words_are_told_as_they_were_in_the_end_and_not_twice():
    """They come in pieces, and once more as a whole, from which a piece may be missing."""
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 1_000, done=False)
    call.tell(AgentSaid("item_1", "Hello,"), AgentSaid("item_1", " how"))
    said(call, "item_1", "Hello, how are you?")
    call.hear_all()
    call.tell(LOST)
    assert call.tell(SessionConfirmed())[0] == Tell("agent", "Hello, how are you?")


def test_a_tool_that_a_lost_session_called_is_told_to_the_next_in_words():
    call = live()
    call.tell(
        ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "book", "{}"), ResponseEnded("resp_1")
    )
    call.tell(LOST)
    assert call.tell(ToolReturned("call_1", "table 4")) == []
    commands = call.tell(SessionConfirmed())
    [note] = [c for c in commands if isinstance(c, Tell) and "table 4" in c.text]
    assert note.role == "system"
    assert only(commands, CreateResponse)


def test_a_tool_that_a_lost_session_called_and_that_never_returns_is_told_to_the_next_as_well():
    """Its session would have been told; and the caller waits."""
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "look", "{}"), at_ms=1_000)
    call.tell(ToolCalled("resp_1", "call_2", "end_call", "{}"), ToolReturned("call_2", EndCall("done")))
    call.tell(LOST, at_ms=3_000)
    call.tell(SessionConfirmed(), at_ms=3_500)
    call.speak("resp_2", "item_2", 500)
    call.hear_all()
    assert call.conversation.deadline_ms == 1_000 + TOOL_MS
    told, asked = call.tell(Tick(), at_ms=1_000 + TOOL_MS)
    assert "look" in told.text
    assert "too long" in told.text
    assert asked.tag == "answer"
    assert call.tell(ToolReturned("call_1", "42")) == []


def test_a_goodbye_whose_session_is_lost_is_heard_as_far_as_it_came():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "goodbye", 2_000, done=False)
    call.tell(WindUpAsked("server.draining"))
    call.tell(ResponseEnded("resp_1", "cancelled"))
    call.speak("resp_2", "goodbye_2", 1_000, done=False)
    assert only(call.tell(LOST), Finish, Reconnect) == []
    assert call.hear_all() == [CompleteCall()]


def test_a_goodbye_whose_session_is_lost_is_heard_also_when_the_call_has_to_end():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 4_000, done=False)
    end_call(call, "resp_1")
    call.tell(LOST, at_ms=2_000)
    assert call.tell(WindUpAsked("server.draining"), at_ms=2_100) == []
    assert CompleteCall() in call.hear_all()
    assert call.conversation.end_reason == "agent.ended"


def test_a_goodbye_that_was_never_said_is_left_to_the_carrier():
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    end_call(call, "resp_1")
    assert call.tell(LOST) == [Finish("agent.ended")]


def test_a_session_that_is_not_confirmed_in_time_ends_the_call():
    call = live()
    call.tell(LOST, at_ms=1_000)
    assert call.tell(Tick(), at_ms=11_000) == [Finish("openai.no_session")]


def test_a_session_is_renewed_before_its_time_is_over_in_a_quiet_moment():
    call = Call(session_ms=3_300_000, most_ms=9_000_000)
    call.tell(SessionConfirmed(lasts_ms=3_600_000), at_ms=300)
    assert call.conversation.deadline_ms == 3_300_300
    call.tell(at_ms=3_299_000)
    call.speak("resp_1", "item_1", 3_000)
    said(call, "item_1", "Still here")
    assert only(call.tell(Tick(), at_ms=3_300_300), Reconnect) == []
    call.hear_all()
    commands = call.tell(Tick(), at_ms=call.conversation.deadline_ms)
    assert [type(c) for c in commands] == [DropModel, CloseAudio, Reconnect]
    assert [type(c) for c in call.tell(SessionConfirmed(lasts_ms=3_600_000))] == [Tell, Tell, OpenAudio]


def test_a_session_that_is_renewed_soon_after_a_loss_is_none_that_the_service_has_dropped_again():
    """Its successor is dialled at once, and not after a pause."""
    call = live(session_ms=4_000)
    call.tell(LOST, at_ms=1_000)
    call.tell(SessionConfirmed(), at_ms=1_100)
    assert only(call.tell(Tick(), at_ms=5_100), Reconnect) == [Reconnect(0)]


def test_a_session_is_not_renewed_while_the_caller_speaks_or_is_about_to_be_answered():
    call = live(session_ms=30_000)
    call.tell(SpeechStarted("item_1"), at_ms=29_000)
    assert call.tell(Tick(), at_ms=30_300) == []
    call.tell(SpeechStopped(), at_ms=30_400)
    deadline_ms = call.conversation.deadline_ms
    assert deadline_ms > 30_400  # it is looked at again, and not all the time
    assert call.tell(Tick(), at_ms=deadline_ms) == []
    call.speak("resp_1", "item_2", 1_000)
    call.hear_all()
    assert only(call.tell(Tick(), at_ms=call.conversation.deadline_ms), DropModel)


def test_a_session_in_which_the_service_runs_a_tool_is_renewed_once_that_is_answered():
    """An approved tool runs outside of any response; it would be gone with its session."""
    call = live(session_ms=30_000)
    call.tell(RemoteToolCalled("mcp_1", approved=True), at_ms=30_000)
    assert only(call.tell(Tick(), at_ms=30_300), DropModel) == []
    assert only(call.tell(RemoteToolReturned("mcp_1"), at_ms=33_000), CreateResponse)
    call.speak("resp_1", "item_1", 1_000)
    call.hear_all()
    assert only(call.tell(Tick(), at_ms=call.conversation.deadline_ms), DropModel)


def test_a_short_lived_session_is_renewed_half_way():
    call = Call()
    call.tell(SessionConfirmed(lasts_ms=60_000), at_ms=0)
    assert call.conversation.deadline_ms == 30_000


def test_a_service_that_accepts_and_drops_is_given_up_and_heard_of():
    call = live(hold_line=LINE)
    call.tell(at_ms=20_000)
    lines, tries = 0, 0
    while not call.conversation.over:
        for command in call.tell(LOST):
            if isinstance(command, Reconnect):
                tries += 1
                call.tell(at_ms=call.now_ms + command.after_ms + 40)
        lines += len(only(call.tell(Tick()), PlayAudio))
        call.tell(SessionConfirmed())
        call.tell(at_ms=call.now_ms + 40)
    assert call.now_ms < 31_000
    assert tries == 5
    assert lines


def test_a_session_that_held_for_a_while_is_lost_anew():
    call = live()
    for at_ms in (20_000, 30_000, 40_000, 50_000, 60_000, 70_000, 80_000):
        assert only(call.tell(LOST, at_ms=at_ms), Reconnect) == [Reconnect(0)]
        call.tell(SessionConfirmed(), at_ms=at_ms + 300)


def test_a_caller_whose_model_does_not_come_at_all_hears_a_line_soon():
    call = Call(hold_line=LINE)
    assert call.conversation.deadline_ms == 2_500
    assert only(call.tell(Tick(), at_ms=2_500), PlayAudio)


def test_a_second_loss_is_not_heard_at_once_when_the_talk_had_gone_on():
    call = live(hold_line=LINE)
    call.tell(LOST, at_ms=20_000)
    call.tell(SessionConfirmed(), at_ms=20_300)
    call.speak("resp_1", "item_1", 2_000)
    call.hear_all()
    call.tell(LOST, at_ms=22_500)
    assert only(call.tell(Tick(), at_ms=22_600), PlayAudio) == []
    assert call.conversation.deadline_ms == 23_300


def test_at_the_start_a_line_is_due_before_anything_has_happened():
    """Looking up the model's name can take longer than a caller is patient."""
    call = Call(greeting="Say hello", hold_line=LINE)
    assert call.conversation.deadline_ms == 2_500
    assert only(call.tell(Tick(), at_ms=2_500), PlayAudio)


def test_what_a_tool_returned_is_told_to_every_session_that_follows():
    """Else a table would be booked once more."""
    call = live()
    call.tell(
        ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "book", "{}"), ResponseEnded("resp_1")
    )
    call.tell(ToolReturned("call_1", "table 4"))
    for _ in range(2):
        call.tell(LOST, at_ms=call.now_ms + 10_000)
        told = [c.text for c in call.tell(SessionConfirmed()) if isinstance(c, Tell)]
        assert sum("table 4" in text for text in told) == 1


def test_a_session_that_is_lost_while_the_caller_speaks_is_followed_by_one_that_listens():
    """The rest of what they say is in the audio that was kept; if nothing comes of it, it is asked for."""
    call = live(greeting="Say hello")
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 500)
    call.tell(SpeechStarted("item_2"), LOST, at_ms=3_000)
    assert only(call.tell(SessionConfirmed(), at_ms=3_500), CreateResponse) == []
    assert only(call.tell(Tick(), at_ms=call.conversation.deadline_ms), CreateResponse)
    assert call.now_ms == 7_500


def test_a_hold_line_that_a_key_has_cleared_is_not_waited_for_after_the_next_loss() -> None:
    call = live(hold_line=LINE)
    call.tell(LOST, at_ms=10_000)
    assert only(call.tell(Tick(), at_ms=11_000), PlayAudio)
    call.tell(SessionConfirmed(), at_ms=11_200)
    assert only(call.tell(DigitPressed("1"), at_ms=11_300), ClearAudio), "silence from here on"
    call.tell(LOST, at_ms=11_400)
    assert only(call.tell(Tick(), at_ms=14_300), PlayAudio)
