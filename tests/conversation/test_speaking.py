"""Whether somebody speaks, by how loud it is."""

from __future__ import annotations

import random

from callapp.conversation.speaking import SHORTEST_FRAMES, Speaking

SECOND = 50  # frames


def heard(ear: Speaking, *levels: float) -> list[bool]:
    return [ear.hear(level) for level in levels]


def test_a_voice_on_a_silent_line_is_speech_and_a_click_is_none() -> None:
    ear = Speaking()
    heard(ear, *[-90.0] * SECOND)
    assert heard(ear, -20.0, -20.0, -90.0) == [False, False, False]
    assert heard(ear, *[-20.0] * 5)[SHORTEST_FRAMES - 1 :] == [True] * 3


def test_a_noisy_line_is_not_taken_for_speech_for_ever() -> None:
    """A street begins to be heard: after three seconds it is known for what it is."""
    ear, rng = Speaking(), random.Random(7)
    heard(ear, *[-90.0] * SECOND)

    def street() -> float:
        return -38.0 + rng.uniform(-2, 2)

    heard(ear, *[street() for _ in range(4 * SECOND)])
    assert not any(heard(ear, *[street() for _ in range(10 * SECOND)]))
    assert any(heard(ear, *[-20.0] * 5))


def test_speech_that_goes_on_with_its_own_short_pauses_stays_speech() -> None:
    ear = Speaking()
    word = [-20.0] * 12 + [-60.0] * 3
    speech = [level for _ in range(100) for level in word]
    told = heard(ear, *speech)
    assert sum(told) == 100 * (12 - SHORTEST_FRAMES + 1)


def test_a_soft_voice_on_a_quiet_line_is_heard() -> None:
    ear = Speaking()
    heard(ear, *[-60.0] * SECOND)
    assert all(heard(ear, *[-44.0] * 10)[SHORTEST_FRAMES:])


def test_what_is_hardly_to_be_heard_is_no_speech_however_silent_the_line_is() -> None:
    ear = Speaking()
    heard(ear, *[-90.0] * SECOND)
    assert not any(heard(ear, *[-60.0] * SECOND))


def test_the_noise_of_a_line_is_what_is_left_in_the_softest_moment_of_the_last_seconds() -> None:
    ear = Speaking()
    half_a_second = [-20.0] * 12 + [-60.0] + [-20.0] * 12
    heard(ear, *half_a_second * 6)
    assert all(heard(ear, *[-44.0] * 10))
