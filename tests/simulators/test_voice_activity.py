"""Voice detection in audio time."""

from __future__ import annotations

from pathlib import Path

import pytest

from callapp.simulators.ulaw import silence, tone
from callapp.simulators.voice_activity import SpeechStarted, SpeechStopped, VoiceActivity

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "speech"
LOUD = tone(440, 1000)


def detector(
    threshold: float = 0.5, padding_ms: int = 300, silence_ms: int = 500, heard_ms: int = 0
) -> VoiceActivity:
    return VoiceActivity(threshold, padding_ms, silence_ms, heard_ms=heard_ms)


def test_speech_starts_at_its_onset_less_the_padding() -> None:
    assert detector().hear(silence(1000) + LOUD) == [SpeechStarted(700)]


def test_the_padding_does_not_reach_before_the_start_of_the_audio() -> None:
    assert detector().hear(silence(100) + LOUD) == [SpeechStarted(0)]


@pytest.mark.parametrize("silence_ms", [200, 500, 1000])
def test_speech_stops_when_the_silence_has_lasted(silence_ms: int) -> None:
    events = detector(silence_ms=silence_ms).hear(silence(400) + LOUD + silence(silence_ms))
    assert events == [SpeechStarted(100), SpeechStopped(1400 + silence_ms)]


def test_a_pause_shorter_than_the_silence_does_not_end_speech() -> None:
    events = detector().hear(LOUD + silence(460) + LOUD + silence(500))
    assert events == [SpeechStarted(0), SpeechStopped(2960)]


def test_the_padding_of_the_next_utterance_does_not_reach_into_the_one_before() -> None:
    events = detector(silence_ms=100).hear(LOUD + silence(160) + LOUD)
    assert events == [SpeechStarted(0), SpeechStopped(1100), SpeechStarted(1100)]


def test_a_click_is_not_speech() -> None:
    assert detector().hear(silence(500) + tone(440, 40) + silence(1000)) == []


def test_a_higher_threshold_wants_louder_speech() -> None:
    soft = tone(440, 500, level=0.04)  # about -31 dBFS
    assert detector(threshold=0.5).hear(soft) != []
    assert detector(threshold=0.8).hear(soft) == []


@pytest.mark.parametrize("chunk_bytes", [1, 7, 160, 333, 100_000])
def test_how_the_audio_is_cut_makes_no_difference(chunk_bytes: int) -> None:
    audio = silence(430) + LOUD + silence(700) + tone(300, 333) + silence(900)
    voice = detector()
    events = []
    for at in range(0, len(audio), chunk_bytes):
        events += voice.hear(audio[at : at + chunk_bytes])
    assert events == detector().hear(audio)
    assert len(events) == 4


def test_offsets_count_what_came_before() -> None:
    assert detector(heard_ms=5000).hear(silence(1000) + LOUD) == [SpeechStarted(5700)]


def test_forgotten_speech_is_found_anew_from_where_it_was_forgotten() -> None:
    voice = detector()
    assert voice.hear(silence(500) + LOUD) == [SpeechStarted(200)]
    voice.forget()
    assert not voice.speaking
    assert voice.hear(LOUD) == [SpeechStarted(1500)]


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not on this machine")
@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.ulaw")), ids=lambda path: path.stem)
def test_recorded_speech_is_heard_as_one_utterance(path: Path) -> None:
    """People's voices, at telephone levels; no pause in them lasts 800 ms."""
    audio = silence(1000) + path.read_bytes() + silence(1000)
    events = detector(silence_ms=800).hear(audio)
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped]
    start, stop = events
    assert isinstance(start, SpeechStarted)
    assert isinstance(stop, SpeechStopped)
    assert 700 <= start.start_ms <= 700 + 650
    assert stop.end_ms <= len(audio) // 8
    assert stop.end_ms - start.start_ms > 1000
