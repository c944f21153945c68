"""What a listener hears of a translation and of the voice below it."""

from __future__ import annotations

import numpy as np
import pytest

from callapp.audio.g711 import SILENCE, Samples, decode
from callapp.audio.mixing import IN_HAND_MS, MOST_BEHIND_MS, Mixer

FRAME = 160


def steady(value: int, samples: int = FRAME) -> Samples:
    return np.full(samples, value, np.int16)


def about(value: int, tolerance: float = 0.04) -> object:
    """Mu-law is right to a few percent."""
    return pytest.approx(value, rel=tolerance)


def wait(mixer: Mixer) -> None:
    """Let the silence pass that a translation begins with."""
    for _ in range(IN_HAND_MS // 20):
        mixer.frame(steady(0))


def loud(ulaw: bytes) -> float:
    return float(np.abs(decode(ulaw).astype(int)).mean())


def test_without_a_translator_the_voice_is_heard_whole() -> None:
    """A session that is lost leaves people who may still understand each other a little."""
    mixer = Mixer(0.1)
    assert loud(mixer.frame(steady(8000))) == about(8000)


def test_below_a_translation_the_voice_is_as_loud_as_was_asked_for() -> None:
    mixer = Mixer(0.25)
    mixer.duck(translating=True)
    mixer.frame(steady(8000))  # on its way down
    assert loud(mixer.frame(steady(8000))) == about(2000)
    mixer.add(steady(6000))
    wait(mixer)
    assert loud(mixer.frame(steady(8000))) == about(8000)


def test_at_level_nought_only_the_translation_is_heard_and_silence_between() -> None:
    mixer = Mixer(0)
    mixer.duck(translating=True)
    mixer.frame(steady(8000))
    mixer.add(steady(4000, FRAME + 40))
    wait(mixer)
    assert loud(mixer.frame(steady(8000))) == about(4000)
    heard = mixer.frame(steady(8000))
    assert loud(heard[:40]) == about(4000)
    assert heard[40:] == SILENCE * (FRAME - 40)


def test_from_one_level_to_the_other_there_is_no_step() -> None:
    mixer = Mixer(0)
    mixer.duck(translating=True)
    heard = decode(mixer.frame(steady(8000))).astype(int)
    assert heard[0] == about(8000)
    assert heard[-1] == 0
    assert np.abs(np.diff(heard)).max() < 600


def test_nothing_of_a_translation_that_comes_in_a_burst_is_lost() -> None:
    mixer = Mixer(0)
    mixer.duck(translating=True)
    mixer.frame(steady(0))
    words = np.repeat(np.arange(1, 101).astype(np.int16) * 100, FRAME)  # two seconds
    for at in range(0, len(words), 700):
        mixer.add(words[at : at + 700])
    wait(mixer)
    heard = decode(b"".join(mixer.frame(steady(0)) for _ in range(100)))
    assert np.abs(heard.astype(int) - words).max() < 400
    assert not decode(mixer.frame(steady(0))).any()  # and nothing comes after it


def test_a_translation_that_comes_just_in_time_is_not_torn_by_what_comes_late() -> None:
    """It is given out no faster than the speaker speaks, and the network is not a clock."""
    mixer = Mixer(0)
    mixer.duck(translating=True)
    mixer.frame(steady(0))
    heard = b""
    for number in range(100):  # a piece of 200 ms every 200 ms, but for 60 ms now and then
        if number % 10 == (3 if number // 10 % 2 else 0):
            mixer.add(steady(5000, 10 * FRAME))
        heard += mixer.frame(steady(0))
    voiced = np.flatnonzero(np.abs(decode(heard).astype(int)) > 1000)
    assert np.diff(voiced).max() == 1


def test_far_behind_pauses_are_shortened_and_words_are_not() -> None:
    mixer = Mixer(0)
    mixer.duck(translating=True)
    mixer.frame(steady(0))
    mixer.add(steady(5000, MOST_BEHIND_MS * 8))
    for _ in range(10):
        mixer.add(steady(0, 8000))
        mixer.add(steady(5000, 800))
    spoken_ms = 0
    for _ in range(2000):
        spoken_ms += 20 * (loud(mixer.frame(steady(0))) > 2000)
    assert spoken_ms == MOST_BEHIND_MS + 1000
    assert mixer.skipped_ms > 2000


def test_the_last_words_can_be_had_at_once() -> None:
    """The speaker is gone, and no voice comes any more that could be the clock."""
    mixer = Mixer(0.1)
    mixer.add(steady(3000, 1000))
    assert loud(mixer.rest()[IN_HAND_MS * 8 :]) == about(3000)
    assert mixer.rest() == b""
