"""An ear for speech that was resampled on its way, where no byte is what it was.

A recording is known by its shape: piece by piece it is laid over what was heard, and most have to fit.
By pieces, because a phone that ran out of sound for a moment has torn what it played.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from callapp.simulators.clips import Clip
from callapp.simulators.sound import voiced_bounds
from callapp.simulators.speech import Heard, Speech
from callapp.simulators.ulaw import BYTES_PER_MS, SAMPLES

_FITS = 0.8
"""Correlation from which on a piece is the same: filtering leaves 0.95."""
_PIECE_BYTES = 240 * BYTES_PER_MS
_BLOCK = 8192
_BLOCK_STEP = _BLOCK - _PIECE_BYTES + 1
"""At so many places of a block a whole piece has room."""
_WHOLE = 0.6
"""A recording of which this share of pieces fits was heard."""
_LINEAR = np.array(SAMPLES, np.float64)


def recognise(speech: Speech, heard: bytes) -> list[Heard]:
    """The recordings of a library in some mu-law, each whole and from its voice on, in the order spoken."""
    sound = _Sound(heard)
    found = [Heard(clip, at, clip.text) for clip in speech if (at := sound.place_of(clip)) is not None]
    return sorted(found, key=lambda one: one.at)


class _Sound:
    """What was heard, ready to be searched.

    It is searched block by block: transforms that fit into the processor's caches are many times as fast as
    one of it all.
    """

    def __init__(self, heard: bytes) -> None:
        signal = _LINEAR[np.frombuffer(heard, np.uint8)]
        self._size = len(signal)
        self._sums = np.concatenate([[0.0], np.cumsum(signal**2)])
        blocks = -(-self._size // _BLOCK_STEP)
        padded = np.concatenate([signal, np.zeros(blocks * _BLOCK_STEP + _BLOCK - self._size)])
        starts = np.arange(blocks)[:, None] * _BLOCK_STEP
        self._spectra = np.fft.rfft(padded[starts + np.arange(_BLOCK)])
        self._scales: dict[int, NDArray[np.float64]] = {}

    def place_of(self, clip: Clip) -> int | None:
        """Where the voice of a recording begins, if it is there."""
        pieces = _pieces(clip.audio)
        places: list[int] = []
        for number, piece in enumerate(pieces):
            fit = self._fit(piece)
            if not len(fit):
                continue
            best = int(np.argmax(fit))
            if fit[best] >= _FITS and (not places or best > places[-1]):
                places.append(best if places else best - number * _PIECE_BYTES)
        return max(0, places[0]) if pieces and len(places) >= _WHOLE * len(pieces) else None

    def _fit(self, piece: NDArray[np.float64]) -> NDArray[np.float64]:
        """How well a piece fits at each place where there is room for it: its correlation, 1 at most."""
        lags = max(0, self._size - len(piece) + 1)
        blocks = np.fft.irfft(self._spectra * np.conj(np.fft.rfft(piece, _BLOCK)), _BLOCK)
        products = blocks[:, :_BLOCK_STEP].ravel()[:lags]
        fit: NDArray[np.float64] = products * self._scale(len(piece)) / np.sqrt((piece**2).sum())
        return fit

    def _scale(self, length: int) -> NDArray[np.float64]:
        """By what a product is to be multiplied at each place, for pieces of a length."""
        if length not in self._scales:
            lags = max(0, self._size - length + 1)
            energy = np.maximum(self._sums[length:] - self._sums[:lags], 1.0)
            self._scales[length] = 1 / np.sqrt(energy)
        return self._scales[length]


@lru_cache(maxsize=256)
def _pieces(audio: bytes) -> tuple[NDArray[np.float64], ...]:
    """The voice of a recording, without the silence around it, in pieces of the same length."""
    begin_ms, end_ms = voiced_bounds(audio) or (0, 0)
    voice = _LINEAR[np.frombuffer(audio[begin_ms * BYTES_PER_MS : end_ms * BYTES_PER_MS], np.uint8)]
    pieces = [voice[at : at + _PIECE_BYTES] for at in range(0, len(voice), _PIECE_BYTES)]
    return tuple(piece for piece in pieces if len(piece) >= _PIECE_BYTES // 2 and piece.any())
