"""Every number that ``GET /metrics`` shows, once: its name, kind, labels and meaning.

Label values are few and known beforehand: what a model or a caller can make up is never one.
"""

from __future__ import annotations

import os
import struct
import time
from contextlib import suppress

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

# When a series began is of no use here, and would double the page.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library says no types for it

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Set, by ``gunicorn.conf.py``, when several processes are to be shown as one."""

_CALL_S = (5, 15, 30, 60, 120, 180, 300, 600, 1200, 1800, 3600)
_ANSWER_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2, 3, 5, 10)
_AT_ONCE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_TOOL_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30)

_TRIES = 5
_TRY_AGAIN_S = 0.01


class Instruments:
    """The numbers of one process; several of one app's processes are added up when they are shown."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, labels, registry=registry, multiprocess_mode="livesum")

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, registry=registry)

        def seconds(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, meaning, labels, buckets=buckets, registry=registry)

        # The present
        self.calls_active = gauge("callapp_calls_active", "Calls that are alive.")
        self.calls_capacity = gauge("callapp_calls_capacity", "Calls that can be alive at once.")
        self.slots_taken = gauge(
            "callapp_slots_taken",
            "Calls that are alive, or whose phone rings, or that wait for their stream.",
        )
        self.queue_depth = gauge("callapp_queue_depth", "What waits in a queue.", "queue")
        self.writer_lag = Gauge(
            "callapp_writer_lag_seconds",
            "For how long the record could not be written, though something waits.",
            registry=registry,
            multiprocess_mode="livemax",
        )

        # Calls
        self.calls = counter("callapp_calls_total", "Calls that are over.", "direction", "end_reason")
        self.call_duration = seconds(
            "callapp_call_duration_seconds", "From the stream's start to the end of the call.", _CALL_S
        )
        self.first_audio = seconds(
            "callapp_first_audio_seconds", "From the stream's start to the agent's first audio.", _ANSWER_S
        )
        self.voice_to_voice = seconds(
            "callapp_voice_to_voice_seconds",
            "From the caller's last sound to the first byte of the answer sent.",
            _ANSWER_S,
        )
        self.voice_to_audible = seconds(
            "callapp_voice_to_audible_seconds",
            "From the caller's last sound to the first audible byte of the answer, as the phone plays it.",
            _ANSWER_S,
        )
        self.barge_in = seconds(
            "callapp_barge_in_seconds",
            "From being told that the caller interrupts to having told the phone to be silent.",
            _AT_ONCE_S,
        )
        self.tool = seconds("callapp_tool_seconds", "How long tools took.", _TOOL_S, "name", "outcome")

        # The model
        self.model_connect = seconds(
            "callapp_model_connect_seconds",
            "From the stream's start, or the loss of a session, to a session of the model.",
            _ANSWER_S,
        )
        self.model_reconnects = counter(
            "callapp_model_reconnects_total", "Sessions of the model that replaced another one."
        )
        self.tokens = counter("callapp_tokens_total", "Tokens that the model charged for.", "kind")
        self.transcribed = counter(
            "callapp_transcribed_seconds_total", "Seconds of the callers' speech that were transcribed."
        )
        self.cost = counter(
            "callapp_cost_usd_total", "What the models cost, in US dollars, where their prices are known."
        )

        # What got lost, and what is done besides
        self.audio_dropped = counter(
            "callapp_caller_audio_dropped_seconds_total",
            "Seconds of the callers' audio that were dropped while the model was away.",
        )
        self.jobs = counter(
            "callapp_jobs_total", "Attempts at webhooks, and at analysing calls.", "kind", "outcome"
        )
        self.queue_dropped = counter("callapp_queue_dropped_total", "What found a queue full.", "queue")

    def exposition(self) -> bytes:
        """All numbers in Prometheus' text format."""
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # nor for this
        for _ in range(_TRIES):
            with suppress(struct.error):  # a worker that begins has made its file, and not filled it yet
                return generate_latest(registry)
            time.sleep(_TRY_AGAIN_S)  # nothing tells when the file is filled
        return generate_latest(registry)
