"""The way between 8 and 24 kHz, measured: what passes, what does not, and that no seam is left."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from callapp.audio.g711 import Samples
from callapp.audio.resampling import PCM_BYTES_PER_MS, Downsampler, Upsampler

SECONDS = 2
AMPLITUDE = 10_000


def tone(hz: float, rate_hz: int) -> Samples:
    time_s = np.arange(SECONDS * rate_hz) / rate_hz
    return np.rint(AMPLITUDE * np.sin(2 * np.pi * hz * time_s)).astype(np.int16)


def noise(samples: int) -> Samples:
    return np.random.default_rng(0).integers(-9000, 9000, samples).astype(np.int16)


def spectrum_db(samples: NDArray[np.int16], rate_hz: int) -> NDArray[np.float64]:
    """Level of each hertz, 0 dB for the tone as it went in; the edges, where it begins, are left out."""
    middle = samples[rate_hz // 2 : rate_hz // 2 + rate_hz].astype(float)
    window = np.hanning(len(middle))
    return 20 * np.log10(np.abs(np.fft.rfft(middle * window)) / (AMPLITUDE * window.sum() / 2) + 1e-9)


def up(samples: Samples) -> NDArray[np.int16]:
    upsampler = Upsampler()
    return np.frombuffer(upsampler.take(samples) + upsampler.flush(), "<i2")


def down(pcm: NDArray[np.int16]) -> Samples:
    downsampler = Downsampler()
    return np.concatenate([downsampler.take(pcm.tobytes()), downsampler.flush()])


def others(levels: NDArray[np.float64], hz: int) -> NDArray[np.float64]:
    """The levels of all that is not the tone."""
    return np.delete(levels, np.arange(hz - 5, hz + 6))


@pytest.mark.parametrize("hz", [300, 1000, 3400, 3600])
def test_a_tone_goes_up_as_loud_as_it_was(hz: int) -> None:
    """A phone's voice lies between 300 and 3,400 Hz."""
    assert abs(spectrum_db(up(tone(hz, 8000)), 24_000)[hz]) < 0.1


@pytest.mark.parametrize("hz", [1000, 3400, 3900])
def test_a_tone_goes_up_without_its_image(hz: int) -> None:
    """The image of 3.9 kHz stands at 4.1: repeated samples, or a slack filter, would leave it there."""
    assert others(spectrum_db(up(tone(hz, 8000)), 24_000), hz).max() < -85


@pytest.mark.parametrize("hz", [1000, 3900])
def test_a_tone_goes_down_as_loud_as_it_was(hz: int) -> None:
    levels = spectrum_db(down(tone(hz, 24_000)), 8000)
    assert abs(levels[hz]) < 0.1
    assert others(levels, hz).max() < -80


@pytest.mark.parametrize("hz", [4100, 5000, 7000, 11_000])
def test_what_a_phone_cannot_carry_is_not_folded_into_what_it_can(hz: int) -> None:
    """5 kHz, taken by every third sample, would be heard as 3."""
    assert spectrum_db(down(tone(hz, 24_000)), 8000).max() < -85


def test_in_chunks_it_is_what_it_is_in_one_piece() -> None:
    """A filter that begins anew with each chunk clicks fifty times a second."""
    samples = noise(8000)
    upsampler = Upsampler()
    chunks = [upsampler.take(samples[at : at + 160]) for at in range(0, 8000, 160)]
    pcm = b"".join([*chunks, upsampler.flush()])
    assert pcm == up(samples).tobytes()
    assert len(pcm) == 1000 * PCM_BYTES_PER_MS
    downsampler = Downsampler()
    # A length that cuts samples in two.
    pieces = [downsampler.take(pcm[at : at + 961]) for at in range(0, len(pcm), 961)]
    assert np.array_equal(np.concatenate([*pieces, downsampler.flush()]), down(np.frombuffer(pcm, "<i2")))


def test_each_chunk_comes_out_a_constant_while_after_it_went_in() -> None:
    """30 ms on the way up, 25 on the way down: all the delay that resampling adds."""
    upsampler, downsampler = Upsampler(), Downsampler()
    silence = np.zeros(160, np.int16)
    went_up = [len(upsampler.take(silence)) for _ in range(50)]
    assert set(went_up[2:]) == {20 * PCM_BYTES_PER_MS}
    assert 1000 - sum(went_up) / PCM_BYTES_PER_MS == 30
    came_down = [len(downsampler.take(bytes(200 * PCM_BYTES_PER_MS))) for _ in range(5)]
    assert 1000 - sum(came_down) / 8 == 25


def test_what_overshoots_is_as_loud_as_can_be_and_does_not_wrap() -> None:
    """A full square wave through any filter goes beyond full scale at its corners."""
    square = np.tile(np.repeat(np.array([32_767, -32_768], np.int16), 20), 200)
    risen = up(square).astype(int)
    assert risen.max() == 32_767
    assert np.abs(np.diff(risen)).max() < 40_000
