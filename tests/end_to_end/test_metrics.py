"""What Prometheus is told of calls that two processes carry."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Callee, Hear, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.end_to_end.test_barge_in import LONG, STOP
from tests.metrics.test_meter import samples
from tests.stage import DEADLINE_S, Server, words
from tests.stage import eventually as sooner_or_later

BYE = words("Goodbye.", 300)
CALLS = 4


def eventually(holds: Callable[[], object]) -> bool:
    return sooner_or_later(holds, DEADLINE_S)


def numbers(server: Server) -> dict[str, float]:
    answer = server.get("/metrics")
    assert answer.status == 200
    return samples(answer.text)


def test_calls_of_all_workers_are_counted_with_their_delays(start: Callable[..., Server]) -> None:
    server = start(WEB_CONCURRENCY="2", MAX_CONCURRENT_CALLS="10")
    assert eventually(lambda: numbers(server).get("callapp_calls_capacity") == 20)
    script = Script(Say(LONG), [Say(BYE), ToolCall("end_call")])
    with server.scene(script) as scene:
        callees = [Callee([Hear(600), Speak(STOP), WaitForEnd()]) for _ in range(CALLS)]
        calls = [scene.ring(callee, agent="host") for callee in callees]
        assert eventually(lambda: numbers(server)["callapp_calls_active"] > 0)
        for call in calls:
            assert scene.ending(call).reason == "agent.ended"
    over = "callapp_calls_total{direction='incoming',end_reason='agent.ended'}"
    assert eventually(lambda: numbers(server).get(over) == CALLS)
    assert eventually(lambda: numbers(server)["callapp_calls_active"] == 0)

    # A worker that dies takes no count with it, and its lines are those of its successor.
    doomed = server.workers[0]
    os.kill(doomed, signal.SIGKILL)
    assert eventually(lambda: doomed not in server.workers and len(server.workers) == 2)
    assert eventually(lambda: numbers(server)["callapp_calls_capacity"] == 20)
    found = numbers(server)
    assert found[over] == CALLS
    for name in (
        "call_duration",
        "first_audio",
        "voice_to_voice",
        "voice_to_audible",
        "barge_in",
        "model_connect",
    ):
        assert found[f"callapp_{name}_seconds_count"] == CALLS, name
    assert 0 < found["callapp_barge_in_seconds_sum"] / CALLS < 1
    assert 0 < found["callapp_first_audio_seconds_sum"] / CALLS < 10
    assert found["callapp_tool_seconds_count{name='end_call',outcome='ok'}"] == CALLS
    assert found["callapp_tokens_total{kind='output_audio'}"] > 0
    assert found["callapp_cost_usd_total"] > 0
