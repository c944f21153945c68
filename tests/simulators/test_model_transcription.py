"""The pretend transcription session, as strict as the reference and judged by the SDK's own types."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from callapp.simulators import ulaw
from callapp.simulators.model import PretendModel
from callapp.simulators.speech import Speech, babble_clip
from tests.simulators.realtime_client import Client

HELLO = babble_clip("hello", "Hello there, everybody.", 900)
BYE = babble_clip("bye", "Goodbye, all of you.", 700)
LIVE = {"model": "gpt-live-transcribe", "languages": ["ja", "en"]}
TEXT = "conversation.item.input_audio_transcription"


@pytest.fixture
def model() -> Iterator[PretendModel]:
    with PretendModel(speech=Speech([HELLO, BYE]), transcript_after_ms=20) as model:
        yield model


def connect(model: PretendModel, **audio_input: Any) -> Client:
    client = Client(model.url + "?intent=transcription")
    assert client.receive()["session"]["type"] == "transcription"
    if audio_input:
        client.send("session.update", session={"type": "transcription", "audio": {"input": audio_input}})
        client.next("session.updated")
    return client


def speak(client: Client, *pieces: bytes) -> None:
    client.speak(ulaw.from_ulaw(b"".join(pieces), "audio/pcm"), 9600)


def test_a_streaming_model_tells_words_as_they_are_heard_and_the_whole_after_the_commit(
    model: PretendModel,
) -> None:
    with connect(model, transcription=LIVE, turn_detection=None) as client:
        speak(client, HELLO.audio, ulaw.silence(400))
        delta = client.next(f"{TEXT}.delta")
        assert delta["delta"] == HELLO.text
        client.send("input_audio_buffer.commit")
        committed = client.next("input_audio_buffer.committed")
        assert (committed["item_id"], committed["previous_item_id"]) == (delta["item_id"], None)
        done = client.next(f"{TEXT}.completed")
        assert (done["item_id"], done["transcript"]) == (delta["item_id"], HELLO.text)
        assert done["usage"] == {"type": "duration", "seconds": pytest.approx(1.3, abs=0.01)}
        speak(client, BYE.audio)
        client.send("input_audio_buffer.commit")
        assert client.next("input_audio_buffer.committed")["previous_item_id"] == delta["item_id"]
        assert client.next(f"{TEXT}.completed")["transcript"] == BYE.text
        assert model.transcriptions[0].violations == []


def test_another_model_tells_nothing_before_the_commit_and_can_find_turns_itself(
    model: PretendModel,
) -> None:
    turns = {"type": "server_vad", "silence_duration_ms": 300}
    with connect(model, transcription={"model": "gpt-transcribe"}, turn_detection=turns) as client:
        speak(client, HELLO.audio, ulaw.silence(600))
        assert client.next(f"{TEXT}.completed")["transcript"] == HELLO.text
        assert client.types("session.created", "session.updated") == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            f"{TEXT}.delta",
            f"{TEXT}.completed",
        ]


def test_turns_are_found_by_their_meaning_as_well(model: PretendModel) -> None:
    turns = {"type": "semantic_vad", "eagerness": "high"}
    with connect(model, transcription={"model": "gpt-transcribe"}, turn_detection=turns) as client:
        speak(client, HELLO.audio, ulaw.silence(1500))
        assert client.next(f"{TEXT}.completed")["transcript"] == HELLO.text


def test_turns_that_nobody_is_to_write_down_are_found_and_no_more(model: PretendModel) -> None:
    turns = {"type": "server_vad", "silence_duration_ms": 300}
    with connect(model, turn_detection=turns) as client:
        for _ in range(2):
            speak(client, HELLO.audio, ulaw.silence(600))
            client.next("input_audio_buffer.committed")
            time.sleep(0.1)  # the time in which a transcript would be made
        assert not [kind for kind in client.types() if kind.startswith(TEXT)]


def test_an_empty_buffer_cannot_be_committed(model: PretendModel) -> None:
    with connect(model, transcription=LIVE) as client:
        client.send("input_audio_buffer.commit")
        assert client.error()["code"] == "input_audio_buffer_commit_empty"


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "realtime"}, "session.type"),
        ({"type": "transcription", "instructions": "Listen."}, "session.instructions"),
        ({"type": "transcription", "audio": {"output": {}}}, "session.audio.output"),
        (
            {
                "type": "transcription",
                "audio": {"input": {"transcription": LIVE, "turn_detection": {"type": "server_vad"}}},
            },
            "session.audio.input.turn_detection",
        ),
        (
            {
                "type": "transcription",
                "audio": {"input": {"transcription": {**LIVE, "language": "ja"}}},
            },
            "session.audio.input.transcription",
        ),
        (
            {
                "type": "transcription",
                "audio": {"input": {"transcription": {**LIVE, "languages": []}}},
            },
            "session.audio.input.transcription.languages",
        ),
    ],
)
def test_what_the_reference_does_not_know_is_refused(
    model: PretendModel, session: dict[str, Any], param: str
) -> None:
    with connect(model) as client:
        client.send("session.update", session=session)
        assert client.error()["param"] == param


def test_a_model_in_the_address_is_refused(model: PretendModel) -> None:
    with Client(model.url + "?intent=transcription&model=gpt-transcribe") as client:
        assert client.error()["code"] == "invalid_model"


def test_it_neither_answers_nor_takes_items(model: PretendModel) -> None:
    with connect(model) as client:
        client.send("response.create")
        assert client.error()["code"] == "invalid_value"
