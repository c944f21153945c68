"""Keys as sound, heard by a filter that knows nothing of how they were made."""

from __future__ import annotations

from base64 import b64decode

import pytest

from callapp.conversation.tones import tones
from callapp.simulators.keypad import KeyListener
from callapp.simulators.ulaw import SAMPLES


def heard(audio: bytes) -> str:
    listener = KeyListener()
    return "".join(key for at in range(0, len(audio), 160) for key in listener.hear(audio[at : at + 160]))


@pytest.mark.parametrize("digits", ["0123456789*#", "1122", "4w2"])
def test_every_key_is_heard_as_what_it_is_and_as_often_as_it_was_pressed(digits: str):
    assert heard(b64decode(tones(digits))) == digits.replace("w", "")


def test_a_key_lasts_100_ms_and_the_gap_after_it_80():
    audio = b64decode(tones("5"))
    assert len(audio) == 180 * 8
    assert audio[800:] == b"\xff" * 640
    assert max(abs(SAMPLES[byte]) for byte in audio[:800]) < 20_000


def test_a_wait_is_half_a_second_of_silence():
    assert b64decode(tones("w")) == b"\xff" * 4_000
