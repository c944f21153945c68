"""Key presses as sound: the dual tones of ITU-T Q.23, in mu-law, for a line that takes no other ones."""

from __future__ import annotations

import math
from base64 import b64encode
from functools import cache

ON_MS = 100
OFF_MS = 80
WAIT_MS = 500

_RATE = 8_000
_ROWS_HZ = (697, 770, 852, 941)
_COLUMNS_HZ = (1209, 1336, 1477)
_KEYS = ("123", "456", "789", "*0#")
# Of each tone, below the overload point of G.711: together they stay clear of it.
_AMPLITUDE = 8_000
_BIAS = 0x84


def tones(digits: str) -> bytes:
    """The sound of these keys, ``0-9 * #``, and ``w`` for half a second of silence: base64 of mu-law."""
    return b64encode(b"".join(_sound(digit) for digit in digits))


@cache
def _sound(digit: str) -> bytes:
    if digit == "w":
        return _silence(WAIT_MS)
    row = next(number for number, keys in enumerate(_KEYS) if digit in keys)
    steps = [2 * math.pi * hz / _RATE for hz in (_ROWS_HZ[row], _COLUMNS_HZ[_KEYS[row].index(digit)])]
    count = ON_MS * _RATE // 1000
    samples = (_AMPLITUDE * sum(math.sin(step * n) for step in steps) for n in range(count))
    return bytes(_ulaw(round(sample)) for sample in samples) + _silence(OFF_MS)


def _silence(ms: int) -> bytes:
    return b"\xff" * (ms * _RATE // 1000)


def _ulaw(sample: int) -> int:
    """One sample in G.711 mu-law: sign, the place of the highest bit, and the four bits below it."""
    magnitude = abs(sample) + _BIAS
    segment = magnitude.bit_length() - 8
    return ~((sample < 0) << 7 | segment << 4 | (magnitude >> segment + 3) & 0x0F) & 0xFF
