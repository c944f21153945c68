"""A call on a real worker: webhooks tell of it, a text model reads it, and a killed worker forgets none."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Callee, WaitForEnd
from callapp.simulators.phone import Say as Speak
from callapp.simulators.text_model import PretendTextModel
from tests.stage import DEADLINE_S, Server, eventually, words
from tests.webhooks.receiver import SECRET, Receiver

BYE = words("Bye.", 300)


def test_a_call_is_told_of_read_and_told_of_again_also_when_the_worker_is_killed_in_between(
    start: Callable[..., Server], receiver: Receiver, text_model: PretendTextModel
) -> None:
    server = start(
        WEBHOOK_URL=receiver.url,
        WEBHOOK_SECRET=SECRET,
        OPENAI_BASE_URL=text_model.url,
        ANALYSIS_MODEL="gpt-5.6-terra",
    )
    with server.scene(Script([Say(words("Goodbye.", 300)), ToolCall("end_call")])) as scene:
        call = scene.ring(Callee([Speak(BYE), WaitForEnd()]))
        assert scene.ending(call).reason == "agent.ended"
        started, ended, analyzed = (receiver.get(DEADLINE_S) for _ in range(3))
    assert started.message["type"] == "call.started"
    assert started.message["data"]["callSid"] == call.sid
    assert "utterances" not in started.message["data"]
    assert ended.message["type"] == "call.ended"
    assert ended.message["data"]["endReason"] == "agent.ended"
    assert [one["role"] for one in ended.message["data"]["utterances"]] == ["caller", "agent"]
    assert ended.message["data"]["summary"] is None
    assert analyzed.message["type"] == "call.analyzed"
    assert analyzed.message["data"]["summary"] == "They said goodbye."
    assert text_model.requests[0]["model"] == "gpt-5.6-terra"
    assert server.get(f"/calls/{call.sid}").json["verdict"] == "resolved"
    counts = server.get("/metrics").text
    assert 'callapp_jobs_total{kind="call.ended",outcome="done"} 1.0' in counts

    # The next call's end is not taken; the worker dies; its successor tells of it.
    receiver.answers += [(200, {}), (503, {"retry-after": "3"})]
    since = len(server.lines)
    with server.scene(Script([Say(words("Goodbye.", 300)), ToolCall("end_call")])) as scene:
        second = scene.ring(Callee([Speak(BYE), WaitForEnd()]))
        assert scene.ending(second).reason == "agent.ended"
        seen = [receiver.get(DEADLINE_S) for _ in range(3)]
        assert [one.message["type"] for one in seen] == ["call.started", "call.ended", "call.analyzed"]
        server.wait_for_line("call.ended failed, next attempt in 3 s", since=since)
        doomed = server.workers[0]
        os.kill(doomed, signal.SIGKILL)
        assert eventually(lambda: server.workers and server.workers[0] != doomed, DEADLINE_S)
    again = receiver.get(DEADLINE_S)
    assert (again.id, again.body) == (seen[1].id, seen[1].body)
