"""An ear for speech that was resampled on its way, where no byte is what it was.

A recording is known by its shape: laid over what was heard, it must fit almost everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from callapp.simulators.clips import Clip
from callapp.simulators.sound import voiced_bounds
from callapp.simulators.speech import Speech
from callapp.simulators.ulaw import BYTES_PER_MS, SAMPLES, level_dbfs

_FITS = 0.7
"""Correlation from which on it is the same recording: another one reaches 0.2, filtering leaves 0.95."""
_SILENT_DBFS = -50
_LINEAR = np.array(SAMPLES, np.float64)


@dataclass(frozen=True)
class Recognised:
    """A recording that was heard whole, and the byte at which its voice began."""

    clip: Clip
    at: int


def recognise(speech: Speech, heard: bytes) -> list[Recognised]:
    """The recordings of a library in some mu-law, in the order they were spoken."""
    found = [Recognised(clip, at) for clip in speech if (at := _place_of(clip, heard)) is not None]
    return sorted(found, key=lambda one: one.at)


def words_of(speech: Speech, heard: bytes) -> str:
    """What was said; speech of nobody we know is given as its length, silence as nothing."""
    found = recognise(speech, heard)
    if found:
        return " ".join(one.clip.text for one in found)
    if level_dbfs(heard) < _SILENT_DBFS:
        return ""
    return f"(speech, {len(heard) / BYTES_PER_MS / 1000:.1f} s)"


def _place_of(clip: Clip, heard: bytes) -> int | None:
    voice = _voice(clip.audio)
    signal = _LINEAR[np.frombuffer(heard, np.uint8)]
    if not len(voice) or len(signal) < len(voice):
        return None
    size = 1 << (len(signal) + len(voice)).bit_length()
    product = np.fft.irfft(np.fft.rfft(signal, size) * np.conj(np.fft.rfft(voice, size)), size)
    lags = len(signal) - len(voice) + 1
    sums = np.concatenate([[0.0], np.cumsum(signal**2)])
    energy = sums[len(voice) :] - sums[:lags]
    fit = product[:lags] / np.sqrt(np.maximum(energy, 1.0) * max((voice**2).sum(), 1.0))
    best = int(np.argmax(fit))
    return best if fit[best] >= _FITS else None


@lru_cache(maxsize=256)
def _voice(audio: bytes) -> NDArray[np.float64]:
    """The samples of a recording without the silence around it."""
    begin_ms, end_ms = voiced_bounds(audio) or (0, 0)
    return _LINEAR[np.frombuffer(audio[begin_ms * BYTES_PER_MS : end_ms * BYTES_PER_MS], np.uint8)]
