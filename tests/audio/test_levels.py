"""How loud a sound is."""

from __future__ import annotations

import numpy as np
import pytest

from callapp.audio.g711 import decode, encode
from callapp.audio.levels import SILENT_DBFS, level_of, speech_dbfs
from callapp.simulators.speech import Speech
from callapp.simulators.ulaw import silence, tone


def test_silence_is_as_soft_as_can_be_and_a_tone_as_loud_as_it_is() -> None:
    assert level_of(decode(silence(20))) == SILENT_DBFS
    assert level_of(decode(b"")) == SILENT_DBFS
    assert level_of(decode(tone(400, 20, 0.1))) == pytest.approx(-23.0, abs=0.5)
    assert level_of(decode(tone(400, 20, 1.0))) == pytest.approx(-3.0, abs=0.5)


@pytest.mark.parametrize(
    ("hz", "swells_hz"),
    [((440, 480), 0), ((400,), 16), ((400, 450), 0), ((425,), 0)],
    ids=["us", "jp", "uk", "eu"],
)
def test_a_phone_that_rings_is_no_speech(hz: tuple[int, ...], swells_hz: int) -> None:
    """Who is put through hears it ring; nobody wants to pay for having that written down."""
    time_s = np.arange(8000) / 8000
    tones = sum(np.sin(2 * np.pi * one * time_s) for one in hz)
    swell = 1 + 0.85 * np.sin(2 * np.pi * swells_hz * time_s) if swells_hz else 1
    ulaw = encode((2500 * tones * swell).astype(np.int16))
    assert {speech_dbfs(ulaw[at : at + 160]) for at in range(0, len(ulaw), 160)} == {SILENT_DBFS}
    assert level_of(decode(ulaw)) > -30


def test_no_moment_of_a_voice_is_taken_for_a_phone_that_rings() -> None:
    for clip in Speech.bundled():
        for at in range(0, len(clip.audio) - 159, 160):
            frame = clip.audio[at : at + 160]
            assert speech_dbfs(frame) == level_of(decode(frame)), (clip.name, at / 8)
