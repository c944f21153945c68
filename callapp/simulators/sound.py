"""What the pretend phone knows of sound: frames, when a voice is heard, and WAV files."""

from __future__ import annotations

import wave
from pathlib import Path

from callapp.simulators.ulaw import BYTES_PER_MS, ENERGIES, SAMPLE_RATE, SAMPLES

SILENCE = b"\xff"
"""One byte of mu-law silence: +0 of G.711."""

FRAME_MS = 20
FRAME_BYTES = FRAME_MS * BYTES_PER_MS

# Speech is normalised to about -18 dBFS and its weak consonants lie 20 dB below; line noise is
# softer than that.
_VOICED_ENERGY = (32768 * 10 ** (-40 / 20)) ** 2

_LOW_BYTES = bytes(sample & 0xFF for sample in SAMPLES)
_HIGH_BYTES = bytes(sample >> 8 & 0xFF for sample in SAMPLES)


def is_voiced(audio: bytes) -> bool:
    """Tell whether a piece of audio is loud enough to be somebody speaking."""
    if not audio.strip(SILENCE):
        return False
    return sum(map(ENERGIES.__getitem__, audio)) >= _VOICED_ENERGY * len(audio)


def voiced_bounds(audio: bytes) -> tuple[int, int] | None:
    """Return where the voice in a recording begins and ends, in ms, to a frame; None for silence."""
    voiced = [
        at // BYTES_PER_MS
        for at in range(0, len(audio), FRAME_BYTES)
        if is_voiced(audio[at : at + FRAME_BYTES])
    ]
    return (voiced[0], voiced[-1] + FRAME_MS) if voiced else None


def write_stereo_wav(path: Path, left: bytes, right: bytes) -> None:
    """Write two mu-law tracks as one 16-bit PCM file; the shorter one is filled with silence."""
    length = max(len(left), len(right))
    left = left.ljust(length, SILENCE)
    right = right.ljust(length, SILENCE)
    frames = bytearray(4 * length)
    frames[0::4] = left.translate(_LOW_BYTES)
    frames[1::4] = left.translate(_HIGH_BYTES)
    frames[2::4] = right.translate(_LOW_BYTES)
    frames[3::4] = right.translate(_HIGH_BYTES)
    # Opened here: a Wave_write that cannot open its file itself leaves a traceback behind (Python 3.11).
    with path.open("wb") as file, wave.open(file, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        wav.writeframes(frames)
