"""How the pretend model listens: every byte, in audio time, and honest about what it understood."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callapp.simulators.clips import Clip
from callapp.simulators.model import PretendModel
from callapp.simulators.model_hearing import Hearing
from callapp.simulators.model_script import INSTANT, Ask, Say, Script
from callapp.simulators.speech import Speech, tone_clip
from callapp.simulators.ulaw import from_ulaw, silence, tone
from callapp.simulators.voice_activity import SpeechStarted, SpeechStopped
from tests.simulators.realtime_client import MODEL, PCMU, Client

RECORDINGS = Path(__file__).parents[3] / "shared" / "data" / "speech"
HELLO = tone_clip("hello", "hello, who is there", 437, 1000)
BYE = tone_clip("bye", "goodbye then", 523, 1000)


def hearing(**fields: Any) -> dict[str, Any]:
    """A session of mu-law with these settings of its input."""
    sides = PCMU["audio"]
    return {"audio": {**sides, "input": {**sides["input"], **fields}}}


def vad(**fields: Any) -> dict[str, Any]:
    return {"type": "server_vad", "silence_duration_ms": 500, **fields}


def detection(**fields: Any) -> dict[str, Any]:
    return hearing(turn_detection=vad(**fields))


def manual() -> dict[str, Any]:
    return hearing(turn_detection=None)


@pytest.fixture
def model() -> Iterator[PretendModel]:
    script = Script(otherwise=Say("I see."))
    with PretendModel(script, pace=INSTANT, speech=Speech([HELLO, BYE]), transcript_after_ms=0) as model:
        yield model


@pytest.fixture
def client(model: PretendModel) -> Iterator[Client]:
    with Client(model.url + MODEL) as client:
        client.next("session.created")
        yield client


def test_a_turn_is_heard_in_the_documented_order(client: Client) -> None:
    client.update(**detection())
    before = len(client.events)
    client.speak(silence(1000) + HELLO.audio + silence(600))
    client.next("response.created")
    assert client.types()[before:] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    started, stopped, committed, added, done, _ = client.events[before:]
    assert started["audio_start_ms"] == 700
    assert stopped["audio_end_ms"] == 2500
    assert started["item_id"] == stopped["item_id"] == committed["item_id"] == added["item"]["id"]
    assert added["item"]["role"] == "user"
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert done["item"]["status"] == "completed"
    assert committed["previous_item_id"] is None


def test_offsets_are_of_the_audio_appended_and_not_of_the_clock(client: Client) -> None:
    """Ten minutes of silence sent at once are still ten minutes of audio."""
    client.update(**detection())
    client.append(silence(600_000))
    client.append(HELLO.audio + silence(600))
    assert client.next("input_audio_buffer.speech_started")["audio_start_ms"] == 600_000 - 300
    assert client.next("input_audio_buffer.speech_stopped")["audio_end_ms"] == 601_500


@pytest.mark.parametrize("chunk_bytes", [37, 160, 4000, 1_000_000])
def test_every_byte_is_recorded_once_and_in_order(
    client: Client, model: PretendModel, chunk_bytes: int
) -> None:
    audio = HELLO.audio + bytes(range(256)) * 20 + silence(700) + BYE.audio
    client.update(**detection(create_response=False))
    client.speak(audio, chunk_bytes)
    client.send("input_audio_buffer.clear")
    client.next("input_audio_buffer.cleared")
    session = model.wait_for_session()
    assert session.heard_audio == audio
    assert len(session.received_events("input_audio_buffer.append")) == -(-len(audio) // chunk_bytes)


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not on this machine")
def test_recorded_voices_are_heard_and_recognised() -> None:
    names = ("goforward", "librivox-0880", "digits-2934z")
    clips = [Clip(name, (RECORDINGS / f"{name}.ulaw").read_bytes(), text=name) for name in names]
    with (
        PretendModel(pace=INSTANT, speech=Speech(clips), transcript_after_ms=0) as model,
        Client(model.url + MODEL) as client,
    ):
        turns = vad(silence_duration_ms=700)
        client.update(**hearing(turn_detection=turns, transcription={"model": "gpt-transcribe"}))
        said = b"".join(silence(500) + clip.audio + silence(800) for clip in clips)
        client.speak(said)
        for name in names:
            done = client.next("conversation.item.input_audio_transcription.completed")
            assert done["transcript"] == name
        session = model.wait_for_session()
        assert session.heard_audio == said
        assert session.violations == []


@pytest.mark.parametrize("audio", ["", "A", "AAA", "A===", "AA=A", "AAAA AAAA", "####", "AAAA\n", "ÄÖÜ="])
def test_base64_is_read_strictly(client: Client, audio: str) -> None:
    client.update(**PCMU)
    client.send("input_audio_buffer.append", audio=audio)
    if audio == "":
        client.send("input_audio_buffer.clear")
        client.next("input_audio_buffer.cleared")
    else:
        error = client.error()
        assert (error["code"], error["param"]) == ("invalid_value", "audio")


def test_an_append_of_more_than_15_mib_is_refused(client: Client) -> None:
    client.send("input_audio_buffer.append", audio=base64.b64encode(bytes(15 * 1024 * 1024 + 1)).decode())
    assert "15 MiB" in client.error()["message"]


def test_an_append_of_15_mib_is_heard(client: Client, model: PretendModel) -> None:
    client.update(**manual())
    client.append(bytes([0xFF]) * (15 * 1024 * 1024))
    client.send("input_audio_buffer.clear")
    client.next("input_audio_buffer.cleared", timeout=20)
    assert len(model.wait_for_session().heard_audio) == 15 * 1024 * 1024


# What detection is asked to do


def test_without_create_response_the_client_asks(client: Client) -> None:
    client.update(**detection(create_response=False))
    client.speak(HELLO.audio + silence(600))
    client.next("input_audio_buffer.committed")
    client.send("response.create")
    client.next("response.done")
    assert len(client.of_type("response.created")) == 1


def test_semantic_detection_waits_longer_when_less_eager(client: Client) -> None:
    ends = {}
    for eagerness in ("high", "low"):
        settings = {"type": "semantic_vad", "eagerness": eagerness, "create_response": False}
        client.update(**hearing(turn_detection=settings))
        client.speak(HELLO.audio + silence(2000))
        start = client.next("input_audio_buffer.speech_started")["audio_start_ms"]
        ends[eagerness] = client.next("input_audio_buffer.speech_stopped")["audio_end_ms"] - start
    assert ends["low"] - ends["high"] == 800


def test_a_semantic_session_is_interrupted_as_well() -> None:
    script = Script(Say("A long answer.", duration_ms=30_000))
    with PretendModel(script) as model, Client(model.url + MODEL) as client:
        client.update(**hearing(turn_detection={"type": "semantic_vad", "create_response": False}))
        client.send("response.create")
        client.next("response.output_audio.delta")
        client.speak(HELLO.audio)
        assert client.next("response.done")["response"]["status"] == "cancelled"


# By hand


def test_by_hand_the_client_commits_and_asks(client: Client, model: PretendModel) -> None:
    client.update(**manual())
    client.speak(HELLO.audio)
    client.send("input_audio_buffer.commit")
    item_id = client.next("input_audio_buffer.committed")["item_id"]
    client.send("conversation.item.retrieve", item_id=item_id)
    item = client.next("conversation.item.retrieved")["item"]
    assert base64.b64decode(item["content"][0]["audio"]) == HELLO.audio
    assert "response.created" not in client.types()
    assert "input_audio_buffer.speech_started" not in client.types()


def test_less_than_100_ms_cannot_be_committed(client: Client, model: PretendModel) -> None:
    client.update(**manual())
    client.append(tone(440, 99))
    client.send("input_audio_buffer.commit")
    error = client.error()
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert "99.00ms" in error["message"]
    client.append(tone(440, 1))
    client.send("input_audio_buffer.commit")
    client.next("input_audio_buffer.committed")
    assert [one.code for one in model.wait_for_session().violations] == ["input_audio_buffer_commit_empty"]


def test_with_detection_a_late_commit_finds_nothing(client: Client) -> None:
    client.update(**detection(create_response=False))
    client.speak(HELLO.audio + silence(600))
    client.next("input_audio_buffer.committed")
    client.send("input_audio_buffer.commit")
    with pytest.raises(AssertionError, match="input_audio_buffer_commit_empty"):
        client.next("input_audio_buffer.committed")


def test_with_detection_speech_in_progress_can_be_committed(client: Client) -> None:
    client.update(**detection())
    client.speak(silence(500) + HELLO.audio)
    started = client.next("input_audio_buffer.speech_started")
    client.send("input_audio_buffer.commit")
    assert client.next("input_audio_buffer.committed")["item_id"] == started["item_id"]
    client.append(silence(1000))
    client.send("input_audio_buffer.clear")
    client.next("input_audio_buffer.cleared")
    assert "input_audio_buffer.speech_stopped" not in client.types()


def test_clearing_forgets_what_was_said(client: Client) -> None:
    client.update(**manual())
    client.append(HELLO.audio)
    client.send("input_audio_buffer.clear")
    client.next("input_audio_buffer.cleared")
    client.send("input_audio_buffer.commit")
    assert client.error()["code"] == "input_audio_buffer_commit_empty"


# Transcripts


def transcribed(**fields: Any) -> dict[str, Any]:
    return hearing(turn_detection=vad(create_response=False), transcription=fields)


def test_a_known_recording_is_transcribed_by_its_words(client: Client) -> None:
    client.update(**transcribed(model="gpt-transcribe", languages=["en"]))
    client.speak(silence(300) + HELLO.audio + silence(600))
    item_id = client.next("input_audio_buffer.committed")["item_id"]
    done = client.next("conversation.item.input_audio_transcription.completed")
    assert done["item_id"] == item_id
    assert done["transcript"] == HELLO.text
    assert done["usage"] == {"type": "duration", "seconds": 1.8}
    assert done["languages"] == [{"code": "en"}]
    deltas = client.of_type("conversation.item.input_audio_transcription.delta")
    assert "".join(one["delta"] for one in deltas) == HELLO.text


def test_older_models_are_billed_by_tokens(client: Client) -> None:
    client.update(**transcribed(model="gpt-4o-mini-transcribe", language="en"))
    client.speak(HELLO.audio + silence(600))
    done = client.next("conversation.item.input_audio_transcription.completed")
    assert done["usage"]["type"] == "tokens"
    assert done["usage"]["input_tokens"] == 15
    assert "languages" not in done


def test_unknown_speech_is_not_made_up(client: Client, model: PretendModel) -> None:
    client.update(**transcribed(model="gpt-transcribe"))
    client.speak(tone(300, 2000) + silence(500))
    done = client.next("conversation.item.input_audio_transcription.completed")
    assert done["transcript"] == "(speech, 2.5 s)"
    assert model.wait_for_session().items[0].text == "(speech, 2.5 s)"


def test_without_transcription_there_is_no_transcript(client: Client, model: PretendModel) -> None:
    client.update(**detection())
    client.speak(HELLO.audio + silence(600))
    client.next("rate_limits.updated")
    assert "conversation.item.input_audio_transcription.completed" not in client.types()


def test_a_transcript_may_come_after_the_response() -> None:
    with (
        PretendModel(pace=INSTANT, speech=Speech([HELLO]), transcript_after_ms=80) as model,
        Client(model.url + MODEL) as client,
    ):
        client.update(**hearing(turn_detection=vad(), transcription={"model": "gpt-transcribe"}))
        client.speak(HELLO.audio + silence(600))
        client.next("conversation.item.input_audio_transcription.completed")
        assert "response.done" in client.types()


def test_the_script_is_told_what_was_heard() -> None:
    asked: list[Ask] = []

    def answer(ask: Ask) -> Say:
        asked.append(ask)
        return Say(f"You said: {ask.heard}")

    with (
        PretendModel(Script(otherwise=answer), pace=INSTANT, speech=Speech([HELLO, BYE])) as model,
        Client(model.url + MODEL) as client,
    ):
        client.update(**detection())
        client.send("response.create", response={"metadata": {"a": "b"}})
        client.next("response.done")
        for clip in (HELLO, BYE):
            client.speak(silence(300) + clip.audio + silence(600))
            client.next("response.done")
        assert [(ask.number, ask.heard, ask.clips) for ask in asked] == [
            (1, "", ()),
            (2, HELLO.text, ("hello",)),
            (3, BYE.text, ("bye",)),
        ]
        assert asked[0].payload == {"metadata": {"a": "b"}}
        assert model.wait_for_session().items[-1].text == f"You said: {BYE.text}"


# Other formats


@pytest.mark.parametrize("audio_format", ["audio/pcm", "audio/pcma"])
def test_other_formats_are_heard_as_well(client: Client, model: PretendModel, audio_format: str) -> None:
    fields = {"type": audio_format}
    client.update(audio={"input": {"format": fields}, "output": {"format": fields}})
    audio = from_ulaw(silence(500) + HELLO.audio + silence(600), audio_format)
    client.speak(audio, 4800)
    assert client.next("input_audio_buffer.speech_started")["audio_start_ms"] == 200
    item_id = client.next("response.done")["response"]["output"][0]["id"]
    session = model.wait_for_session()
    assert session.heard_audio == audio
    (said,) = [item for item in session.items if item.id == item_id]
    assert client.audio_of(item_id) == from_ulaw(bytes(said.audio), audio_format)


# Idle


def test_a_long_silence_after_a_response_is_answered() -> None:
    """The timer starts at ``response.done`` and adds the length of the audio."""
    script = Script(Say("Are you there?", duration_ms=200), Say("Hello?"))
    with PretendModel(script, pace=INSTANT) as model, Client(model.url + MODEL) as client:
        client.update(**detection(idle_timeout_ms=5000))
        session = model.wait_for_session()
        with (
            session.changed
        ):  # The shortest there is would make a slow test; so much the test itself may take.
            session.config["audio"]["input"]["turn_detection"]["idle_timeout_ms"] = 1500
        client.send("response.create")
        client.next("response.done")
        client.append(silence(1000))
        timeout = client.next("input_audio_buffer.timeout_triggered")
        sent_s = {one.event["type"]: one.at_s for one in reversed(session.sent)}  # The first of each.
        assert sent_s["input_audio_buffer.timeout_triggered"] - sent_s["response.done"] >= 1.7
        assert timeout["audio_end_ms"] - timeout["audio_start_ms"] == 1000
        assert client.next("input_audio_buffer.committed")["item_id"] == timeout["item_id"]
        client.next("response.done")
        assert session.items[-1].text == "Hello?"


def test_speech_after_a_response_is_no_idleness(client: Client, model: PretendModel) -> None:
    client.update(**detection(idle_timeout_ms=5000, create_response=False))
    session = model.wait_for_session()
    with session.changed:
        session.config["audio"]["input"]["turn_detection"]["idle_timeout_ms"] = 50
    client.send("response.create")
    client.next("response.created")
    client.speak(HELLO.audio)
    client.next("input_audio_buffer.speech_started")
    with pytest.raises(TimeoutError):
        client.next("input_audio_buffer.timeout_triggered", timeout=0.8)


# The buffer by itself


def test_silence_before_speech_is_not_kept() -> None:
    ear = Hearing()
    ear.detect(vad(prefix_padding_ms=300, threshold=0.5))
    for _ in range(1000):
        ear.append(silence(100))
    assert len(ear._kept) < 8 * 1000
    (started,) = ear.append(silence(100) + HELLO.audio)
    assert started == SpeechStarted(100_000 + 100 - 300)
    (stopped,) = ear.append(silence(500))
    assert isinstance(stopped, SpeechStopped)
    said = ear.utterance(started.start_ms, stopped.end_ms)
    assert said == silence(300) + HELLO.audio + silence(500)


def test_detection_turned_on_in_mid_audio_counts_on() -> None:
    ear = Hearing()
    ear.detect(None)
    ear.append(silence(2000))
    ear.detect(vad(prefix_padding_ms=0, threshold=0.5))
    assert ear.append(HELLO.audio) == [SpeechStarted(2000)]


def test_unchanged_settings_do_not_disturb_speech_in_progress() -> None:
    settings = vad(prefix_padding_ms=0, threshold=0.5)
    ear = Hearing()
    ear.detect(settings)
    ear.append(HELLO.audio)
    ear.detect(dict(settings))
    assert ear.speaking
    assert ear.append(silence(500)) == [SpeechStopped(1500)]
