"""G.711 tables, tones and formats of the pretend model."""

from __future__ import annotations

import pytest

from callapp.simulators import ulaw


def test_mu_law_bytes_decode_as_the_standard_says() -> None:
    """The corner values of ITU-T G.711, table 2a, scaled to 16 bits."""
    assert ulaw.SAMPLES[0xFF] == 0
    assert ulaw.SAMPLES[0x7F] == 0
    assert ulaw.SAMPLES[0x80] == 32124
    assert ulaw.SAMPLES[0x00] == -32124
    assert ulaw.SAMPLES[0xFE] == 8


def test_every_byte_survives_a_round_trip_through_its_sample() -> None:
    for code in range(256):
        assert ulaw.SAMPLES[ulaw._encode(ulaw.SAMPLES[code])] == ulaw.SAMPLES[code]


def test_a_tone_is_as_loud_and_as_long_as_asked() -> None:
    tone = ulaw.tone(440, 250, level=0.3)
    assert len(tone) == 250 * ulaw.BYTES_PER_MS
    assert ulaw.level_dbfs(tone) == pytest.approx(-13.5, abs=0.3)  # 0.3 of full scale, RMS


def test_silence_has_no_level() -> None:
    assert ulaw.level_dbfs(ulaw.silence(20)) == -100
    assert ulaw.level_dbfs(b"") == -100


def test_babble_differs_with_its_seed_and_not_from_call_to_call() -> None:
    assert ulaw.babble("one", 500) == ulaw.babble("one", 500)
    assert ulaw.babble("one", 500) != ulaw.babble("two", 500)
    assert len(ulaw.babble("one", 500)) == 4000


@pytest.mark.parametrize(
    ("audio_format", "bytes_per_ms"), [("audio/pcmu", 8), ("audio/pcma", 8), ("audio/pcm", 48)]
)
def test_formats_convert_there_and_back(audio_format: str, bytes_per_ms: int) -> None:
    """A-law is coarser than mu-law near silence, so samples are compared within its step."""
    tone = ulaw.tone(440, 100)
    there = ulaw.from_ulaw(tone, audio_format)
    assert len(there) == 100 * bytes_per_ms
    back = ulaw.to_ulaw(there, audio_format)
    for before, after in zip(tone, back, strict=True):
        assert ulaw.SAMPLES[after] == pytest.approx(ulaw.SAMPLES[before], rel=0.07, abs=20)


def test_an_incomplete_pcm_sample_is_left_out() -> None:
    assert ulaw.to_ulaw(b"\x00" * 13, "audio/pcm") == b"\xff\xff"


def test_a_law_silence_is_its_own() -> None:
    assert ulaw.from_ulaw(b"\xff", "audio/pcma") == b"\xd5"
