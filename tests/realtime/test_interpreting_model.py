"""An ordinary model that interprets: one response at a time, and no turn is left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from callapp.audio.g711 import decode, encode
from callapp.errors import LegLost
from callapp.realtime.dialling import Endpoint
from callapp.realtime.interpreting_model import InterpretingModel, interpreting_instructions
from callapp.realtime.loss import Loss
from callapp.realtime.session import SessionConfig
from callapp.realtime.translator import Finished, Ready, Spoken, Took, TranslatorEvent, Written
from callapp.simulators.model import PretendModel
from callapp.simulators.model_faults import Reset
from callapp.simulators.model_script import Pace, Say, Script
from callapp.simulators.speech import Speech, babble_clip
from callapp.simulators.ulaw import silence

HELLO = babble_clip("hello", "Hello there, everybody.", 900)
AGAIN = babble_clip("again", "And once more.", 700)
ONE, TWO = babble_clip("one", "こんにちは。", 800), babble_clip("two", "もう一度。", 600)
CONFIG = SessionConfig(interpreting_instructions("en", "ja", "none"), "marin", "en", answers_turns=False)


@pytest.fixture
def model() -> Iterator[PretendModel]:
    script = Script(Say(ONE), Say(TWO))
    with PretendModel(script, speech=Speech([HELLO, AGAIN]), pace=Pace(speed=2)) as model:
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


def until(translator: InterpretingModel, kind: type[TranslatorEvent]) -> list[TranslatorEvent]:
    events: list[TranslatorEvent] = []
    while not any(isinstance(one, kind) for one in events):
        events += translator.receive()
    return events


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
    with pytest.raises(LegLost) as lost:
        until(translator, Finished)
    assert translator.meaning_of(lost.value) == Loss("openai.disconnected")


def test_the_prompt_names_both_languages() -> None:
    prompt = interpreting_instructions("sv", "xx", "Ms Berg")
    assert "who speaks Swedish" in prompt
    assert "say in the language 'xx' what they" in prompt
    assert prompt.endswith("Ms Berg")
