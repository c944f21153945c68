"""A call that has cost what it may ends with a goodbye."""

from __future__ import annotations

from collections.abc import Callable

from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Callee, HangUp, HearPause, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.stage import Server, words

GREETING = words("Hello!", 500)
ANSWER = words("Here is a long answer, which is not cheap.", 4000)
GOODBYE = words("Our time is up, goodbye.", 1500)


def test_the_answer_that_crosses_the_limit_is_followed_by_a_goodbye(start: Callable[..., Server]) -> None:
    """Half a second of speech is some 10 tokens, 0.0002 dollars; four seconds are eight times that."""
    server = start(MAX_CALL_COST_USD="0.001")
    with server.scene(Script(Say(GREETING), Say(ANSWER), Say(GOODBYE))) as scene:
        callee = Callee([HearPause(300), Speak(words("And?", 400)), WaitForEnd()])
        call = scene.ring(callee, agent="host")
        assert scene.ending(call).reason == "limit.cost"
        assert callee.failure is None
        assert call.stream.heard_ms_of(GREETING.audio) == GREETING.duration_ms
        assert call.stream.heard_ms_of(GOODBYE.audio) == GOODBYE.duration_ms
        assert call.said == []


def test_a_limit_that_cannot_hold_is_told_once(start: Callable[..., Server]) -> None:
    server = start(MAX_CALL_COST_USD="0.0001", OPENAI_REALTIME_MODEL="a-model-of-tomorrow")
    with server.scene(Script(Say(GREETING)), models=["a-model-of-tomorrow"]) as scene:
        for _ in range(2):
            call = scene.ring(Callee([HearPause(300), HangUp()]), agent="host")
            assert scene.ending(call).reason == "caller.hung_up"
        told = [line for line in scene.warnings() if "MAX_CALL_COST_USD" in line]
        assert len(told) == 1
