"""Key presses heard in audio: a Goertzel filter for each of the tones. Pure.

Tones and tolerances: ITU-T Q.23 and Q.24. A key counts when a tone of the rows and one of the
columns, and no other of them, carry most of the energy for 40 ms or longer; a pause of 40 ms, or
another key, ends it.
"""

from __future__ import annotations

import math

from callapp.simulators.sound import FRAME_MS
from callapp.simulators.ulaw import ENERGIES, SAMPLE_RATE, SAMPLES

ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")
_MIN_FRAMES = 40 // FRAME_MS
# What the two tones together have to carry of all that is heard, and one of them over the next best
# of its group. Speech fails at the first, a single tone at the second.
_SHARE = 0.8
_OVER_OTHERS = 6.0
# How much louder one of the two may be than the other (8 dB).
_TWIST = 6.3
_QUIETEST = (32768 * 10 ** (-45 / 20)) ** 2


class KeyListener:
    """Hears keys in a track that comes in frames of 20 ms."""

    def __init__(self) -> None:
        self._key = ""
        self._frames = 0
        self._pause_frames = _MIN_FRAMES
        self._told = ""

    def hear(self, frame: bytes) -> str:
        """Take a frame; return the key that it makes certain, empty for none."""
        key = key_in(frame)
        if not key:
            self._pause_frames += 1
            if self._pause_frames >= _MIN_FRAMES:
                self._told = ""
            self._key, self._frames = "", 0
            return ""
        self._pause_frames = 0
        self._frames = self._frames + 1 if key == self._key else 1
        self._key = key
        if self._frames < _MIN_FRAMES or key == self._told:
            return ""
        self._told = key
        return key


def key_in(frame: bytes) -> str:
    """The key whose tones these are, empty for anything else."""
    energy = sum(map(ENERGIES.__getitem__, frame))
    if energy < _QUIETEST * max(len(frame), 1):
        return ""
    samples = [SAMPLES[byte] for byte in frame]
    row, row_power = _strongest(samples, ROWS_HZ)
    column, column_power = _strongest(samples, COLUMNS_HZ)
    # A sine of amplitude a has the power (a n / 2)^2 here, and the energy a^2 n / 2.
    share = (row_power + column_power) * 2 / len(samples) / energy
    if row is None or column is None or share < _SHARE:
        return ""
    if max(row_power, column_power) > _TWIST * min(row_power, column_power):
        return ""
    return _KEYS[row][column]


def _strongest(samples: list[int], group_hz: tuple[int, ...]) -> tuple[int | None, float]:
    """Which tone of a group stands out, if one does, and the power of the strongest."""
    powers = [_goertzel(samples, hz) for hz in group_hz]
    best = max(range(len(powers)), key=powers.__getitem__)
    second = max(power for number, power in enumerate(powers) if number != best)
    return (best if powers[best] >= _OVER_OTHERS * second else None), powers[best]


def _goertzel(samples: list[int], hz: float) -> float:
    coefficient = 2 * math.cos(2 * math.pi * hz / SAMPLE_RATE)
    last = before = 0.0
    for sample in samples:
        last, before = sample + coefficient * last - before, last
    return last * last + before * before - coefficient * last * before
