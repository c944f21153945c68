"""Recordings are recognised by their bytes, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from callapp.simulators.clips import Clip
from callapp.simulators.speech import Speech, babble_clip, tone_clip, words_of
from callapp.simulators.ulaw import silence, tone

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "speech"
ORDER = tone_clip("order", "I would like to order a pizza", 437, 2000)
BYE = tone_clip("bye", "さようなら", 523, 1000)


def transcript(speech: Speech, audio: bytes) -> str:
    return words_of(speech.recognise(audio), audio)


def test_a_clip_is_recognised_in_what_surrounds_it() -> None:
    assert transcript(Speech([ORDER, BYE]), silence(300) + ORDER.audio + silence(500)) == ORDER.text


def test_clips_are_given_in_the_order_they_were_spoken() -> None:
    heard = Speech([ORDER, BYE]).recognise(BYE.audio + silence(200) + ORDER.audio)
    assert [part.clip.name for part in heard] == ["bye", "order"]


def test_unknown_speech_is_given_as_its_length() -> None:
    assert transcript(Speech([ORDER]), tone(700, 2300)) == "(speech, 2.3 s)"


def test_silence_is_no_words() -> None:
    assert transcript(Speech([ORDER]), silence(2000)) == ""


def test_half_a_clip_is_about_half_its_words() -> None:
    clip = babble_clip("long", "one two three four five six seven eight", 2000)
    heard = transcript(Speech([clip]), clip.audio[: len(clip.audio) // 2])
    assert heard.startswith("one two three")
    assert heard.endswith(" …")
    assert "eight" not in heard


def test_the_end_of_a_clip_in_a_language_without_spaces() -> None:
    clip = babble_clip("ja", "もしもしこんにちは", 2000)
    heard = transcript(Speech([clip]), clip.audio[len(clip.audio) // 2 :])
    assert heard.startswith("… ")
    assert heard.endswith("にちは")


def test_what_was_dropped_on_the_way_does_not_hide_a_clip() -> None:
    clip = babble_clip("x", "some words", 3000)
    damaged = clip.audio[:4000] + silence(40) + clip.audio[4640:]
    assert transcript(Speech([clip]), damaged) == "some words"


def test_a_name_is_looked_up() -> None:
    speech = Speech([ORDER])
    assert speech.get("order") is ORDER
    assert speech.get("nothing") is None


def test_bundled_clips_are_told_apart() -> None:
    speech = Speech.bundled()
    assert list(speech)
    for clip in speech:
        heard = speech.recognise(silence(200) + clip.audio + silence(200))
        assert [part.clip.name for part in heard] == [clip.name]
        assert heard[0].text == clip.text


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not on this machine")
def test_recorded_speech_is_told_apart() -> None:
    clips = [Clip(path.stem, path.read_bytes(), text=path.stem) for path in sorted(RECORDINGS.glob("*.ulaw"))]
    speech = Speech(clips)
    for clip in clips:
        assert transcript(speech, silence(300) + clip.audio) == clip.name
