"""A call leaves its stream, for keys or a transfer, and comes back, or does not."""

from __future__ import annotations

from base64 import b64decode

import pytest

from callapp.conversation import away
from callapp.conversation.asides import Manners
from callapp.conversation.away import Resumed, news_of, outcome
from callapp.conversation.briefing import CALL_GOES_ON
from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    ClearAudio,
    CompleteCall,
    CreateResponse,
    Finish,
    LeaveStream,
    OpenAudio,
    PlayAudio,
    RecallCaller,
    Reconnect,
    RunTool,
    Tell,
)
from callapp.conversation.events import (
    AgentSaid,
    CallerBack,
    CallerHungUp,
    CallerLost,
    CallerSaid,
    DigitPressed,
    EndedElsewhere,
    LeavingFailed,
    ModelLost,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
    TransferAsked,
    Whispered,
    WindUpAsked,
)
from callapp.conversation.history import Line
from callapp.conversation.tones import tones
from callapp.conversation.wishes import EndCall, SendDigits, Transfer
from tests.conversation.test_machine import Call, live, only

COLD = Transfer("sales")
WARM = Transfer("sales", warm=True, summary="Wants a quote.")
KEYS = SendDigits("1w2")


def asks(call: Call, trip, *, says_ms: int = 1_000) -> list:
    """The model says something and calls for a trip; its response is over before it was heard."""
    call.tell(at_ms=call.now_ms + 1_000)
    call.speak("resp_1", "item_1", says_ms, done=False)
    call.tell(AgentSaid("item_1", "One moment, please.", whole=True))
    call.tell(ToolCalled("resp_1", "call_1", "a_tool", "{}"), ToolReturned("call_1", trip))
    return call.tell(ResponseEnded("resp_1"))


def gone(trip, **plan) -> Call:
    """A call whose stream has ended because the carrier took it away."""
    call = live(**plan)
    asks(call, trip)
    assert only(call.hear_all(), LeaveStream)
    assert call.tell(CallerHungUp(), at_ms=call.now_ms + 200) == []
    return call


# -- leaving ------------------------------------------------------------------------------------


@pytest.mark.parametrize("trip", [COLD, WARM, KEYS])
def test_the_call_leaves_once_the_last_sentence_was_heard(trip):
    call = live()
    assert only(asks(call, trip), LeaveStream) == []
    assert call.hear_all() == [LeaveStream(trip, (Line("agent", "One moment, please.", False),), 0.0)]
    assert only(call.given, AnswerTool) == []


def test_a_last_sentence_whose_mark_never_comes_back_is_taken_for_heard():
    call = live()
    asks(call, COLD)
    dry_ms = call.conversation.playback.dry_ms
    assert call.tell(Tick(), at_ms=dry_ms + 1_400) == []
    assert only(call.tell(Tick(), at_ms=dry_ms + 1_500), LeaveStream)


def test_a_model_that_goes_on_and_on_does_not_keep_the_call():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 60_000, done=False)
    call.tell(ToolCalled("resp_1", "call_1", "a_tool", "{}"), ToolReturned("call_1", COLD))
    commands = call.tell(Tick(), at_ms=call.conversation.deadline_ms)
    assert call.now_ms == 13_000
    assert [type(c) for c in commands[:2]] == [ClearAudio, CancelResponse]
    assert isinstance(commands[-1], LeaveStream)


def test_a_caller_who_interrupts_the_last_sentence_stays():
    call = live()
    asks(call, COLD)
    commands = call.tell(SpeechStarted("item_2"), at_ms=call.now_ms + 300)
    assert [c for c in commands if isinstance(c, AnswerTool)] == [AnswerTool("call_1", away.CUT_OFF)]
    assert only(call.tell(SpeechStopped(), at_ms=call.now_ms + 1_000), LeaveStream) == []
    assert only(call.tell(Tick(), at_ms=call.now_ms + 20_000), LeaveStream, Finish) == []


def test_a_line_that_talks_all_the_time_does_not_keep_keys_from_being_sent():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "a_tool", "{}"), at_ms=1_000)
    commands = call.tell(ToolReturned("call_1", KEYS), SpeechStarted("item_2"))
    assert [type(c) for c in commands] == [CancelResponse, LeaveStream]


def test_two_trips_at_once_are_one_too_many():
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    for tool_call_id in ("call_1", "call_2"):
        call.tell(ToolCalled("resp_1", tool_call_id, "a_tool", "{}"), ToolReturned(tool_call_id, COLD))
    assert only(call.given, AnswerTool) == [AnswerTool("call_2", away.ON_THE_WAY)]
    assert only(call.tell(ResponseEnded("resp_1")), LeaveStream)


def test_a_model_that_also_hangs_up_has_the_caller_put_through():
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    call.tell(ToolCalled("resp_1", "call_1", "a_tool", "{}"), ToolReturned("call_1", COLD))
    call.tell(ToolCalled("resp_1", "call_2", "end_call", "{}"), ToolReturned("call_2", EndCall("done")))
    commands = call.tell(ResponseEnded("resp_1"))
    commands += call.tell(Tick(), at_ms=call.conversation.deadline_ms)
    assert only(commands, LeaveStream)
    assert only(commands, CompleteCall) == []


def test_a_call_whose_time_is_up_does_not_leave_any_more():
    call = live()
    asks(call, COLD)
    commands = call.tell(WindUpAsked("server.draining"))
    assert only(commands, AnswerTool) == [AnswerTool("call_1", away.ENDING_ALREADY)]
    assert only(call.tell(Tick(), at_ms=call.now_ms + 6_500), CompleteCall)


def test_a_tool_that_asks_for_a_trip_when_the_time_is_up_comes_too_late():
    call = live()
    call.tell(ResponseStarted("resp_1"), ToolCalled("resp_1", "call_1", "a_tool", "{}"), at_ms=1_000)
    commands = call.tell(WindUpAsked("server.draining"), ToolReturned("call_1", COLD))
    assert only(commands, AnswerTool, LeaveStream) == [AnswerTool("call_1", away.ENDING_ALREADY)]


def test_who_comes_back_is_not_hung_up_on_for_a_goodbye_that_was_begun_before():
    """A goodbye, and keys for the line with it: what the line says to them is still to be heard."""
    call = live()
    end = ToolCalled("resp_1", "call_1", "end_call", "{}")
    keys = ToolCalled("resp_1", "call_2", "a_tool", "{}")
    call.speak("resp_1", "item_1", 1_000, done=False)
    call.tell(end, keys, ToolReturned("call_1", EndCall("done")), ResponseEnded("resp_1"))
    call.tell(ToolReturned("call_2", KEYS))
    assert only(call.hear_all(), LeaveStream)
    call.tell(CallerHungUp())
    call.tell(CallerBack(), at_ms=call.now_ms + 1_500)
    call.tell(Tick(), at_ms=call.now_ms + 20_000)
    assert only(call.given, CompleteCall) == []


def test_a_carrier_that_does_not_do_it_leaves_the_caller_with_the_agent():
    call = live()
    asks(call, COLD)
    call.hear_all()
    commands = call.tell(LeavingFailed("the phone company refused"))
    [answer] = only(commands, AnswerTool)
    assert "the phone company refused" in answer.output
    assert only(commands, CreateResponse)
    assert call.tell(CallerHungUp()) == [Finish("caller.hung_up")]


def test_a_caller_who_hung_up_before_the_carrier_was_asked_has_hung_up():
    call = gone(COLD)
    assert call.tell(LeavingFailed("no such call")) == [Finish("caller.hung_up")]


def test_a_stream_that_is_over_when_the_carrier_says_nothing_is_that_of_a_call_that_has_left():
    call = gone(COLD)
    assert call.tell(LeavingFailed("it did not answer", unsure=True)) == []
    assert call.tell(EndedElsewhere("agent.transferred"))[-1] == Finish("agent.transferred")


def test_who_has_hung_up_before_there_was_a_model_is_not_waited_for_either():
    call = Call()
    call.tell(TransferAsked(COLD), CallerHungUp(), at_ms=100)
    assert call.tell(LeavingFailed("no such call")) == [Finish("caller.hung_up")]


# -- away ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [CallerHungUp(), CallerLost()])
def test_a_stream_that_ends_because_the_call_left_ends_nothing(leaves):
    call = live()
    asks(call, COLD)
    call.hear_all()
    assert call.tell(leaves) == []
    assert not call.conversation.over


def test_nothing_is_said_to_a_caller_who_is_away():
    call = gone(COLD, greeting=None)
    call.tell(SpeechStopped())  # of what was heard before
    assert call.tell(ResponseStarted("resp_2")) == [CancelResponse("resp_2")]
    call.tell(ResponseEnded("resp_2", "cancelled"))
    played = [c for c in call.given if isinstance(c, PlayAudio | LeaveStream)]
    assert isinstance(played[-1], LeaveStream)


@pytest.mark.parametrize(("trip", "longest_ms"), [(KEYS, 16_100), (COLD, 50_000)])
def test_a_session_is_kept_as_long_as_the_caller_may_be_back(trip, longest_ms):
    call = live()
    asks(call, trip)
    call.hear_all()
    left_ms = call.now_ms
    call.tell(CallerHungUp())
    assert call.conversation.deadline_ms == left_ms + longest_ms
    assert call.tell(Tick(), at_ms=left_ms + longest_ms - 1) == []
    assert call.tell(Tick(), at_ms=left_ms + longest_ms) == [Finish("caller.hung_up")]


def test_a_caller_whose_colleague_never_decides_is_asked_back_once():
    call = gone(WARM)
    waited_ms = call.conversation.deadline_ms - call.now_ms
    assert 105_000 < waited_ms <= 110_000, "a phone is let ring, and whoever takes it has a minute to decide"
    assert call.tell(Tick(), at_ms=call.conversation.deadline_ms) == [RecallCaller()]
    assert call.conversation.deadline_ms == call.now_ms + 15_000
    assert call.tell(Tick(), at_ms=call.conversation.deadline_ms) == [Finish("caller.hung_up")]


def test_a_dial_that_was_answered_and_is_over_ends_the_call():
    call = gone(COLD)
    assert call.tell(EndedElsewhere("agent.transferred")) == [
        AnswerTool("call_1", away.TAKEN),
        Finish("agent.transferred"),
    ]


def test_a_model_that_is_lost_meanwhile_is_back_before_the_caller_and_told_of_it_all():
    call = gone(COLD)
    assert only(call.tell(ModelLost("openai.disconnected")), Reconnect)
    told = call.tell(SessionConfirmed(), at_ms=call.now_ms + 500)
    assert told == [Tell("agent", "One moment, please."), Tell("system", CALL_GOES_ON), OpenAudio()]
    commands = call.tell(CallerBack("nobody answered"), at_ms=call.now_ms + 5_000)
    [note] = only(commands, Tell)
    assert "nobody answered" in note.text
    assert only(commands, CreateResponse)


def test_another_tool_that_is_done_meanwhile_is_answered():
    call = live()
    call.tell(ResponseStarted("resp_1"), at_ms=1_000)
    call.tell(ToolCalled("resp_1", "call_1", "a_tool", "{}"), ToolReturned("call_1", COLD))
    assert only(call.tell(ToolCalled("resp_1", "call_2", "slow", "{}")), RunTool)
    assert only(call.tell(ResponseEnded("resp_1")), LeaveStream)
    call.tell(CallerHungUp())
    assert call.tell(ToolReturned("call_2", "noted"), at_ms=3_000) == [AnswerTool("call_2", "noted")]
    commands = call.tell(CallerBack("the line was busy"), at_ms=9_000)
    assert [type(c) for c in commands] == [AnswerTool, CreateResponse]


# -- back ---------------------------------------------------------------------------------------


def test_who_comes_back_from_a_transfer_is_told_by_the_agent_what_became_of_it():
    call = gone(COLD)
    commands = call.tell(CallerBack("nobody answered"), at_ms=call.now_ms + 30_000)
    assert commands[0] == AnswerTool("call_1", outcome(COLD, "nobody answered"))
    assert [type(c) for c in commands] == [AnswerTool, CreateResponse]
    call.speak("resp_2", "item_2", 1_000)
    assert only(call.hear_all(), Finish, LeaveStream) == []
    assert call.tell(CallerHungUp()) == [Finish("caller.hung_up")]


def test_after_keys_the_line_has_the_word():
    call = gone(KEYS)
    assert call.tell(CallerBack(), at_ms=call.now_ms + 1_500) == [AnswerTool("call_1", away.SENT_UNHEARD)]
    assert "could not hear the line" in away.SENT_UNHEARD  # there was no stream for as long as it took
    call.tell(SpeechStarted("item_2"), SpeechStopped(), CallerSaid("item_2", "Sales. Please hold."))
    assert only(call.tell(ResponseStarted("resp_2")), CancelResponse) == []


def test_a_stream_that_is_back_before_the_last_one_was_seen_to_end_is_taken():
    call = live()
    asks(call, KEYS)
    call.hear_all()
    assert only(call.tell(CallerBack()), AnswerTool)


def test_a_call_that_should_have_ended_meanwhile_ends_when_it_is_back():
    call = gone(COLD)
    assert call.tell(WindUpAsked("server.draining")) == []
    commands = call.tell(CallerBack("nobody answered"), at_ms=call.now_ms + 30_000)
    [create] = only(commands, CreateResponse)
    assert create.tag == "goodbye"
    assert call.tell(Tick()) == []  # there is time to say it


def test_a_call_that_should_have_ended_meanwhile_ends_when_it_could_not_leave():
    call = live()
    asks(call, COLD)
    assert only(call.hear_all(), LeaveStream)
    assert call.tell(WindUpAsked("server.draining")) == []
    commands = call.tell(LeavingFailed("the phone company refused"), at_ms=call.now_ms + 500)
    assert [c.tag for c in only(commands, CreateResponse)] == ["goodbye"]
    assert call.conversation.farewell.reason == "server.draining"


def test_the_time_limit_waits_for_the_caller():
    call = gone(COLD, most_ms=20_000)
    assert call.tell(Tick(), at_ms=30_000) == []
    call.tell(CallerBack("nobody answered"), at_ms=31_000)
    call.tell(Tick(), ResponseStarted("resp_2"))
    [create] = only(call.tell(ResponseEnded("resp_2", "cancelled")), CreateResponse)
    assert create.tag == "goodbye"


def test_nobody_is_asked_whether_they_are_there_while_they_are_not():
    call = gone(COLD, manners=Manners(nudge_ms=5_000))
    call.tell(Tick(), at_ms=call.now_ms + 20_000)
    assert only(call.given, CreateResponse) == []


def test_what_was_said_elsewhere_is_told_to_the_session_here():
    """The stream came back to a process that does not know the call."""
    said = (Line("caller", "Sales, please.", False), Line("agent", "One mom", True))
    call = Call(greeting="Say hello", resumed=Resumed(said, COLD, "nobody answered"))
    commands = call.tell(SessionConfirmed(), at_ms=300)
    assert commands[:4] == [
        Tell("caller", "Sales, please."),
        Tell("agent", "One mom … [interrupted]"),
        Tell("system", news_of(COLD, "nobody answered")),
        Tell("system", CALL_GOES_ON),
    ]
    [create] = only(commands, CreateResponse)
    assert create.tag == "answer"  # and no greeting


def test_a_call_that_came_from_elsewhere_for_keys_only_listens():
    call = Call(greeting="Say hello", resumed=Resumed((), KEYS))
    assert only(call.tell(SessionConfirmed(), at_ms=300), CreateResponse) == []


# -- asked from outside -------------------------------------------------------------------------


def test_a_transfer_asked_for_from_outside_is_announced_and_then_done():
    call = live()
    call.tell(at_ms=1_000)
    call.speak("resp_1", "item_1", 4_000)
    commands = call.tell(TransferAsked(COLD), at_ms=2_000)
    assert isinstance(commands[0], ClearAudio)
    [create] = only(commands, CreateResponse)
    assert not create.tools_allowed
    call.speak("resp_2", "item_2", 1_000)
    assert only(call.hear_all(), LeaveStream)
    call.tell(CallerHungUp())
    commands = call.tell(CallerBack("the line was busy"), at_ms=call.now_ms + 3_000)
    [told] = only(commands, Tell)
    assert told.text == news_of(COLD, "the line was busy")
    assert only(commands, CreateResponse)


def test_it_is_announced_also_to_a_caller_who_was_just_speaking():
    """The model answers their turn by itself, and knows of no transfer."""
    call = live()
    call.tell(SpeechStarted("item_1"), TransferAsked(COLD), at_ms=1_000)
    call.tell(Whispered("Be quick."), SpeechStopped(), at_ms=2_000)
    [create] = only(call.speak("resp_1", "item_2", 1_000), CreateResponse)
    assert create.tag == "hand over"
    call.speak("resp_2", "item_3", 1_000)
    assert only(call.hear_all(), LeaveStream)


@pytest.mark.parametrize("when", ["before the first session", "between two"])
def test_without_a_model_to_announce_it_the_caller_is_put_through_at_once(when):
    call = Call(greeting="Say hello") if when == "before the first session" else live()
    if when == "between two":
        call.tell(ModelLost("openai.disconnected"), at_ms=5_000)
    assert only(call.tell(TransferAsked(COLD), at_ms=6_000), LeaveStream)
    call.tell(CallerHungUp(), SessionConfirmed(), at_ms=7_000)
    assert only(call.given, Finish, CreateResponse) == []
    commands = call.tell(CallerBack("the line was busy"), at_ms=9_000)
    [told] = only(commands, Tell)
    assert told.text == news_of(COLD, "the line was busy")
    assert only(commands, CreateResponse)


@pytest.mark.parametrize("hopeless", [True, False])
def test_a_call_that_is_away_needs_no_model_until_it_is_back(hopeless):
    """It may well not come back: then a person has taken it, or the caller has hung up."""
    call = Call(greeting="Say hello")
    assert only(call.tell(TransferAsked(COLD), at_ms=6_000), LeaveStream)
    call.tell(CallerHungUp(), at_ms=6_100)
    assert call.tell(Tick(), at_ms=10_000) == []
    assert call.tell(ModelLost("openai.no_session", hopeless=hopeless), at_ms=11_000) == []
    assert call.tell(Tick(), at_ms=30_000) == []
    assert not call.conversation.over


def test_who_comes_back_to_no_model_has_one_dialled():
    call = Call(greeting="Say hello")
    call.tell(TransferAsked(COLD), at_ms=6_000)
    call.tell(CallerHungUp(), ModelLost("openai.no_session"), at_ms=11_000)
    assert call.tell(CallerBack("the line was busy"), at_ms=30_000) == [Reconnect(0.0)]
    assert call.tell(Tick(), at_ms=39_999) == []
    commands = call.tell(SessionConfirmed(), at_ms=39_999)
    assert news_of(COLD, "the line was busy") in [told.text for told in only(commands, Tell)]
    assert [create.tag for create in only(commands, CreateResponse)] == ["greeting"]


def test_who_comes_back_to_a_model_that_is_there_after_all_talks_to_it():
    """As it had not been to be had while they were away, the call ended, and a response was asked for."""
    call = Call(greeting="Say hello")
    call.tell(TransferAsked(COLD), at_ms=6_000)
    call.tell(CallerHungUp(), ModelLost("openai.refused", hopeless=True), SessionConfirmed(), at_ms=20_000)
    commands = call.tell(CallerBack("the line was busy"), at_ms=30_000)
    assert only(commands, Finish) == []
    assert only(commands, CreateResponse)


def test_who_comes_back_while_a_model_is_dialled_gives_it_its_time():
    call = Call()
    call.tell(TransferAsked(COLD), at_ms=6_000)
    call.tell(CallerHungUp(), at_ms=6_100)
    assert call.tell(CallerBack("the line was busy"), at_ms=12_000) == []
    assert call.tell(Tick(), at_ms=21_999) == []
    assert call.tell(Tick(), at_ms=22_000) == [Finish("openai.no_session")]


def test_who_never_comes_back_has_hung_up_also_without_a_model():
    call = Call()
    call.tell(TransferAsked(COLD), at_ms=6_000)
    call.tell(CallerHungUp(), at_ms=6_100)
    assert call.conversation.deadline_ms == 56_000
    assert call.tell(Tick(), at_ms=56_000) == [Finish("caller.hung_up")]


def test_an_announcement_for_which_there_was_no_time_is_not_made_when_the_caller_is_back():
    call = live()
    call.tell(SpeechStarted("item_1"), TransferAsked(COLD), at_ms=1_000)
    assert only(call.tell(Tick(), at_ms=13_000), LeaveStream)  # the caller spoke on and on
    call.tell(CallerHungUp(), SpeechStopped())
    commands = call.tell(CallerBack("nobody answered"), Tick(), at_ms=20_000)
    assert [c.tag for c in only(commands, CreateResponse)] == ["answer"]


def test_a_transfer_asked_for_from_outside_while_one_is_under_way_changes_nothing():
    call = live()
    asks(call, COLD)
    assert call.tell(TransferAsked(WARM)) == []
    assert call.conversation.away.trip == COLD


# -- keys as sound ------------------------------------------------------------------------------


def test_keys_as_sound_are_played_after_the_agent_and_then_reported():
    call = live(keys_as_sound=True)
    asks(call, KEYS)
    commands = call.hear_all()
    played = b"".join(b64decode(c.payload) for c in only(commands, PlayAudio))
    assert played == b64decode(tones("1w2"))
    assert only(call.given, AnswerTool, LeaveStream) == []
    assert call.hear_all() == [AnswerTool("call_1", away.SENT)]


def test_keys_as_sound_are_not_cut_by_a_line_that_talks():
    call = live(keys_as_sound=True)
    asks(call, KEYS)
    call.hear_all()
    assert call.tell(SpeechStarted("item_2"), at_ms=call.now_ms + 50) == []
    assert call.tell(DigitPressed("5"), at_ms=call.now_ms + 50) == []
    assert only(call.tell(Tick(), at_ms=call.conversation.playback.dry_ms + 1_500), AnswerTool)
