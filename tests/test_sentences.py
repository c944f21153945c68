"""Sentences that are English for programs, and can be said in another language."""

from __future__ import annotations

from callapp.sentences import N_, Quoted


def test_a_sentence_is_english_and_remembers_what_it_was_made_of() -> None:
    sentence = N_("no session at %(url)s: %(error)s", url="ws://here", error=Quoted("gone"))
    assert sentence == "no session at ws://here: gone"
    assert sentence.template == "no session at %(url)s: %(error)s"
    assert sentence.values == {"url": "ws://here", "error": "gone"}


def test_a_sentence_may_be_a_part_of_another() -> None:
    assert N_("correct %(name)s", name=N_("the model of %(agent)s", agent="shop")) == (
        "correct the model of shop"
    )


def test_without_values_a_per_cent_sign_is_one() -> None:
    assert N_("100 % of 5 %(s)s") == "100 % of 5 %(s)s"
