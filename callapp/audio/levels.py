"""How loud a sound is, and whether it can be speech at all."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from callapp.audio.g711 import RATE_HZ, Samples, decode

SILENT_DBFS = -90.0
_FULL_SCALE = 32_768
# Every country's ringing tones lie between 350 and 500 Hz, a little blurred by how short a frame is; a voice
# has more to it. Of recordings of people no frame had more than 0.97 of its power in there, of ringing tones
# none less than 0.999.
_RINGING_HZ = (300, 600)
_RINGING_SHARE = 0.985
# What is softer is no ringing tone.
_SOFTEST_RINGING_DBFS = -50.0


def level_of(sound: Samples) -> float:
    """The level of a sound, in dB of full scale; `SILENT_DBFS` for silence, and never less."""
    samples = sound.astype(np.float32)
    power = float(np.dot(samples, samples)) / max(1, len(samples)) / _FULL_SCALE**2
    return max(SILENT_DBFS, 10 * float(np.log10(power))) if power > 0 else SILENT_DBFS


def speech_dbfs(ulaw: bytes) -> float:
    """The level of some 20 ms in which somebody may speak: silent, if it is a phone that rings."""
    sound = decode(ulaw)
    level = level_of(sound)
    return SILENT_DBFS if level > _SOFTEST_RINGING_DBFS and _rings(sound) else level


def _rings(sound: Samples) -> bool:
    window, band = _spectral(len(sound))
    power = np.abs(np.fft.rfft(sound * window)) ** 2
    return float(power[band].sum()) > _RINGING_SHARE * float(power[1:].sum())


@cache
def _spectral(samples: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A window for so many samples, and where in their spectrum ringing tones lie."""
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    return np.hanning(samples + 2)[1:-1], (hz >= _RINGING_HZ[0]) & (hz <= _RINGING_HZ[1])
