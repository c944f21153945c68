"""Texts that grow without an end become phrases, in both languages side by side."""

from __future__ import annotations

from callapp.conversation.phrases import PAUSE_MS, Phrases


def test_a_phrase_ends_with_a_pause_in_both_languages() -> None:
    """A translation goes on after its speaker has paused."""
    phrases = Phrases()
    phrases.take("source", "こん", 1000)
    phrases.take("source", "にちは。", 1400)
    phrases.take("target", "Hel", 2500)
    phrases.take("target", "lo. ", 3000)
    assert phrases.ended(1400 + PAUSE_MS) == []
    source, target = phrases.ended(3000 + PAUSE_MS)
    assert (source.role, source.text, source.start_ms, source.end_ms) == (
        "caller",
        "こんにちは。",
        1000,
        1400,
    )
    assert (target.role, target.text, target.start_ms, target.end_ms) == ("agent", "Hello.", 2500, 3000)
    assert source.item_id != target.item_id
    assert phrases.ended(60_000) == []


def test_phrases_have_names_of_their_own() -> None:
    phrases = Phrases()
    names = set()
    for number in range(3):
        phrases.take("source", "Yes.", 10_000 * number)
        names |= {one.item_id for one in phrases.ended(10_000 * number + PAUSE_MS)}
    assert len(names) == 3


def test_the_last_words_are_told_when_the_call_is_over() -> None:
    phrases = Phrases()
    phrases.take("target", "Bye", 1000)
    (told,) = phrases.rest(1100)
    assert (told.role, told.text) == ("agent", "Bye")
    assert phrases.rest(1200) == []


def test_what_was_said_stands_before_its_translation_also_when_it_is_told_after_it() -> None:
    """A model that interprets speaks before the transcript of what it heard is there."""
    phrases = Phrases()
    phrases.take("target", "Hello.", 1000)
    phrases.take("source", "こんにちは。", 1400)
    source, target = phrases.rest(2000)
    assert (source.role, target.role) == ("caller", "agent")
    assert source.start_ms < target.start_ms <= target.end_ms
