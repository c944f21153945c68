"""Positions in the audio that the model was sent, on the call's clock."""

from __future__ import annotations

from callapp.conversation.hearing import KEPT_MS, Ears, Hearing


def test_the_first_session_is_sent_everything_from_the_streams_start_on():
    hearing = Hearing(Ears())
    hearing.opened(800)
    assert hearing.began_ms(1_000, 1_100) == 1_000


def test_a_session_that_was_long_in_coming_is_sent_the_newest_seconds_only():
    hearing = Hearing(Ears())
    hearing.opened(9_000)
    assert hearing.began_ms(100, 9_000 - KEPT_MS + 200) == 9_000 - KEPT_MS + 100


def test_the_next_session_begins_where_the_lost_one_stopped_hearing():
    hearing = Hearing(Ears())
    hearing.opened(300)
    hearing.closed(20_000)
    hearing.opened(21_000)
    assert hearing.began_ms(500, 20_900) == 20_500
