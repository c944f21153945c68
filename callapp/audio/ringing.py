"""What somebody hears while another phone rings."""

from __future__ import annotations

import numpy as np

from callapp.audio.g711 import RATE_HZ, Samples, encode

_TONE_HZ = 400  # Japan's; every country's lies near it
_LEVEL = 1500  # -27 dBFS
_TONE_S, _CADENCE_S = 1, 3


def _cadence() -> Samples:
    time_s = np.arange(_CADENCE_S * RATE_HZ) / RATE_HZ
    tone = _LEVEL * np.sin(2 * np.pi * _TONE_HZ * time_s)
    # It swells and fades in 10 ms, and so does not click.
    envelope = np.clip(np.minimum(time_s, _TONE_S - time_s) / 0.01, 0, 1)
    return np.asarray(np.rint(tone * envelope), np.int16)


class Ringing:
    """A ringing tone that goes on for as long as it is asked for."""

    def __init__(self) -> None:
        self._ulaw = encode(_cadence())
        self._at = 0

    def frame(self, samples: int) -> bytes:
        """The next so many samples of it, as mu-law."""
        again = self._ulaw * (samples // len(self._ulaw) + 2)
        frame = again[self._at : self._at + samples]
        self._at = (self._at + samples) % len(self._ulaw)
        return frame
