"""The translation session's leg against the pretend service: what is sent, what comes, how it is lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.audio.g711 import Samples, decode, encode
from callapp.conversation.events import ModelLost
from callapp.errors import BadMessage, LegLost
from callapp.realtime import speaker_leg, translation_events
from callapp.realtime.dialling import Endpoint
from callapp.realtime.translation import FRAME_BYTES, TranslationLeg
from callapp.realtime.translator import Finished, Ready, Spoken, Written
from callapp.simulators.model import PretendModel
from callapp.simulators.model_ear import recognise
from callapp.simulators.model_faults import Close, Refusal, Reset, SendRaw
from callapp.simulators.model_translation import Translating
from callapp.simulators.speech import Speech, babble_clip
from tests import judges
from tests.realtime.conftest import loss_of, until

HELLO = babble_clip("hello", "Hello there, everybody.", 900)
KONNICHIWA = babble_clip("konnichiwa", "こんにちは、みなさん。", 700)
SPEECH = Speech([HELLO, KONNICHIWA])
LOG = logging.getLogger("test")


@pytest.fixture
def model() -> Iterator[PretendModel]:
    translating = Translating(SPEECH, {("hello", "ja"): KONNICHIWA})
    with PretendModel(api_key="sk-test", translating=translating) as model:
        yield model
    for session in model.translations:
        events = [one.event for one in session.received if "nonsense" not in str(one.event)]
        assert [fault for event in events for fault in judges.faults(event, judges.OF_TRANSLATIONS)] == []


@pytest.fixture
def legs() -> Iterator[list[TranslationLeg]]:
    made: list[TranslationLeg] = []
    yield made
    for leg in made:
        leg.close()
        leg.release()


def dial(model: PretendModel, legs: list[TranslationLeg], **options: Any) -> TranslationLeg:
    endpoint = Endpoint(model.url, "gpt-realtime-translate", options.pop("key", "sk-test"))
    leg = TranslationLeg(endpoint, options.pop("language", "ja"), LOG, **options)
    legs.append(leg)
    leg.dial()
    return leg


def voice(clip: Any = HELLO) -> Samples:
    return decode(clip.audio)


def test_what_is_heard_comes_out_translated_with_both_texts(
    model: PretendModel, legs: list[TranslationLeg]
) -> None:
    leg = dial(model, legs)
    assert until(leg, Ready) == [Ready()]
    for at in range(0, len(voice()), 160):
        leg.hear(voice()[at : at + 160])
    leg.finish()
    events = until(leg, Finished)
    texts = {
        side: "".join(one.text for one in events if isinstance(one, Written) and one.side == side)
        for side in ("source", "target")
    }
    assert texts == {"source": HELLO.text, "target": KONNICHIWA.text}
    spoken = encode(np.concatenate([one.samples for one in events if isinstance(one, Spoken)]))
    assert len(spoken) == len(KONNICHIWA.audio)
    assert [one.clip.name for one in recognise(SPEECH, spoken)] == ["konnichiwa"]
    (session,) = model.translations
    session.wait_closed()
    assert session.violations == []
    # All of it, the filter's own delay included, in frames of the service but for the last.
    assert len(session.heard_audio) == len(HELLO.audio) * 6
    assert leg.heard_ms == len(HELLO.audio) / 8
    sizes = [len(e["audio"]) * 3 // 4 for e in session.received_events("session.input_audio_buffer.append")]
    assert set(sizes[:-1]) == {FRAME_BYTES}


def test_what_is_optional_is_left_out_when_it_is_refused(
    model: PretendModel, legs: list[TranslationLeg]
) -> None:
    """The text of the source is a luxury; the translation is what the call is for."""
    leg = dial(model, legs, noise_reduction="nonsense")
    until(leg, Ready)
    (session,) = model.translations
    first, second = session.received_events("session.update")
    assert "input" in first["session"]["audio"]
    assert second["session"]["audio"] == {"output": {"language": "ja"}}


def test_a_text_of_the_source_is_asked_for_only_where_it_is_wanted(
    model: PretendModel, legs: list[TranslationLeg]
) -> None:
    """It costs money."""
    leg = dial(model, legs, transcribed=False)
    until(leg, Ready)
    (session,) = model.translations
    (update,) = session.received_events("session.update")
    assert update["session"]["audio"] == {"output": {"language": "ja"}}


def test_a_language_that_is_refused_is_hopeless(model: PretendModel, legs: list[TranslationLeg]) -> None:
    leg = dial(model, legs, language="nonsense")
    assert loss_of(leg, Ready) == ModelLost("openai.session_rejected", hopeless=True)


@pytest.mark.parametrize("fault", [Reset(), Close(1011)])
def test_a_lost_session_can_be_dialled_again(
    model: PretendModel, legs: list[TranslationLeg], fault: Reset | Close
) -> None:
    leg = dial(model, legs)
    until(leg, Ready)
    model.translations[0].strike(fault)
    assert loss_of(leg, Finished) == ModelLost("openai.disconnected")


def test_a_wrong_key_is_hopeless(model: PretendModel, legs: list[TranslationLeg]) -> None:
    with pytest.raises(LegLost) as lost:  # by the dial itself, if the service is quick
        until(dial(model, legs, key="sk-wrong"), Ready)
    assert legs[0].meaning_of(lost.value) == ModelLost("openai.refused", hopeless=True)
    assert isinstance(model.refused[0], Refusal)


def test_nobody_there_is_not(legs: list[TranslationLeg]) -> None:
    with PretendModel() as gone:
        pass
    with pytest.raises(LegLost) as lost:
        dial(gone, legs)
    assert legs[0].meaning_of(lost.value) == ModelLost("openai.unreachable")


def test_a_session_that_is_never_confirmed_is_given_up_and_dialled_again(
    model: PretendModel, legs: list[TranslationLeg], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket is alive: without a clock the two would never be interpreted."""
    monkeypatch.setattr(speaker_leg, "CONFIRMED_WITHIN_S", 0.1)
    model.fail_on("session.update", SendRaw('{"type":"session.news"}'))
    leg = dial(model, legs)
    assert loss_of(leg, Ready, match="not confirmed") == ModelLost("openai.no_session")


def test_a_session_that_was_confirmed_is_not_given_up(
    model: PretendModel, legs: list[TranslationLeg], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker_leg, "CONFIRMED_WITHIN_S", 0.5)
    leg = dial(model, legs)
    until(leg, Ready)
    leg.rouse(0.7)
    assert leg.receive() == []


def test_oddities_are_passed_over(model: PretendModel, legs: list[TranslationLeg]) -> None:
    leg = dial(model, legs)
    for oddity in ("{", "[]", b"\0", '{"type":"session.news"}', '{"type":"session.output_audio.delta"}'):
        model.translations[0].strike(SendRaw(oddity))
    until(leg, Ready)
    leg.finish()
    until(leg, Finished)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_comes_is_decoded_or_refused(data: bytes) -> None:
    try:
        translation_events.decode(data)
    except BadMessage:
        return
