"""Mu-law and samples, held against the tables of the simulators, which share no code with these."""

from __future__ import annotations

import numpy as np

from callapp.audio.g711 import SILENCE, decode, encode
from callapp.simulators import ulaw


def test_every_byte_stands_for_the_sample_that_g711_says() -> None:
    assert decode(bytes(range(256))).tolist() == list(ulaw.SAMPLES)


def test_every_sample_becomes_the_nearest_byte() -> None:
    samples = np.arange(-32_768, 32_768).astype(np.int16)
    assert encode(samples) == bytes(ulaw._encode(int(sample)) for sample in samples)


def test_what_was_decoded_is_encoded_to_the_same_byte() -> None:
    """All but the one of negative nothing, which is nothing."""
    every = bytes(range(256))
    assert encode(decode(every)) == every.replace(b"\x7f", SILENCE)
