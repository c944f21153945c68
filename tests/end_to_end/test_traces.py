"""The traces of a call that a real worker carries, told to stop right after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Callee, Hear, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.end_to_end.test_barge_in import LONG, STOP
from tests.stage import Server, words
from tests.tracing.collector import Collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def test_a_worker_that_stops_sends_its_traces_first(
    start: Callable[..., Server], collector: Collector
) -> None:
    """They go every five seconds; without a last time those of each deployment would be lacking."""
    server = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="3600000")
    with server.scene(Script(Say(LONG), [Say(words("Goodbye.", 300)), ToolCall("end_call")])) as scene:
        call = scene.ring(Callee([Hear(600), Speak(STOP), WaitForEnd()]), agent="host")
        assert scene.ending(call).reason == "agent.ended"
    server.terminate()
    root, *inner = collector.wait_for(4)
    assert root.name == "invoke_agent host"
    assert root.attributes["gen_ai.conversation.id"] == call.sid
    assert [span.name.split()[0] for span in inner] == ["chat", "chat", "execute_tool"]
    greeting, answer, tool = inner
    assert greeting.events["barge_in"]["callapp.heard_ms"] > 0
    assert answer.attributes["callapp.turn.barge_in"] is True
    assert tool.attributes["gen_ai.tool.name"] == "end_call"
    for span in inner:
        assert span.parent_id in (root.id, answer.id)
        assert root.start_ms <= span.start_ms <= span.end_ms <= root.end_ms
