"""One side of an interpreted call: what happens, and what is done about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.conversation.interpreting import (
    LAST_MARK,
    LAST_WORDS_MS,
    MARK_SPARE_MS,
    PARTNER_WITHIN_MS,
    CallOff,
    DialTranslator,
    DropTranslators,
    End,
    Event,
    FinishTranslator,
    Interpreting,
    LetPartnerGo,
    MarkEnd,
    MarkPlayed,
    Met,
    PartnerLeft,
    Phase,
    PhoneLost,
    Terms,
    TimePassed,
    Told,
    TranslatorFinished,
    TranslatorLost,
    TranslatorReady,
    UseTranslator,
)
from callapp.conversation.redialling import REDIAL_MS

TERMS = Terms(most_ms=600_000, session_ms=300_000)


def side(*events: Event) -> Interpreting:
    """A side to which this has happened."""
    one = Interpreting(TERMS)
    for event in events:
        one.receive(event, 0)
    return one


TALKING = (Met(), TranslatorReady(1))


def test_the_translator_is_dialled_once_there_is_somebody_to_translate_for() -> None:
    """A minute costs money, and one waits alone for as long as a phone rings."""
    one = Interpreting(TERMS)
    assert one.receive(TimePassed(), 5000) == []
    assert one.receive(Met(), 6000) == [DialTranslator(1, 0)]
    assert one.receive(TranslatorReady(1), 6500) == [UseTranslator(1)]


def test_a_lost_translator_is_dialled_again_and_the_voice_goes_through_meanwhile() -> None:
    one = side(*TALKING)
    assert one.receive(TranslatorLost(1, "openai.disconnected"), 1000) == [
        UseTranslator(None),
        DialTranslator(2, REDIAL_MS[1]),
    ]
    pauses = []
    for number in range(2, 8):
        (dial,) = one.receive(TranslatorLost(number, "openai.unreachable"), 2000)
        assert isinstance(dial, DialTranslator)
        pauses.append(dial.after_ms)
    assert pauses == [1000, 2000, 5000, 5000, 5000, 5000]
    assert one.receive(TranslatorReady(8), 9000) == [UseTranslator(8)]
    assert one.receive(TranslatorLost(8, "openai.disconnected"), 9500)[1] == DialTranslator(9, REDIAL_MS[1])


def test_without_hope_of_a_translator_both_are_let_go() -> None:
    """Two people who do not understand each other do not need a line that stays open."""
    one = side(Met())
    assert one.receive(TranslatorLost(1, "openai.refused", hopeless=True), 0) == [
        LetPartnerGo("openai.refused"),
        DropTranslators(),
        End("openai.refused"),
    ]


def test_an_old_translator_is_replaced_before_it_is_ended_and_says_its_rest() -> None:
    one = side(*TALKING)
    assert one.receive(TimePassed(), TERMS.session_ms - 1) == []
    assert one.receive(TimePassed(), TERMS.session_ms) == [DialTranslator(2, 0)]
    assert one.receive(TimePassed(), TERMS.session_ms + 100) == []
    assert one.receive(TranslatorReady(2), TERMS.session_ms + 500) == [
        UseTranslator(2),
        FinishTranslator(1),
    ]
    assert one.receive(TranslatorFinished(1), TERMS.session_ms + 900) == []
    assert one.phase is Phase.TOGETHER


def test_a_translator_that_is_lost_shortly_before_its_time_is_replaced_by_one_and_not_by_two() -> None:
    one = side(*TALKING)
    assert len(one.receive(TranslatorLost(1, "openai.disconnected"), TERMS.session_ms - 100)) == 2
    assert one.receive(TimePassed(), TERMS.session_ms) == []


def test_a_replacement_that_fails_leaves_the_old_one_in_place() -> None:
    one = side(*TALKING)
    one.receive(TimePassed(), TERMS.session_ms)
    assert one.receive(TranslatorLost(2, "openai.refused", hopeless=True), TERMS.session_ms) == [
        DialTranslator(3, REDIAL_MS[1])
    ]
    assert one.receive(TranslatorLost(1, "openai.disconnected"), TERMS.session_ms) == [UseTranslator(None)]
    assert one.receive(TranslatorReady(3), TERMS.session_ms) == [UseTranslator(3)]


def test_a_translator_that_closes_by_itself_is_a_lost_one() -> None:
    one = side(*TALKING)
    assert one.receive(TranslatorFinished(1), 10) == [UseTranslator(None), DialTranslator(2, REDIAL_MS[1])]


def test_the_last_words_of_who_hangs_up_are_waited_for() -> None:
    one = side(*TALKING)
    assert one.receive(PhoneLost("caller.hung_up"), 1000) == [FinishTranslator(1)]
    assert one.receive(TimePassed(), 1000 + LAST_WORDS_MS - 1) == []
    assert one.receive(TranslatorFinished(1), 2000) == [
        LetPartnerGo("caller.hung_up"),
        DropTranslators(),
        End("caller.hung_up"),
    ]


@pytest.mark.parametrize("event", [TimePassed(), TranslatorLost(1, "openai.disconnected")])
def test_the_last_words_are_not_waited_for_for_ever(event: Event) -> None:
    one = side(*TALKING)
    one.receive(PhoneLost("caller.hung_up"), 1000)
    assert one.receive(event, 1000 + LAST_WORDS_MS) == [
        LetPartnerGo("caller.hung_up"),
        DropTranslators(),
        End("caller.hung_up"),
    ]


@pytest.mark.parametrize("event", [TranslatorReady(2), TranslatorLost(2, "openai.disconnected")])
def test_the_last_words_are_those_of_the_translator_that_heard_them_not_of_its_replacement(
    event: Event,
) -> None:
    """Somebody hangs up while an old session is being replaced."""
    one = side(*TALKING)
    assert one.receive(TimePassed(), TERMS.session_ms) == [DialTranslator(2, 0)]
    assert one.receive(PhoneLost("caller.hung_up"), TERMS.session_ms + 100) == [FinishTranslator(1)]
    assert one.receive(event, TERMS.session_ms + 200) == []
    assert one.receive(TranslatorFinished(1), TERMS.session_ms + 900) == [
        LetPartnerGo("caller.hung_up"),
        DropTranslators(),
        End("caller.hung_up"),
    ]


@pytest.mark.parametrize("first", [1, 2])
def test_the_last_words_are_also_those_that_a_translator_just_replaced_has_yet_to_say(first: int) -> None:
    """Somebody hangs up in the second or two after an old session was replaced."""
    one = side(*TALKING)
    one.receive(TimePassed(), TERMS.session_ms)
    one.receive(TranslatorReady(2), TERMS.session_ms + 500)
    assert one.receive(PhoneLost("caller.hung_up"), TERMS.session_ms + 900) == [FinishTranslator(2)]
    assert one.receive(TranslatorFinished(first), TERMS.session_ms + 1500) == []
    assert one.receive(TranslatorFinished(3 - first), TERMS.session_ms + 1600) == [
        LetPartnerGo("caller.hung_up"),
        DropTranslators(),
        End("caller.hung_up"),
    ]


def test_a_replaced_translator_that_has_never_finished_is_not_waited_for_at_the_end() -> None:
    one = side(*TALKING)
    one.receive(TimePassed(), TERMS.session_ms)
    one.receive(TranslatorReady(2), TERMS.session_ms)
    one.receive(PhoneLost("caller.hung_up"), TERMS.session_ms + LAST_WORDS_MS)
    assert one.receive(TranslatorFinished(2), TERMS.session_ms + LAST_WORDS_MS)[-1] == End("caller.hung_up")


@pytest.mark.parametrize("event", [PhoneLost("caller.hung_up"), PartnerLeft("other.hung_up", 3000)])
def test_nobody_is_dialled_any_more_once_one_of_the_two_is_gone(event: Event) -> None:
    one = side(*TALKING)
    one.receive(event, TERMS.session_ms - 1000)
    assert one.receive(TimePassed(), TERMS.session_ms) == []


def test_who_hangs_up_without_a_translator_is_gone_at_once() -> None:
    one = side(Met())
    assert one.receive(PhoneLost("caller.hung_up"), 0) == [
        LetPartnerGo("caller.hung_up"),
        DropTranslators(),
        End("caller.hung_up"),
    ]


def test_who_hangs_up_while_the_partner_is_rung_has_the_call_to_them_called_off() -> None:
    one = Interpreting(TERMS)
    assert one.receive(PhoneLost("caller.hung_up"), 0) == [
        CallOff(),
        DropTranslators(),
        End("caller.hung_up"),
    ]


def test_after_the_partner_has_left_the_last_words_are_heard_before_the_line_closes() -> None:
    one = side(*TALKING)
    assert one.receive(PartnerLeft("other.hung_up", unheard_ms=3000), 1000) == [
        DropTranslators(),
        MarkEnd(LAST_MARK),
    ]
    assert one.receive(MarkPlayed("another"), 2000) == []
    assert one.receive(PartnerLeft("other.hung_up"), 2000) == [], "told twice"
    assert one.receive(TranslatorLost(1, "openai.disconnected"), 2000) == []
    assert one.receive(MarkPlayed(LAST_MARK), 4000) == [DropTranslators(), End("other.hung_up")]


def test_a_mark_that_never_comes_back_holds_nobody_on_the_line() -> None:
    one = side(*TALKING)
    one.receive(PartnerLeft("other.hung_up", unheard_ms=3000), 1000)
    assert one.receive(TimePassed(), 4000 + MARK_SPARE_MS - 1) == []
    assert one.receive(TimePassed(), 4000 + MARK_SPARE_MS) == [DropTranslators(), End("other.hung_up")]


def test_who_hangs_up_after_the_partner_has_ended_by_what_the_partner_did() -> None:
    """The first cause counts."""
    one = side(*TALKING, PartnerLeft("other.hung_up"))
    assert one.receive(PhoneLost("caller.hung_up"), 0)[-1] == End("other.hung_up")


def test_both_may_hang_up_at_once() -> None:
    one = side(*TALKING, PhoneLost("caller.hung_up"))
    assert one.receive(PartnerLeft("other.hung_up"), 0) == [DropTranslators(), End("caller.hung_up")]


def test_a_partner_who_does_not_come_is_not_waited_for_for_ever() -> None:
    one = Interpreting(TERMS)
    assert one.receive(TimePassed(), PARTNER_WITHIN_MS) == [
        CallOff(),
        DropTranslators(),
        End("other.unreachable"),
    ]


def test_a_partner_who_cannot_be_reached_is_told_of_as_one_who_left() -> None:
    one = Interpreting(TERMS)
    assert one.receive(PartnerLeft("other.unreachable"), 0) == [
        CallOff(),
        DropTranslators(),
        MarkEnd(LAST_MARK),
    ], "a dial that Twilio did not answer may ring all the same"


@pytest.mark.parametrize(
    ("event", "reason"),
    [(TimePassed(), "limit.call_seconds"), (Told("server.draining"), "server.draining")],
)
def test_a_limit_or_a_stop_of_the_server_ends_both_sides(event: Event, reason: str) -> None:
    one = side(*TALKING)
    assert one.receive(event, TERMS.most_ms) == [LetPartnerGo(reason), DropTranslators(), End(reason)]


EVENTS = st.one_of(
    st.sampled_from([Met(), TimePassed(), MarkPlayed(LAST_MARK), PartnerLeft("other.hung_up")]),
    st.sampled_from([PhoneLost("caller.hung_up"), Told("server.draining")]),
    st.integers(1, 4).map(TranslatorReady),
    st.integers(1, 4).map(TranslatorFinished),
    st.builds(TranslatorLost, st.integers(1, 4), st.just("openai.disconnected"), st.booleans()),
)


@given(st.lists(st.tuples(EVENTS, st.integers(0, 200_000)), max_size=25))
def test_whatever_happens_in_whatever_order_it_ends_once_and_in_time(
    happened: list[tuple[Event, int]],
) -> None:
    one = Interpreting(TERMS)
    now_ms, commands = 0, []
    for event, passed_ms in happened:
        now_ms += passed_ms
        commands += one.receive(event, now_ms)
    for _ in range(3):
        commands += one.receive(TimePassed(), now_ms + int(TERMS.most_ms) + LAST_WORDS_MS)
    assert one.over
    assert [type(one) for one in commands].count(End) == 1
    assert isinstance(commands[-1], End)
    assert [type(one) for one in commands].count(LetPartnerGo) <= 1
    dials = [one.number for one in commands if isinstance(one, DialTranslator)]
    assert dials == list(range(1, len(dials) + 1))
