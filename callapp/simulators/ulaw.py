"""G.711 mu-law as the simulators need it: levels, tones, and the model's other two audio formats.

Source: ITU-T G.711. Tables are built once at import; nothing here is called for each sample of a
live call except through ``bytes.translate`` and ``map``, which run in C.
"""

from __future__ import annotations

import math
import struct
import zlib
from functools import cache, lru_cache

SAMPLE_RATE = 8000
BYTES_PER_MS = 8
SILENCE_BYTE = 0xFF
_SYLLABLE_MS = 160
_GAP_MS = 30
_BIAS = 0x84
_CLIP = 32635


def _decode(code: int) -> int:
    code = ~code & 0xFF
    magnitude = ((((code & 0x0F) << 3) + _BIAS) << ((code >> 4) & 0x07)) - _BIAS
    return -magnitude if code & 0x80 else magnitude


@cache
def _encode(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _CLIP) + _BIAS
    exponent = magnitude.bit_length() - 8
    return ~(sign | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0F)) & 0xFF


SAMPLES: tuple[int, ...] = tuple(_decode(code) for code in range(256))
"""The 16-bit sample of each mu-law byte."""

ENERGIES: tuple[int, ...] = tuple(sample * sample for sample in SAMPLES)
"""The square of each byte's sample: a chunk's energy is one ``sum`` over a table look-up."""


def level_dbfs(chunk: bytes) -> float:
    """The RMS level of a chunk in dB below full scale; silence is about -100."""
    if not chunk:
        return -100.0
    mean = sum(map(ENERGIES.__getitem__, chunk)) / len(chunk)
    return 10 * math.log10(mean / 32768**2 + 1e-10)


def silence(duration_ms: int) -> bytes:
    return bytes([SILENCE_BYTE]) * (duration_ms * BYTES_PER_MS)


def tone(hz: float, duration_ms: int, level: float = 0.3) -> bytes:
    """A sine wave; ``level`` is its amplitude, 0–1 of full scale."""
    step = 2 * math.pi * hz / SAMPLE_RATE
    amplitude = level * 32767
    return bytes(_encode(round(amplitude * math.sin(step * n))) for n in range(duration_ms * BYTES_PER_MS))


@lru_cache(maxsize=256)
def babble(seed: str, duration_ms: int) -> bytes:
    """A stand-in for speech: a tone a syllable, at pitches that follow from ``seed``.

    Two stand-ins can so be told apart, by ear and by their bytes.
    """
    audio = bytearray()
    for index in range(-(-duration_ms // _SYLLABLE_MS)):
        hz = 180 + zlib.crc32(f"{index} {seed}".encode()) % 400
        audio += tone(hz, _SYLLABLE_MS - _GAP_MS, 0.2) + silence(_GAP_MS)
    return bytes(audio[: duration_ms * BYTES_PER_MS])


@cache
def _pcm24_table() -> tuple[bytes, ...]:
    """Each mu-law byte as three equal 16-bit little-endian samples: 8 kHz becomes 24 kHz."""
    return tuple(struct.pack("<h", sample) * 3 for sample in SAMPLES)


@cache
def _alaw_tables() -> tuple[bytes, bytes]:
    """Translations mu-law to A-law and A-law to mu-law."""
    to_alaw = bytes(_alaw_encode(sample) for sample in SAMPLES)
    to_ulaw = bytes(_encode(_alaw_decode(code)) for code in range(256))
    return to_alaw, to_ulaw


def _alaw_encode(sample: int) -> int:
    mask = 0xD5 if sample >= 0 else 0x55
    magnitude = min(abs(sample), _CLIP) >> 4
    exponent = max(magnitude.bit_length() - 4, 1)
    low = magnitude & 0x0F if magnitude < 16 else (magnitude >> (exponent - 1)) & 0x0F
    high = 0 if magnitude < 16 else exponent
    return ((high << 4) | low) ^ mask


def _alaw_decode(code: int) -> int:
    code ^= 0x55
    exponent, low = (code >> 4) & 0x07, code & 0x0F
    magnitude = (low << 4) + 8 if exponent == 0 else ((low << 4) + 0x108) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


def from_ulaw(audio: bytes, audio_format: str) -> bytes:
    """Mu-law as ``audio/pcmu``, ``audio/pcma`` or ``audio/pcm`` (24 kHz, 16 bit)."""
    if audio_format == "audio/pcm":
        return b"".join(map(_pcm24_table().__getitem__, audio))
    return audio.translate(_alaw_tables()[0]) if audio_format == "audio/pcma" else audio


def to_ulaw(audio: bytes, audio_format: str) -> bytes:
    """The reverse of ``from_ulaw``; an incomplete sample at the end of PCM is left out."""
    if audio_format == "audio/pcm":
        whole = memoryview(audio)[: len(audio) // 6 * 6]
        return bytes(_encode(sample) for (sample, _, _) in struct.iter_unpack("<hhh", whole))
    return audio.translate(_alaw_tables()[1]) if audio_format == "audio/pcma" else audio
