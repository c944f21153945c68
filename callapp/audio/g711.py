"""G.711 mu-law and 16-bit samples, by table. Source: ITU-T G.711."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]
"""16-bit samples, mono; at 8 kHz unless the name says otherwise."""

RATE_HZ = 8000
SAMPLES_PER_MS = 8
SILENCE = b"\xff"

_BIAS = 0x84
_CLIP = 32_635


def _decoding_table() -> Samples:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + _BIAS) << (code >> 4 & 7)) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encoding_table() -> NDArray[np.uint8]:
    """Indexed by a sample's bits taken as a number without a sign."""
    sample = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum(np.abs(sample), _CLIP) + _BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    code = np.where(sample < 0, 0x80, 0) | segment << 4 | magnitude >> (segment + 3) & 0x0F
    return np.asarray(~code & 0xFF, np.uint8)


_SAMPLES = _decoding_table()
_CODES = _encoding_table()


def decode(ulaw: bytes) -> Samples:
    """The samples of some mu-law."""
    return _SAMPLES[np.frombuffer(ulaw, np.uint8)]


def encode(samples: Samples) -> bytes:
    """Samples as mu-law."""
    return _CODES[samples.view(np.uint16)].tobytes()
