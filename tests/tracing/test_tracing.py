"""Traces: when they are wanted, and what of a call is in them; sent over real OTLP/HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from callapp.call.relay import Told
from callapp.conversation.events import Usage
from callapp.conversation.facts import (
    BargedIn,
    Began,
    Closed,
    Ended,
    Fact,
    Fault,
    FirstAudio,
    ModelConnected,
    ToolRan,
    TurnAnswered,
    Used,
    Uttered,
)
from callapp.errors import ConfigError
from callapp.tracing.exporting import Traces, open_traces, traces_wanted
from tests.metrics.test_meter import call
from tests.tracing.collector import Collector, Span

BEGAN_AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
BEGAN_MS = round(BEGAN_AT.timestamp() * 1000)

A_CALL: tuple[Fact, ...] = (
    Began(),
    ModelConnected(300, 300, again=False),
    FirstAudio(500),
    Used(600, Usage(input_text=100, output_audio=20)),
    Uttered(1_200, "agent", "item_1", "Hello, how can I", 500, 1_200, interrupted=True),
    BargedIn(1_200, 1_199, "item_1", 700, 4_000),
    Uttered(2_000, "caller", "item_2", "A secret word.", 1_100, 2_000),
    TurnAnswered(2_600, 1, 600, 700, barge_in=True),
    Used(2_700, Usage(input_text=110, input_audio=50, cached_text=100, output_audio=30)),
    ToolRan(2_800, "call_1", "find_order", '{"id": 7}', "found", "ok", 150),
    ToolRan(3_000, "call_2", "slow", "{}", None, "timeout", 15_000),
    Uttered(4_000, "agent", "item_3", "It is on its way.", 2_600, 4_000),
    Ended(5_000, "agent.ended"),
    Closed(5_100),
)


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def traces(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    for name, value in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-team=phones",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }.items():
        monkeypatch.setenv(name, value)
    traces = open_traces(os.environ, "/dev/null")
    assert traces is not None
    yield traces
    traces.close(20.0)


def tell(traces: Traces, *facts: Fact, **particulars: Any) -> None:
    for fact in facts:
        traces.reader.note(Told(call(began_at=BEGAN_AT, **particulars), fact, fact.at_ms + 1))


def sent(collector: Collector, traces: Traces, count: int) -> list[Span]:
    traces.close(20.0)
    return collector.wait_for(count)


def test_a_call_is_a_trace_of_its_turns_and_tools(collector: Collector, traces: Traces) -> None:
    tell(traces, *A_CALL)
    spans = sent(collector, traces, 5)
    root, greeting, turn, order, slow = spans
    assert [span.name for span in spans] == [
        "invoke_agent operator",
        "chat gpt-realtime-2.1-mini",
        "chat gpt-realtime-2.1-mini",
        "execute_tool find_order",
        "execute_tool slow",
    ]
    assert {span.trace_id for span in spans} == {root.trace_id}
    assert root.parent_id == b""
    assert (greeting.parent_id, turn.parent_id) == (root.id, root.id)
    assert (order.parent_id, slow.parent_id) == (turn.id, turn.id)
    # Each where it happened, by the call's own clock, however late it was told.
    assert (root.start_ms, root.end_ms) == (BEGAN_MS, BEGAN_MS + 5_000)
    assert (greeting.start_ms, greeting.end_ms) == (BEGAN_MS + 500, BEGAN_MS + 1_200)
    assert (turn.start_ms, turn.end_ms) == (BEGAN_MS + 2_000, BEGAN_MS + 18_000)
    assert (order.start_ms, order.end_ms) == (BEGAN_MS + 2_800, BEGAN_MS + 2_950)


def test_spans_speak_the_conventions_for_generative_ai(collector: Collector, traces: Traces) -> None:
    tell(traces, *A_CALL)
    spans = sent(collector, traces, 5)
    root, greeting, turn, _, slow = (span.attributes for span in spans)
    assert root["gen_ai.operation.name"] == "invoke_agent"
    assert root["gen_ai.agent.name"] == "operator"
    assert root["gen_ai.conversation.id"] == "CA1"
    assert root["callapp.call.end_reason"] == "agent.ended"
    assert (root["gen_ai.usage.input_tokens"], root["gen_ai.usage.output_tokens"]) == (260, 50)
    assert greeting["callapp.turn.index"] == 0
    assert turn["gen_ai.operation.name"] == "chat"
    assert turn["gen_ai.provider.name"] == "openai"
    assert turn["gen_ai.usage.input_tokens"] == 160
    assert turn["gen_ai.usage.cache_read.input_tokens"] == 100
    assert turn["callapp.voice_to_voice_ms"] == 600
    assert turn["callapp.turn.barge_in"] is True
    assert slow["gen_ai.tool.name"] == "slow"
    assert slow["gen_ai.tool.call.id"] == "call_2"
    assert slow["error.type"] == "timeout"
    assert [span.failed for span in spans] == [False, False, False, False, True]
    assert spans[1].events["barge_in"] == {"callapp.clear_ms": 2.0, "callapp.heard_ms": 700}
    official = {
        value
        for name, value in vars(gen_ai_attributes).items()
        if name.startswith("GEN_AI") and isinstance(value, str)
    }
    used = {name for span in spans for name in span.attributes if name.startswith("gen_ai.")}
    assert used <= official
    assert all(span.kind == (3 if span.name.startswith("chat") else 1) for span in spans)


def test_nothing_that_was_said_and_nobody_s_number_is_in_a_trace(
    collector: Collector, traces: Traces
) -> None:
    complaint = Fault(4_500, "invalid_value", "No such item: 'I live in Elm Street'.")
    tell(traces, *A_CALL[:-2], complaint, *A_CALL[-2:], from_number="+819012345678")
    shown = repr(sent(collector, traces, 5))
    assert "invalid_value" in shown
    for secret in ("Elm Street", "+81", "secret word", "on its way", "'id': 7", "found'"):
        assert secret not in shown


def test_the_operator_s_variables_are_followed(collector: Collector, traces: Traces) -> None:
    tell(traces, *A_CALL)
    (root, *_) = sent(collector, traces, 5)
    assert collector.headers[0]["x-team"] == "phones"
    assert root.resource["service.name"] == "callapp"
    assert root.resource["deployment.environment.name"] == "test"
    assert root.resource["service.version"]


def test_a_call_that_failed_is_marked_so(collector: Collector, traces: Traces) -> None:
    tell(traces, Began(), Ended(900, "openai.unreachable"), Closed(900))
    (root,) = sent(collector, traces, 1)
    assert root.failed
    assert root.attributes["error.type"] == "openai.unreachable"
    assert "gen_ai.usage.input_tokens" not in root.attributes


def test_facts_of_a_call_whose_beginning_was_lost_are_no_trace(collector: Collector, traces: Traces) -> None:
    tell(traces, FirstAudio(500), Ended(900, "agent.ended"), Closed(900))
    tell(traces, Began(), Closed(1), call_sid="CA2")
    (root,) = sent(collector, traces, 1)
    assert root.attributes["gen_ai.conversation.id"] == "CA2"


def test_a_collector_that_is_away_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and never answers
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        for name, value in {**environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "3"}.items():
            monkeypatch.setenv(name, value)
        traces = open_traces(environ, "/dev/null")
        assert traces is not None
        tell(traces, *A_CALL)
        began_s = time.monotonic()
        traces.close(0.1)
        assert time.monotonic() - began_s < 3


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "callapp"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "True"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_the_variables_there_are_no_traces(environ: dict[str, str]) -> None:
    assert open_traces(environ, "/dev/null") is None


def test_without_the_variables_the_sdk_is_not_even_loaded() -> None:
    """It takes a third of a second and many megabytes."""
    program = (
        "import sys; from callapp.tracing.exporting import open_traces; "
        "assert open_traces({}, '/dev/null') is None; "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_way_of_sending_that_there_is_not_refuses_the_start() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}
    with pytest.raises(ConfigError) as error:
        open_traces(
            {**environ, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "zipkin"}, "/dev/null"
        )
    assert error.value.faults == (
        "OTEL_TRACES_EXPORTER: read 'zipkin', expected otlp or none",
        "OTEL_EXPORTER_OTLP_PROTOCOL: read 'grpc', expected http/protobuf",
    )


@pytest.mark.parametrize(
    "headers", ["x-team: hunter2", "authorization=Bearer hunter2,hunter2", 'x="hunter2"']
)
def test_headers_that_are_none_refuse_the_start_and_are_not_shown(headers: str) -> None:
    """The SDK would go on without them, and log them: they are keys, mostly."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": headers,
    }
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_HEADERS: read a value") as error:
        open_traces(environ, "/dev/null")
    assert "hunter2" not in str(error.value.faults)


def test_headers_may_be_all_that_the_sdk_takes() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer a:b/c+d==, x-team = phones%20%26, empty=,",
    }
    assert traces_wanted(environ, "/dev/null")


def test_a_variable_that_the_sdk_cannot_read_refuses_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(ConfigError, match="OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a non-negative integer"):
        open_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, "/dev/null")


def test_variables_may_stand_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1\nOTEL_SDK_DISABLED=true\nX=1\n"
    )
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:2"}
    assert open_traces(environ, tmp_path / ".env") is None
    assert environ == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:2", "OTEL_SDK_DISABLED": "true"}
