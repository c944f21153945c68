"""The transcription session's leg against the pretend service: what is sent, what comes, how it is lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.agents.fields import Transcription
from callapp.conversation.dictation import EndPiece, PieceTaken, SendSpeech, TextDone, TextFailed, TextGrew
from callapp.conversation.events import ModelLost
from callapp.errors import BadMessage
from callapp.realtime import speaker_leg, transcription_events
from callapp.realtime.dialling import Endpoint
from callapp.realtime.transcription import Ready, TranscriptionLeg
from callapp.simulators.model import PretendModel
from callapp.simulators.model_faults import Close, Reset, SendError, SendRaw
from callapp.simulators.speech import Speech, babble_clip
from callapp.simulators.ulaw import silence
from tests import judges
from tests.realtime.conftest import loss_of, until

HELLO = babble_clip("hello", "Hello there, everybody.", 900)
BYE = babble_clip("bye", "Goodbye, all of you.", 700)
LOG = logging.getLogger("test")


@pytest.fixture
def model() -> Iterator[PretendModel]:
    with PretendModel(api_key="sk-test", speech=Speech([HELLO, BYE]), transcript_after_ms=20) as model:
        yield model
    for session in model.transcriptions:
        events = [one.event for one in session.received]
        assert [fault for event in events for fault in judges.faults(event)] == []


@pytest.fixture
def legs() -> Iterator[list[TranscriptionLeg]]:
    made: list[TranscriptionLeg] = []
    yield made
    for leg in made:
        leg.close()
        leg.release()


def dial(
    model: PretendModel,
    legs: list[TranscriptionLeg],
    transcriber: str = "gpt-live-transcribe",
    **options: Any,
) -> TranscriptionLeg:
    endpoint = Endpoint(model.url, "of no meaning", options.pop("key", "sk-test"))
    wanted = Transcription(model=transcriber, **options.pop("wanted", {}))
    leg = TranscriptionLeg(endpoint, wanted, "en-US", LOG, **options)
    legs.append(leg)
    leg.dial()
    return leg


def test_words_come_while_they_are_heard_and_whole_once_the_piece_has_ended(
    model: PretendModel, legs: list[TranscriptionLeg]
) -> None:
    leg = dial(
        model, legs, wanted={"language": ("ja", "en"), "keywords": ("Sato",)}, noise_reduction="near_field"
    )
    assert until(leg, Ready) == [Ready()]
    leg.do(SendSpeech(HELLO.audio + silence(400)))
    (grew,) = [one for one in until(leg, TextGrew) if isinstance(one, TextGrew)]
    leg.do(EndPiece())
    events = until(leg, TextDone)
    done = events[-1]
    assert isinstance(done, TextDone)
    assert grew.text == done.text == HELLO.text
    assert PieceTaken(grew.item_id) in events
    assert done.billed_s == pytest.approx(1.3, abs=0.03)
    (session,) = model.transcriptions
    (update,) = session.received_events("session.update")
    assert update["session"]["audio"]["input"] == {  # what a service does of itself is nobody's promise
        "format": {"type": "audio/pcm", "rate": 24_000},
        "transcription": {"model": "gpt-live-transcribe", "languages": ["ja", "en"], "keywords": ["Sato"]},
        "noise_reduction": {"type": "near_field"},
        "turn_detection": None,
    }
    assert session.violations == []


def test_pieces_are_resampled_each_by_itself(model: PretendModel, legs: list[TranscriptionLeg]) -> None:
    """What lies between them was never sent: a filter that remembers would smear one into the next."""
    leg = dial(model, legs, "gpt-transcribe")
    until(leg, Ready)
    for clip in (HELLO, BYE):
        leg.do(SendSpeech(clip.audio))
        leg.do(EndPiece())
        done = until(leg, TextDone)[-1]
        assert isinstance(done, TextDone)
        assert done.text == clip.text
    assert leg.heard_ms == pytest.approx(1600, abs=2)


def test_a_model_of_the_older_kind_takes_one_language_and_is_billed_by_tokens(
    model: PretendModel, legs: list[TranscriptionLeg]
) -> None:
    leg = dial(model, legs, "gpt-4o-mini-transcribe")
    until(leg, Ready)
    leg.do(SendSpeech(HELLO.audio))
    leg.do(EndPiece())
    done = until(leg, TextDone)[-1]
    assert isinstance(done, TextDone)
    assert (done.text, done.billed_s) == (HELLO.text, None)


def test_what_the_service_rejects_is_left_out_and_what_is_essential_is_asked_for_again(
    model: PretendModel, legs: list[TranscriptionLeg]
) -> None:
    model.fail_on("session.update", SendError("invalid_value", event_id="session-1"))
    leg = dial(model, legs, noise_reduction="near_field")
    until(leg, Ready)
    (session,) = model.transcriptions
    first, second = session.received_events("session.update")
    assert (first["event_id"], second["event_id"]) == ("session-1", "session-2")
    assert "noise_reduction" not in second["session"]["audio"]["input"]
    assert session.config["audio"]["input"]["transcription"] == {"model": "gpt-live-transcribe"}


def test_an_unknown_model_is_not_asked_for_a_third_time(
    model: PretendModel, legs: list[TranscriptionLeg]
) -> None:
    leg = dial(model, legs, "gpt-nonsense")
    assert loss_of(leg, Ready) == ModelLost("openai.session_rejected", hopeless=True)


def test_a_wrong_key_is_hopeless_and_a_lost_socket_is_not(
    model: PretendModel, legs: list[TranscriptionLeg]
) -> None:
    leg = dial(model, legs, key="sk-wrong")
    assert loss_of(leg, Ready) == ModelLost("openai.refused", hopeless=True)
    for fault in (Reset(), Close(1011)):
        leg = dial(model, legs)
        until(leg, Ready)
        model.transcriptions[-1].strike(fault)
        assert loss_of(leg, TextDone) == ModelLost("openai.disconnected")


def test_a_session_that_is_never_confirmed_is_given_up_and_dialled_again(
    model: PretendModel, legs: list[TranscriptionLeg], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket is alive: without a clock the call would have no captions, and nobody would know why."""
    monkeypatch.setattr(speaker_leg, "CONFIRMED_WITHIN_S", 0.1)
    model.fail_on("session.update", SendRaw('{"type":"session.news"}'))
    leg = dial(model, legs)
    assert loss_of(leg, Ready, match="not confirmed") == ModelLost("openai.no_session")


@pytest.mark.parametrize(
    ("form", "name"), [("audio/pcmu", "gpt-live-transcribe"), ("audio/pcm", "gpt-transcribe")]
)
def test_a_session_that_takes_something_else_or_has_another_model_is_none(
    model: PretendModel, legs: list[TranscriptionLeg], form: str, name: str
) -> None:
    """What it would write of our audio is noise, or has another price."""
    audio = {"input": {"format": {"type": form}, "transcription": {"model": name}}}
    updated = {"type": "session.updated", "session": {"type": "transcription", "audio": audio}}
    model.fail_on("session.update", SendRaw(json.dumps(updated)))
    leg = dial(model, legs)
    assert loss_of(leg, Ready) == ModelLost("openai.session_rejected", hopeless=True)


def test_an_error_that_answers_no_update_ends_nothing(
    model: PretendModel, legs: list[TranscriptionLeg]
) -> None:
    leg = dial(model, legs)
    until(leg, Ready)
    model.transcriptions[0].strike(SendError("input_audio_buffer_commit_empty"))
    leg.do(SendSpeech(HELLO.audio))
    leg.do(EndPiece())
    assert isinstance(until(leg, TextDone)[-1], TextDone)


def test_nonsense_is_skipped(model: PretendModel, legs: list[TranscriptionLeg]) -> None:
    leg = dial(model, legs)
    until(leg, Ready)
    for payload in ("{", "[]", b"\x00", '{"type":"input_audio_buffer.committed"}', '{"type":"new.event"}'):
        model.transcriptions[0].strike(SendRaw(payload))
    leg.do(SendSpeech(HELLO.audio))
    leg.do(EndPiece())
    assert isinstance(until(leg, TextDone)[-1], TextDone)


def test_a_failed_item_is_told() -> None:
    failed = (
        b'{"type":"conversation.item.input_audio_transcription.failed","event_id":"e","item_id":"a",'
        b'"content_index":0,"error":{"code":"x","message":"y"}}'
    )
    assert transcription_events.decode(failed) == TextFailed("a")


@given(st.binary() | st.recursive(st.none() | st.text() | st.floats(), st.lists).map(str).map(str.encode))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    with suppress(BadMessage):
        transcription_events.decode(data)
