"""A call that has cost what it may says goodbye."""

from __future__ import annotations

from callapp.conversation.away import Resumed
from callapp.conversation.budget import Budget
from callapp.conversation.commands import (
    ClearAudio,
    CompleteCall,
    CreateResponse,
    Finish,
    LeaveStream,
    SendMark,
)
from callapp.conversation.events import (
    AudioArrived,
    AudioEnded,
    CallerSaid,
    ModelLost,
    Part,
    Played,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    Tick,
    ToolCalled,
    ToolReturned,
    TransferAsked,
    Usage,
)
from callapp.conversation.machine import Conversation
from callapp.conversation.plan import Plan
from callapp.conversation.wishes import EndCall, SendDigits, Transfer

CENT = Usage(output_audio=500)  # at the price below


def usd_of(usage: Usage) -> float:
    return usage.output_audio * 20e-6 + usage.transcribed_s * 0.0045 / 60


def live(most_usd: float | None = 0.02, prices=usd_of, resumed: Resumed | None = None) -> Conversation:
    conversation = Conversation(Plan(most_usd=most_usd, usd_of=prices, resumed=resumed))
    conversation.receive(SessionConfirmed(), 0)
    return conversation


def answer(conversation: Conversation, number: int, usage: Usage | None, at_ms: float) -> list:
    """The model says a second of something, and what it took is reported."""
    response_id, item_id = f"resp_{number}", f"item_{number}"
    events = [
        ResponseStarted(response_id),
        AudioArrived(response_id, Part(item_id, 0), b"VVVV" * 2667),
        AudioEnded(response_id, item_id, 0),
        ResponseEnded(response_id, usage=usage),
    ]
    return [command for event in events for command in conversation.receive(event, at_ms)]


def goodbyes(commands: list) -> list:
    return [one for one in commands if isinstance(one, CreateResponse) and one.tag == "goodbye"]


def test_the_goodbye_is_asked_for_when_the_limit_is_reached_and_not_before():
    conversation = live()
    assert goodbyes(answer(conversation, 1, CENT, 1_000)) == []
    commands = answer(conversation, 2, CENT, 5_000)
    assert [type(one) for one in commands if isinstance(one, ClearAudio | CreateResponse)] == [
        ClearAudio,
        CreateResponse,
    ]
    assert len(goodbyes(commands)) == 1


def test_the_call_is_completed_after_the_goodbye_and_says_why():
    conversation = live(0.01)
    answer(conversation, 1, CENT, 1_000)
    commands = conversation.receive(ResponseStarted("resp_2", "goodbye"), 1_100)
    commands += conversation.receive(AudioArrived("resp_2", Part("item_2", 0), b"VVVV" * 2667), 1_150)
    commands += conversation.receive(AudioEnded("resp_2", "item_2", 0), 1_200)
    commands += conversation.receive(ResponseEnded("resp_2", usage=CENT), 1_250)
    assert CompleteCall() not in commands  # nobody has heard it yet
    assert goodbyes(commands) == []
    marks = [one for one in commands if isinstance(one, SendMark)]
    assert conversation.receive(Played(marks[-1].name), 2_300) == [CompleteCall()]
    assert conversation.end_reason == "limit.cost"


def test_the_caller_cannot_talk_the_goodbye_away():
    conversation = live(0.01)
    answer(conversation, 1, CENT, 1_000)
    assert conversation.receive(SpeechStarted(), 1_200) == []


def test_what_was_transcribed_counts():
    conversation = live(0.0045)
    commands = conversation.receive(CallerSaid("item_1", "Hello", Usage(transcribed_s=60)), 1_000)
    assert len(goodbyes(commands)) == 1


def test_a_goodbye_under_way_is_not_hurried():
    """It has no deadline of its own then, and is heard however long it is."""
    conversation = live(0.01)
    call = ToolCalled("resp_1", "call_1", "end_call", "{}")
    commands = []
    for event in (
        ResponseStarted("resp_1"),
        AudioArrived("resp_1", Part("item_1", 0), b"VVVV" * 2667),
        AudioEnded("resp_1", "item_1", 0),
        call,
        ToolReturned("call_1", EndCall("done")),
        ResponseEnded("resp_1", tool_calls=(call,), usage=CENT),
    ):
        commands += conversation.receive(event, 1_000)
    assert goodbyes(commands) == []
    assert conversation.farewell.reason == "agent.ended"
    assert not conversation.farewell.last
    # The caller objects, and the call would go on: now it is too dear for that.
    commands = conversation.receive(SpeechStarted(), 1_500)
    assert len(goodbyes(commands)) == 1


def test_while_the_model_is_away_nothing_ends_for_its_cost():
    conversation = live(0.01)
    lost = conversation.receive(ModelLost("openai.disconnected"), 900)
    late = conversation.receive(CallerSaid("item_1", "Hi", Usage(transcribed_s=600)), 950)
    assert not any(isinstance(one, Finish) for one in lost + late)
    assert goodbyes(conversation.receive(SessionConfirmed(), 1_500))


def test_without_a_limit_or_without_prices_no_call_is_too_dear():
    for conversation in (live(None), live(0.01, None), live(0.01, None)):
        for number in range(5):
            assert goodbyes(answer(conversation, number, CENT, 1_000 * number)) == []


def test_what_a_call_has_cost_in_another_process_counts():
    before = Resumed((), SendDigits("1"), spent_usd=0.01)
    conversation = live(resumed=before)
    assert len(goodbyes(answer(conversation, 1, CENT, 1_000))) == 1


def test_what_a_call_has_cost_leaves_with_it():
    conversation = live()
    conversation.budget.spend(CENT)
    conversation.receive(TransferAsked(Transfer("sales", warm=False)), 1_000)
    commands = conversation.receive(Tick(), 30_000)
    assert [one.spent_usd for one in commands if isinstance(one, LeaveStream)] == [0.01]


def test_what_is_not_reported_costs_nothing_that_is_known():
    budget = Budget(0.01, usd_of, 0.0)
    budget.spend(None)
    assert (budget.spent_usd, budget.exhausted) == (0, False)
