"""Between a phone's 8 kHz and OpenAI's 24 kHz, chunk by chunk, without a seam.

The filters are libsoxr's, in its mode for rates that may vary: that one gives out a chunk for every
chunk taken, a constant 30 ms late on the way up and 25 ms on the way down, where the ordinary one
works in blocks and keeps up to 75 ms. On the way up all passes to 3.6 kHz (3.9 kHz is 35 dB down), and
images stay below -90 dB; on the way down all to 3.9 kHz, and from 4.1 kHz on nothing is left that could
be folded back into a phone's band. All of this was measured; the tests measure it again.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from callapp.audio.g711 import RATE_HZ, Samples

PCM_RATE_HZ = 24_000
PCM_BYTES_PER_MS = 48
_SAMPLE_BYTES = 2


class Upsampler:
    """One direction of one stream: 8 kHz samples in, PCM out (16 bit little-endian, 24 kHz, mono)."""

    def __init__(self) -> None:
        self._stream = soxr.ResampleStream(RATE_HZ, PCM_RATE_HZ, 1, dtype="float32", vr=True)

    def take(self, samples: Samples) -> bytes:
        """Take the next samples; return the PCM that is known by now."""
        return _whole(self._stream.resample_chunk(samples.astype(np.float32))).tobytes()

    def flush(self) -> bytes:
        """Return what was held back. Nothing can be taken afterwards."""
        return _whole(self._stream.resample_chunk(np.zeros(0, np.float32), last=True)).tobytes()


class Downsampler:
    """One direction of one stream: PCM in, in pieces of any length, 8 kHz samples out."""

    def __init__(self) -> None:
        self._stream = soxr.ResampleStream(PCM_RATE_HZ, RATE_HZ, 1, dtype="float32", vr=True)
        self._odd = b""  # the first half of a sample that was cut in two

    def take(self, pcm: bytes) -> Samples:
        """Take the next PCM; return the samples that are known by now."""
        pcm = self._odd + pcm
        end = len(pcm) // _SAMPLE_BYTES * _SAMPLE_BYTES
        self._odd = pcm[end:]
        return _whole(self._stream.resample_chunk(np.frombuffer(pcm[:end], "<i2").astype(np.float32)))

    def flush(self) -> Samples:
        """Return what was held back. Nothing can be taken afterwards."""
        return _whole(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))


def _whole(samples: NDArray[np.float32]) -> Samples:
    """Round to whole numbers; what a filter's overshoot makes too loud is as loud as can be."""
    return np.clip(np.rint(samples), -32_768, 32_767).astype("<i2")
