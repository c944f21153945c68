"""Sessions that take each other's place, with a pretend model."""

from __future__ import annotations

import logging
from queue import SimpleQueue
from time import monotonic
from typing import Any

from callapp.audio.g711 import decode
from callapp.audio.mixing import Mixer
from callapp.call.threads import Threads
from callapp.call.translators import Translators
from callapp.conversation.interpreting import TranslatorReady
from callapp.realtime.dialling import Endpoint
from callapp.realtime.interpreting_model import InterpretingModel, interpreting_instructions
from callapp.realtime.session import SessionConfig
from callapp.realtime.translator import Written
from callapp.simulators.model import PretendModel
from callapp.simulators.model_script import Say, Script
from callapp.simulators.speech import Speech, babble_clip
from callapp.simulators.ulaw import silence

WAIT_S = 10.0
STORY = babble_clip("story", "All in one breath.", 40_000)
SHORT = babble_clip("short", "一息です。", 600)
CONFIG = SessionConfig(interpreting_instructions("en", "ja", "none"), "marin", "en", answers_turns=False)


def test_who_speaks_for_long_without_a_pause_is_interpreted_after_it() -> None:
    """An ordinary model says nothing before: it was taken for mute, and all that it had heard was lost."""
    log = logging.getLogger("test")
    news: SimpleQueue[Any] = SimpleQueue()
    threads = Threads()
    with PretendModel(Script(Say(SHORT)), speech=Speech([STORY])) as model:
        endpoint = Endpoint(model.url, "gpt-realtime-2.1-mini", "sk-test")
        translators = Translators(
            lambda: InterpretingModel(endpoint, CONFIG, log), Mixer(0), news.put, threads, log
        )
        translators.dial(1, 0)
        assert news.get(timeout=WAIT_S) == TranslatorReady(1)
        voice = decode(STORY.audio + silence(700))
        for at in range(0, len(voice), 160):
            translators.hear(1, voice[at : at + 160])
        told = news.get(timeout=WAIT_S)
        translators.drop()
        threads.join(monotonic() + WAIT_S)
    assert isinstance(told, Written)
