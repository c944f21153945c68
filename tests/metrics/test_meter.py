"""What facts of calls become: numbers, read back by Prometheus' own parser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from callapp.call.journal import Journal, Particulars
from callapp.call.relay import Told
from callapp.conversation.events import Usage
from callapp.conversation.facts import (
    AudioDropped,
    BargedIn,
    Began,
    Closed,
    Ended,
    Fact,
    FirstAudio,
    ModelConnected,
    ToolRan,
    TurnAnswered,
    Used,
)
from callapp.metrics.instruments import Instruments
from callapp.metrics.meter import Meter, Present
from callapp.prices import TextTokens, text_usd


class Numbers:
    """A meter of one process, and what it shows."""

    def __init__(self, **present: Any) -> None:
        self.present = {"active": 0, "taken": 0, "depth": 0, "drops": 0, "lag_s": 0.0, **present}
        self.meter = Meter(
            Instruments(),
            Present(
                calls_active=lambda: self.present["active"],
                slots_taken=lambda: self.present["taken"],
                calls_capacity=20,
                queue_depths={"tools": lambda: self.present["depth"]},
                queue_drops={"tools": lambda: self.present["drops"]},
                writer_lag_s=lambda: self.present["lag_s"],
            ),
            ["end_call"],
        )

    def note(self, *facts: Fact, told_ms: float = 0.0, **particulars: Any) -> None:
        for fact in facts:
            self.meter.note(Told(call(**particulars), fact, told_ms))

    def __getitem__(self, name: str) -> float | None:
        """A sample, by its name and labels as they stand in PromQL."""
        return samples(self.meter.exposition().decode()).get(name)


def samples(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value!r}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def call(**particulars: Any) -> Particulars:
    return Particulars(
        **{
            "call_sid": "CA1",
            "direction": "incoming",
            "from_number": "+81",
            "to_number": "+1",
            "agent": "operator",
            "parameters": {},
            "model": "gpt-realtime-2.1-mini",
            "transcription_model": "gpt-transcribe",
            **particulars,
        }
    )


def tool(name: str, outcome: Any, duration_ms: float) -> ToolRan:
    return ToolRan(0.0, "call_1", name, "{}", "out", outcome, duration_ms)


def test_a_call_that_is_over_is_counted_by_direction_and_reason_with_its_length() -> None:
    numbers = Numbers()
    numbers.note(Began(), Ended(41_200, "agent.ended"), Closed(41_300))
    numbers.note(Ended(1_000, "caller.hung_up"), direction="outgoing")
    assert numbers["callapp_calls_total{direction='incoming',end_reason='agent.ended'}"] == 1
    assert numbers["callapp_calls_total{direction='outgoing',end_reason='caller.hung_up'}"] == 1
    assert numbers["callapp_call_duration_seconds_sum"] == pytest.approx(42.2)
    assert numbers["callapp_call_duration_seconds_count"] == 2


def test_a_call_that_came_back_from_another_process_has_had_its_first_audio() -> None:
    numbers = Numbers()
    came_back = call(resumed=True)
    journal = Journal(came_back, [lambda *told: numbers.meter.note(Told(*told))], before_ms=95_000)
    journal(FirstAudio(400), 400)
    assert numbers["callapp_first_audio_seconds_count"] == 0


def test_delays_are_in_seconds() -> None:
    numbers = Numbers()
    numbers.note(
        FirstAudio(480), ModelConnected(300, 300, again=False), TurnAnswered(5_000, 1, 620, 700, False)
    )
    # The journal is told once the phone was told to be silent: that is where the barge-in is over.
    numbers.note(BargedIn(12_040, 12_040, "item_1", 1_240, 8_000), told_ms=12_042)
    assert numbers["callapp_first_audio_seconds_sum"] == pytest.approx(0.48)
    assert numbers["callapp_model_connect_seconds_sum"] == pytest.approx(0.3)
    assert numbers["callapp_voice_to_voice_seconds_sum"] == pytest.approx(0.62)
    assert numbers["callapp_voice_to_audible_seconds_sum"] == pytest.approx(0.7)
    assert numbers["callapp_barge_in_seconds_sum"] == pytest.approx(0.002)
    assert numbers["callapp_barge_in_seconds_bucket{le='0.0025'}"] == 1
    assert numbers["callapp_model_reconnects_total"] == 0


def test_a_model_that_was_dialled_again_is_counted() -> None:
    numbers = Numbers()
    numbers.note(ModelConnected(300, 300, again=False), ModelConnected(9_000, 800, again=True))
    assert numbers["callapp_model_reconnects_total"] == 1
    assert numbers["callapp_model_connect_seconds_count"] == 2


def test_what_the_model_never_heard_of_a_caller_is_counted() -> None:
    numbers = Numbers()
    numbers.note(AudioDropped(60_000, 1_500))
    assert numbers["callapp_caller_audio_dropped_seconds_total"] == 1.5


def test_tools_are_told_apart_but_for_those_that_a_model_made_up() -> None:
    """A label value that somebody can make up would grow Prometheus without bound."""
    numbers = Numbers()
    numbers.note(tool("end_call", "ok", 3), tool("drop_tables", "error", 1), tool("x" * 500, "error", 1))
    assert numbers["callapp_tool_seconds_sum{name='end_call',outcome='ok'}"] == pytest.approx(0.003)
    assert numbers["callapp_tool_seconds_count{name='other',outcome='error'}"] == 2
    assert b"drop_tables" not in numbers.meter.exposition()


def test_usage_becomes_tokens_and_dollars() -> None:
    numbers = Numbers()
    usage = Usage(input_text=100, input_audio=200, cached_text=50, output_audio=1_000_000, transcribed_s=60)
    numbers.note(Used(0.0, usage))
    assert numbers["callapp_tokens_total{kind='output_audio'}"] == 1_000_000
    assert numbers["callapp_tokens_total{kind='cached_text'}"] == 50
    assert numbers["callapp_transcribed_seconds_total"] == 60
    dollars = numbers["callapp_cost_usd_total"]
    assert dollars is not None
    assert dollars == pytest.approx(20 + 0.0045, abs=0.01)  # prices.json: 20 a million, 0.0045 a minute


def test_the_analysis_is_a_part_of_what_is_spent() -> None:
    """The record counts it among a call's cost; a budget that is watched here has to hold as much."""
    numbers = Numbers()
    tokens = TextTokens(read=1_000_000, cached=0, cache_written=0, written=1_000_000)
    numbers.meter.analysis_asked("gpt-5.6-luna", tokens)
    numbers.meter.analysis_asked("from-somewhere", tokens)
    assert numbers["callapp_tokens_total{kind='analysis_input'}"] == 2_000_000
    assert numbers["callapp_tokens_total{kind='analysis_output'}"] == 2_000_000
    assert numbers["callapp_cost_usd_total"] == text_usd("gpt-5.6-luna", tokens)


def test_a_model_whose_prices_are_unknown_costs_nothing_here() -> None:
    numbers = Numbers()
    numbers.note(Used(0.0, Usage(output_audio=1000)), model="from-somewhere", transcription_model=None)
    assert numbers["callapp_tokens_total{kind='output_audio'}"] == 1000
    assert numbers["callapp_cost_usd_total"] == 0


def test_the_present_is_as_it_is_when_somebody_asks() -> None:
    numbers = Numbers(active=2, taken=3, depth=4)
    assert numbers["callapp_calls_active"] == 2
    assert numbers["callapp_slots_taken"] == 3
    assert numbers["callapp_calls_capacity"] == 20
    assert numbers["callapp_queue_depth{queue='tools'}"] == 4
    numbers.present["active"] = 0
    assert numbers["callapp_calls_active"] == 0


def test_drops_that_are_counted_elsewhere_are_caught_up_with() -> None:
    numbers = Numbers(drops=3)
    assert numbers["callapp_queue_dropped_total{queue='tools'}"] == 3
    numbers.present["drops"] = 5
    assert numbers["callapp_queue_dropped_total{queue='tools'}"] == 5
    assert numbers["callapp_queue_dropped_total{queue='tools'}"] == 5


def test_the_contract_s_names_are_all_there() -> None:
    text = Numbers().meter.exposition().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, flags=re.MULTILINE))
    wanted = {
        "callapp_calls_active": "gauge",
        "callapp_calls_total": "counter",
        "callapp_call_duration_seconds": "histogram",
        "callapp_first_audio_seconds": "histogram",
        "callapp_voice_to_voice_seconds": "histogram",
        "callapp_barge_in_seconds": "histogram",
        "callapp_tool_seconds": "histogram",
        "callapp_model_reconnects_total": "counter",
        "callapp_tokens_total": "counter",
        "callapp_cost_usd_total": "counter",
    }
    assert {name: kinds.get(name) for name in wanted} == wanted
