"""An ear for speech that was resampled on its way, where no byte is what it was.

A recording is known by its shape: piece by piece it is laid over what was heard, and most have to fit.
By pieces, because a phone that ran out of sound for a moment has torn what it played.
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

_FITS = 0.8
"""Correlation from which on a piece is the same: filtering leaves 0.95."""
_PIECE_BYTES = 240 * BYTES_PER_MS
_WHOLE = 0.6
"""A recording of which this share of pieces fits was heard."""
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
    """Where the voice of a recording begins in what was heard, if it does."""
    signal = _LINEAR[np.frombuffer(heard, np.uint8)]
    sums = np.concatenate([[0.0], np.cumsum(signal**2)])
    size = 1 << (len(signal) + _PIECE_BYTES).bit_length()
    spectrum = np.fft.rfft(signal, size)
    pieces = _pieces(clip.audio)
    places: list[int] = []
    for number, piece in enumerate(pieces):
        lags = len(signal) - len(piece) + 1
        if lags < 1:
            continue
        product = np.fft.irfft(spectrum * np.conj(np.fft.rfft(piece, size)), size)[:lags]
        energy = np.maximum(sums[len(piece) :] - sums[:lags], 1.0)
        fit = product / np.sqrt(energy * (piece**2).sum())
        best = int(np.argmax(fit))
        if fit[best] >= _FITS and (not places or best > places[-1]):
            places.append(best if places else best - number * _PIECE_BYTES)
    return max(0, places[0]) if pieces and len(places) >= _WHOLE * len(pieces) else None


@lru_cache(maxsize=256)
def _pieces(audio: bytes) -> tuple[NDArray[np.float64], ...]:
    """The voice of a recording, without the silence around it, in pieces of the same length."""
    begin_ms, end_ms = voiced_bounds(audio) or (0, 0)
    voice = _LINEAR[np.frombuffer(audio[begin_ms * BYTES_PER_MS : end_ms * BYTES_PER_MS], np.uint8)]
    pieces = [voice[at : at + _PIECE_BYTES] for at in range(0, len(voice), _PIECE_BYTES)]
    return tuple(piece for piece in pieces if len(piece) >= _PIECE_BYTES // 2 and piece.any())
