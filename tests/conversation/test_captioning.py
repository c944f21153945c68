"""A call between two people that is written down: a script of events and what has to follow."""

from __future__ import annotations

import pytest

from callapp.conversation.captioning import (
    LAST_WORDS_MS,
    Captioning,
    Command,
    DialSession,
    DropSession,
    End,
    Frame,
    SendTo,
    SessionLost,
    SessionReady,
    SessionSaid,
    Speaker,
    StreamOver,
    Terms,
    TimePassed,
    Told,
)
from callapp.conversation.dictation import PAUSE_MS, EndPiece, PieceTaken, Tell, TextDone
from callapp.conversation.facts import Fact, ModelConnected, ModelDisconnected, Uttered
from callapp.conversation.redialling import REDIAL_MS

VOICE, PAUSE = b"\x10" * 160, b"\xff" * 160
HOUR = 3_600_000


def live(**terms: float) -> Captioning:
    """Captions whose sessions stand."""
    captions = Captioning(Terms(**{"most_ms": HOUR, "session_ms": HOUR, **terms}))
    assert captions.begin() == [DialSession("caller", 1, 0), DialSession("other", 1, 0)]
    for speaker in ("caller", "other"):
        (told,) = captions.receive(SessionReady(speaker, 1), 100)  # type: ignore[arg-type]
        assert told == Tell(ModelConnected(100, 100, again=False))
    return captions


def say(
    captions: Captioning, speaker: Speaker, at_ms: float, ms: int = 1000, pause: bool = True
) -> list[Command]:
    commands: list[Command] = []
    for start in range(0, ms + (PAUSE_MS if pause else 0), 20):
        loud = start < ms
        frame = Frame(speaker, VOICE if loud else PAUSE, -20.0 if loud else -90.0, at_ms + start)
        commands += captions.receive(frame, at_ms + start)
    return commands


def facts(commands: list[Command]) -> list[Fact]:
    return [one.fact for one in commands if isinstance(one, Tell)]


def texts(commands: list[Command]) -> list[tuple[str, str | None]]:
    return [(fact.role, fact.text) for fact in facts(commands) if isinstance(fact, Uttered)]


def pieces(commands: list[Command]) -> list[tuple[str, int]]:
    """The sessions that were told of the end of a piece."""
    sent = [one for one in commands if isinstance(one, SendTo)]
    return [(one.speaker, one.number) for one in sent if one.what == EndPiece()]


def test_each_speaker_is_heard_by_a_session_of_their_own() -> None:
    captions = live()
    assert pieces(say(captions, "caller", 1000)) == [("caller", 1)]
    assert pieces(say(captions, "other", 1000)) == [("other", 1)]
    told = captions.receive(SessionSaid("other", 1, TextDone("a", "Hello.")), 3000)
    assert texts(told) == [("other", "Hello.")]
    assert texts(captions.receive(SessionSaid("caller", 1, TextDone("a", "Hi.")), 3000)) == [
        ("caller", "Hi.")
    ]


def test_a_lost_session_is_dialled_again_and_the_other_one_does_not_notice() -> None:
    captions = live()
    say(captions, "caller", 1000)
    lost = captions.receive(SessionLost("caller", 1, "openai.disconnected"), 3000)
    assert lost == [
        Tell(ModelDisconnected(3000, "openai.disconnected")),
        DialSession("caller", 2, REDIAL_MS[1]),
    ]
    assert captions.receive(SessionLost("caller", 1, "openai.disconnected"), 3000) == []
    assert captions.receive(SessionLost("caller", 2, "openai.unreachable"), 3500) == [
        DialSession("caller", 3, REDIAL_MS[2])
    ]
    assert pieces(say(captions, "other", 4000)) == [("other", 1)]
    back = captions.receive(SessionReady("caller", 3), 6000)
    assert back[0] == Tell(ModelConnected(6000, 3000, again=True))
    assert pieces(back) == [("caller", 3)]


def test_what_is_said_while_a_session_is_dialled_waits_for_it() -> None:
    captions = live()
    captions.receive(SessionLost("caller", 1, "openai.disconnected"), 1000)
    assert say(captions, "caller", 1000) == []
    assert captions.receive(SessionReady("caller", 1), 3000) == []  # the lost one, late
    assert pieces(captions.receive(SessionReady("caller", 2), 3500)) == [("caller", 2)]


def test_what_an_old_session_still_says_is_not_taken_for_the_new_ones() -> None:
    captions = live()
    say(captions, "caller", 1000)
    captions.receive(SessionLost("caller", 1, "openai.disconnected"), 3000)
    captions.receive(SessionReady("caller", 2), 3500)
    assert captions.receive(SessionSaid("caller", 1, TextDone("a", "Late.")), 3600) == []
    assert texts(captions.receive(SessionSaid("caller", 2, TextDone("b", "New.")), 3700)) == [
        ("caller", "New.")
    ]


def test_no_credit_or_a_wrong_key_ends_the_captions_and_is_not_tried_again() -> None:
    captions = live()
    say(captions, "other", 1000)
    commands = captions.receive(SessionLost("caller", 1, "openai.refused", hopeless=True), 3000)
    assert texts(commands) == [("other", None)]
    assert commands[-1] == End("openai.refused")
    assert captions.over
    assert captions.receive(StreamOver("caller.hung_up"), 4000) == []


def test_an_old_session_is_replaced_in_a_pause_and_what_is_said_meanwhile_waits() -> None:
    captions = live(session_ms=10_000)
    say(captions, "caller", 9000, pause=False)
    assert captions.receive(TimePassed(), 10_200) == [DropSession("other", 1), DialSession("other", 2, 0)]
    say(captions, "caller", 10_000)
    captions.receive(SessionSaid("caller", 1, TextDone("a", "Long story.")), 11_700)
    renewed = captions.receive(TimePassed(), 11_700)
    assert renewed == [DropSession("caller", 1), DialSession("caller", 2, 0)]
    assert pieces(say(captions, "caller", 12_000)) == []
    assert pieces(captions.receive(SessionReady("caller", 2), 14_000)) == [("caller", 2)]


def test_a_session_that_passes_over_a_piece_is_replaced_and_the_words_after_it_are_known() -> None:
    """Each later item was taken for that of the piece before it: no word of the session was told any more."""
    captions = live()
    say(captions, "caller", 1000)
    passed_over = captions.receive(TimePassed(), 23_000)
    assert texts(passed_over) == [("caller", None)]
    assert passed_over[1:] == [DropSession("caller", 1), DialSession("caller", 2, 0)]
    captions.receive(SessionReady("caller", 2), 23_500)
    say(captions, "caller", 24_000)
    assert texts(captions.receive(SessionSaid("caller", 2, TextDone("b", "Known.")), 26_000)) == [
        ("caller", "Known.")
    ]


@pytest.mark.parametrize("taken", [False, True])
def test_a_session_that_writes_nothing_is_replaced_while_somebody_talks_on(taken: bool) -> None:
    """Who never pauses for as long as a text may take had no captions for the rest of the call."""
    captions = live()
    dialled: list[Command] = []
    for at_ms in range(1000, 25_000, 2000):
        for speaker, number in pieces(say(captions, "caller", at_ms)):
            assert taken or number == 1
            if taken:
                captions.receive(SessionSaid(speaker, number, PieceTaken(f"item-{at_ms}")), at_ms + 1600)  # type: ignore[arg-type]
        dialled += captions.receive(TimePassed(), at_ms + 1600)
    assert texts(dialled) == [("caller", None)]
    assert [one for one in dialled if not isinstance(one, Tell)][:2] == [
        DropSession("caller", 1),
        DialSession("caller", 2, 0),
    ]
    again = pieces(captions.receive(SessionReady("caller", 2), 25_500))
    assert len(again) == 11, "all but the one that was waited for in vain"
    assert captions.receive(TimePassed(), 25_520) == []


def test_the_last_words_are_waited_for_when_somebody_hangs_up() -> None:
    captions = live()
    say(captions, "caller", 1000, pause=False)
    assert pieces(captions.receive(StreamOver("caller.hung_up"), 2000)) == [("caller", 1)]
    assert captions.receive(TimePassed(), 2500) == []
    commands = captions.receive(SessionSaid("caller", 1, TextDone("a", "Bye.")), 2600)
    assert texts(commands) == [("caller", "Bye.")]
    assert commands[-3:] == [DropSession("caller", 1), DropSession("other", 1), End("caller.hung_up")]


def test_last_words_that_do_not_come_are_not_waited_for_for_ever() -> None:
    captions = live()
    say(captions, "caller", 1000, pause=False)
    captions.receive(StreamOver("caller.hung_up"), 2000)
    commands = captions.receive(TimePassed(), 2000 + LAST_WORDS_MS)
    assert texts(commands) == [("caller", None)]
    assert commands[-1] == End("caller.hung_up")


def test_without_last_words_the_end_is_at_once_and_no_session_is_dialled_after_it() -> None:
    captions = live()
    assert captions.receive(StreamOver("other.hung_up"), 2000)[-1] == End("other.hung_up")
    assert captions.receive(SessionLost("caller", 1, "openai.disconnected"), 2100) == []


def test_a_second_reason_to_end_gives_the_last_words_no_more_time() -> None:
    captions = live()
    say(captions, "caller", 1000, pause=False)
    captions.receive(Told("server.draining"), 2000)
    assert captions.receive(StreamOver("caller.hung_up"), 3000) == []
    assert captions.receive(TimePassed(), 2000 + LAST_WORDS_MS)[-1] == End("server.draining")


def test_the_longest_time_and_the_most_money_end_the_captions() -> None:
    assert live(most_ms=5000).receive(TimePassed(), 5000)[-1] == End("limit.call_seconds")
    captions = live(most_usd=0.01, second_usd=0.005)
    say(captions, "caller", 1000)
    captions.receive(SessionSaid("caller", 1, TextDone("a", "A dear word.", 2.0)), 3000)
    assert captions.receive(TimePassed(), 3020)[-1] == End("limit.cost")


def test_a_stop_of_the_server_is_heeded_at_once_or_after_the_last_words() -> None:
    captions = live()
    say(captions, "caller", 1000, pause=False)
    assert not any(isinstance(one, End) for one in captions.receive(Told("server.draining"), 2000))
    assert captions.receive(Told("server.stopped", at_once=True), 2100)[-1] == End("server.draining")
