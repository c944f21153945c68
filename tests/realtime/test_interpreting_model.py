"""An ordinary model that interprets: one response at a time, and no turn is left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from time import monotonic

import numpy as np
import pytest

from callapp.audio.g711 import decode, encode
from callapp.conversation.events import ModelLost
from callapp.realtime import interpreting_model
from callapp.realtime.dialling import Endpoint
from callapp.realtime.interpreting_model import InterpretingModel, interpreting_instructions
from callapp.realtime.session import SessionConfig
from callapp.realtime.translator import Finished, Ready, Spoken, Took, Written
from callapp.simulators.model import PretendModel
from callapp.simulators.model_faults import Reset, SendError, SendRaw
from callapp.simulators.model_script import Answer, CutOff, Fail, Pace, Say, Script
from callapp.simulators.speech import Speech, babble_clip
from callapp.simulators.ulaw import silence
from tests.realtime.conftest import loss_of, until

HELLO = babble_clip("hello", "Hello there, everybody.", 900)
AGAIN = babble_clip("again", "And once more.", 700)
ONE, TWO = babble_clip("one", "こんにちは。", 800), babble_clip("two", "もう一度。", 600)
CONFIG = SessionConfig(interpreting_instructions("en", "ja", "none"), "marin", "en", answers_turns=False)


@pytest.fixture
def answers() -> list[Answer]:
    return [Say(ONE), Say(TWO)]


@pytest.fixture
def model(answers: list[Answer]) -> Iterator[PretendModel]:
    with PretendModel(Script(*answers), speech=Speech([HELLO, AGAIN]), pace=Pace(speed=2)) as model:
        yield model


@pytest.fixture
def translator(model: PretendModel) -> Iterator[InterpretingModel]:
    translator = InterpretingModel(
        Endpoint(model.url, "gpt-realtime-2.1-mini", "sk-test"), CONFIG, logging.getLogger("test")
    )
    translator.dial()
    yield translator
    translator.close()
    translator.release()


def test_turns_that_come_while_it_speaks_are_translated_after_it(
    model: PretendModel, translator: InterpretingModel
) -> None:
    until(translator, Ready)
    translator.hear(decode(HELLO.audio + silence(700)))
    until(translator, Spoken)
    translator.hear(decode(AGAIN.audio))  # it is still speaking; and the speaker hangs up
    translator.finish()
    events = until(translator, Finished)
    (session,) = model.sessions
    assert len(session.received_events("response.create")) == 2
    assert session.violations == []
    spoken = encode(np.concatenate([one.samples for one in events if isinstance(one, Spoken)]))
    assert spoken.endswith(TWO.audio)
    texts = dict.fromkeys(("source", "target"), "")
    for one in events:
        if isinstance(one, Written):
            texts[one.side] += one.text
    assert texts["target"].endswith(TWO.text)
    assert texts["source"].endswith(AGAIN.text)
    assert sum(one.usage.output_audio for one in events if isinstance(one, Took)) > 0
    assert translator.heard_ms == 0


def test_a_lost_one_can_be_dialled_again(model: PretendModel, translator: InterpretingModel) -> None:
    until(translator, Ready)
    model.sessions[0].strike(Reset())
    assert loss_of(translator, Finished) == ModelLost("openai.disconnected")


@pytest.mark.parametrize("answers", [[Fail(), Fail(), Say(ONE)], [CutOff("content_filter"), Say(ONE)]])
def test_a_response_that_fails_or_is_cut_off_unheard_is_asked_for_again(
    model: PretendModel, translator: InterpretingModel, answers: list[Answer]
) -> None:
    """The speaker waits for a reply to what nobody has heard, and says nothing more."""
    until(translator, Ready)
    translator.hear(decode(HELLO.audio + silence(700)))
    until(translator, Spoken)
    (session,) = model.sessions
    assert len(session.received_events("response.create")) == len(answers)


def test_a_request_that_the_service_does_not_take_is_made_again(
    model: PretendModel, translator: InterpretingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was waited for as for an answer, for ten seconds in which nothing was translated."""
    until(translator, Ready)
    monkeypatch.setattr(interpreting_model, "PATIENCE_S", 2.0)
    model.fail_on("response.create", SendError("server_error", event_id="translate-1"))
    translator.hear(decode(HELLO.audio + silence(700)))
    until(translator, Spoken)
    (session,) = model.sessions
    assert len(session.received_events("response.create")) == 2


@pytest.mark.parametrize("answers", [[Fail(message="Please try again in 1.2s."), Say(ONE)]])
def test_the_service_is_left_alone_for_as_long_as_it_says(translator: InterpretingModel) -> None:
    until(translator, Ready)
    began_s = monotonic()
    translator.hear(decode(HELLO.audio + silence(700)))
    until(translator, Spoken)
    assert monotonic() - began_s >= 1.2


@pytest.mark.parametrize("answers", [[Fail(), Fail(), Fail()]])
def test_after_the_third_that_fails_another_session_is_wanted(translator: InterpretingModel) -> None:
    until(translator, Ready)
    translator.hear(decode(HELLO.audio + silence(700)))
    assert loss_of(translator, Spoken) == ModelLost("openai.failed")


@pytest.mark.parametrize("answer", [SendError("server_error"), SendRaw('{"type":"news"}')])
def test_a_request_that_is_not_answered_is_not_the_last_one(
    model: PretendModel,
    translator: InterpretingModel,
    monkeypatch: pytest.MonkeyPatch,
    answer: SendError | SendRaw,
) -> None:
    """One response is asked for at a time, so whoever waited for it for ever would translate nothing more."""
    until(translator, Ready)
    monkeypatch.setattr(interpreting_model, "PATIENCE_S", 0.3)
    model.fail_on("response.create", answer)
    translator.hear(decode(HELLO.audio + silence(700)))
    assert loss_of(translator, Spoken) == ModelLost("openai.no_answer")


@pytest.mark.parametrize("answers", [[[Say(ONE), Say(TWO, Pace(first_delta_after_ms=9_000))]]])
def test_a_response_that_stands_still_is_not_the_last_one(
    translator: InterpretingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(translator, Ready)
    translator.hear(decode(HELLO.audio + silence(700)))
    until(translator, Spoken)
    monkeypatch.setattr(interpreting_model, "PATIENCE_S", 0.3)
    assert loss_of(translator, Finished) == ModelLost("openai.stalled")


def test_a_session_that_is_never_confirmed_is_given_up(
    model: PretendModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreting_model, "PATIENCE_S", 0.3)
    model.fail_on("session.update", SendRaw('{"type":"news"}'))
    endpoint = Endpoint(model.url, "gpt-realtime-2.1-mini", "sk-test")
    translator = InterpretingModel(endpoint, CONFIG, logging.getLogger("test"))
    translator.dial()
    assert loss_of(translator, Ready) == ModelLost("openai.no_session")
    translator.close()
    translator.release()


def test_the_prompt_names_both_languages() -> None:
    prompt = interpreting_instructions("sv", "xx", "Ms Berg")
    assert "who speaks Swedish" in prompt
    assert "say in the language 'xx' what they" in prompt
    assert prompt.endswith("Ms Berg")
