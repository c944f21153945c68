"""The pretend translation session, as strict as the reference and judged by the SDK's own types."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.realtime.realtime_translation_server_event import RealtimeTranslationServerEvent

from callapp.simulators import ulaw
from callapp.simulators.clips import Clip
from callapp.simulators.model import PretendModel
from callapp.simulators.model_translation import FRAME_BYTES, Translating
from callapp.simulators.speech import Speech, babble_clip
from tests.simulators.realtime_client import Client

HELLO = babble_clip("hello", "Hello there, everybody.", 900)
KONNICHIWA = babble_clip("konnichiwa", "こんにちは、みなさん。", 700)
URL = "/translations?model=gpt-realtime-translate"


@pytest.fixture
def model() -> Iterator[PretendModel]:
    translating = Translating(Speech([HELLO, KONNICHIWA]), {("hello", "ja"): KONNICHIWA})
    with PretendModel(translating=translating) as model:
        yield model


def connect(model: PretendModel, **audio: Any) -> Client:
    client = Client(model.url + URL, speaks=RealtimeTranslationServerEvent)
    assert client.receive()["type"] == "session.created"
    if audio:
        client.send("session.update", session={"audio": audio})
        assert client.receive()["type"] == "session.updated"
    return client


def append(client: Client, *clips: Clip, silence_ms: int = 0) -> None:
    audio = b"".join(clip.audio for clip in clips) + ulaw.silence(silence_ms)
    pcm = ulaw.from_ulaw(audio, "audio/pcm")
    for at in range(0, len(pcm), FRAME_BYTES):
        piece = base64.b64encode(pcm[at : at + FRAME_BYTES]).decode()
        client.send("session.input_audio_buffer.append", audio=piece)


def spoken(client: Client) -> bytes:
    return b"".join(base64.b64decode(one["delta"]) for one in client.of_type("session.output_audio.delta"))


def told(client: Client, side: str) -> str:
    return "".join(one["delta"] for one in client.of_type(f"session.{side}_transcript.delta"))


def test_speech_comes_out_in_the_other_language_with_both_texts(model: PretendModel) -> None:
    with connect(
        model, input={"transcription": {"model": "gpt-realtime-whisper"}}, output={"language": "ja"}
    ) as client:
        append(client, HELLO, silence_ms=2000)
        while len(spoken(client)) < len(KONNICHIWA.audio) * 6:
            client.receive()
        assert spoken(client) == ulaw.from_ulaw(KONNICHIWA.audio, "audio/pcm")
        assert told(client, "input") == HELLO.text
        assert told(client, "output") == KONNICHIWA.text
        assert model.translations[0].violations == []


def test_it_gives_out_a_frame_for_a_frame_and_stands_still_without_audio(model: PretendModel) -> None:
    """The model's time is the time of the audio: who stops sending gets nothing more."""
    with connect(model, output={"language": "ja"}) as client:
        append(client, HELLO, silence_ms=700)
        client.next("session.output_audio.delta")
        with pytest.raises(TimeoutError):
            client.next("session.closed", 0.4)
        assert len(spoken(client)) < len(KONNICHIWA.audio) * 6


def test_close_hears_and_says_what_is_left_before_it_closes(model: PretendModel) -> None:
    with connect(model, output={"language": "ja"}) as client:
        append(client, HELLO)
        client.send("session.close")
        client.next("session.closed")
        assert spoken(client) == ulaw.from_ulaw(KONNICHIWA.audio, "audio/pcm")
        assert client.closed() == (1000, "")


def test_without_a_transcription_model_there_is_no_text_of_the_source(model: PretendModel) -> None:
    with connect(model, output={"language": "ja"}) as client:
        append(client, HELLO)
        client.send("session.close")
        client.next("session.closed")
        assert told(client, "input") == ""


def test_silence_is_given_out_between_phrases_where_that_is_asked_for() -> None:
    with PretendModel(translating=Translating(silence_between=True)) as model, connect(model) as client:
        append(client, silence_ms=400)
        assert {client.next("session.output_audio.delta")["delta"] for _ in range(2)} == {
            base64.b64encode(bytes(FRAME_BYTES)).decode()
        }


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"type": "input_audio_buffer.append", "audio": ""}, "invalid_value", "type"),
        ({"type": "response.create"}, "invalid_value", "type"),
        ({"type": "session.input_audio_buffer.append", "audio": "!"}, "invalid_value", "audio"),
        ({"type": "session.input_audio_buffer.append", "audio": "AAAA"}, "invalid_value", "audio"),
        (
            {"type": "session.update", "session": {"type": "translation"}},
            "unknown_parameter",
            "session.type",
        ),
        (
            {"type": "session.update", "session": {"audio": {"output": {"voice": "marin"}}}},
            "unknown_parameter",
            "session.audio.output.voice",
        ),
        (
            {"type": "session.update", "session": {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}},
            "unknown_parameter",
            "session.audio.input.format",
        ),
    ],
)
def test_what_the_reference_does_not_know_is_refused(
    model: PretendModel, event: dict[str, Any], code: str, param: str
) -> None:
    with connect(model) as client:
        client.send(event.pop("type"), **event)
        error = client.error()
        assert (error["code"], error["param"]) == (code, param)
        assert len(model.translations[0].violations) == 1


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "missing_model"), ("?model=gpt-realtime-2.1", "model_not_found")],
)
def test_the_model_has_to_be_named_in_the_address(model: PretendModel, query: str, code: str) -> None:
    with Client(f"{model.url}/translations{query}", speaks=RealtimeTranslationServerEvent) as client:
        assert client.error()["code"] == code
