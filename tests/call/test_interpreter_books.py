"""What is told of an interpreted side, and what it may cost."""

from __future__ import annotations

from callapp.call.interpreter_books import TELL_USE_EVERY_S, Books
from callapp.conversation.events import Usage
from callapp.conversation.facts import Closed, Ended, Fact, ModelConnected, Used, Uttered
from callapp.realtime.translator import Written


def test_both_texts_and_the_use_are_told_and_the_end_is_the_last() -> None:
    facts: list[Fact] = []
    books = Books(lambda fact, _at_ms: facts.append(fact))
    books.begin()
    books.translating(500, translating=True)
    books.wrote(Written("source", "はい。"), 1000)
    books.wrote(Written("target", "Yes."), 1500)
    assert books.keep(TELL_USE_EVERY_S + 1, 2000)
    assert books.keep(TELL_USE_EVERY_S + 5, 9000)
    books.translating(9500, translating=False)
    books.translating(9900, translating=True)
    books.wrote(Written("source", "では。"), 9950)
    books.close("caller.hung_up", TELL_USE_EVERY_S + 9, 10_000)
    used = [fact.usage.transcribed_s for fact in facts if isinstance(fact, Used)]
    assert used == [TELL_USE_EVERY_S + 1, 8]
    assert [fact.text for fact in facts if isinstance(fact, Uttered)] == ["はい。", "Yes.", "では。"]
    connected = [(fact.after_ms, fact.again) for fact in facts if isinstance(fact, ModelConnected)]
    assert connected == [(500, False), (400, True)]
    assert facts[-2:] == [Ended(10_000, "caller.hung_up"), Closed(10_000)]


def test_nobody_has_waited_for_a_translator_that_replaces_another() -> None:
    """It is the age of the one before, of nearly an hour, that would stand among the delays."""
    facts: list[Fact] = []
    books = Books(lambda fact, _at_ms: facts.append(fact))
    books.translating(500, translating=True)
    books.translating(3_000_000, translating=True)
    books.translating(3_100_000, translating=False)
    books.translating(3_100_400, translating=True)
    connected = [(fact.after_ms, fact.again) for fact in facts if isinstance(fact, ModelConnected)]
    assert connected == [(500, False), (0, True), (400, True)]


def test_no_more_is_translated_than_may_be_paid_for() -> None:
    books = Books(
        lambda _fact, _at_ms: None, 1.0, lambda usage: usage.transcribed_s / 60 + usage.output_audio
    )
    assert books.keep(59.9, 0)
    assert not books.keep(59.9 + TELL_USE_EVERY_S, 0)
    tokens = Books(lambda _fact, _at_ms: None, 1.0, lambda usage: usage.output_audio)
    assert tokens.keep(0, 0)
    tokens.took(Usage(output_audio=1), 0)
    assert not tokens.keep(0, 0)
