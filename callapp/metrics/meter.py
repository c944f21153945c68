"""Keeps the numbers up to date: facts of calls as they are told, the present once a second."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from threading import Lock

from prometheus_client import Counter

from callapp.call.journal import Particulars
from callapp.call.relay import Told
from callapp.conversation.events import Usage
from callapp.conversation.facts import (
    AudioDropped,
    BargedIn,
    Ended,
    FirstAudio,
    ModelConnected,
    ToolRan,
    TurnAnswered,
    Used,
)
from callapp.metrics.instruments import Instruments
from callapp.prices import TextTokens, model_prices, text_usd, usd_per_minute

TOKEN_KINDS = ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio")
"""As in the usage of a call; the cached ones are among those of the input."""

OTHER = "other"
"""In place of the name of a tool that there is not."""


@dataclass(frozen=True)
class Present:
    """How things stand in this process, as plain functions; none may take long."""

    calls_active: Callable[[], int]
    slots_taken: Callable[[], int]
    calls_capacity: int
    queue_depths: Mapping[str, Callable[[], int]]
    queue_drops: Mapping[str, Callable[[], int]]
    writer_lag_s: Callable[[], float]


class Meter:
    """A reader of the relay's; ``tick`` may be called from any thread.

    Args:
        tools: the names of all tools there are; a model can call for any other name.
    """

    def __init__(self, instruments: Instruments, present: Present, tools: Collection[str]) -> None:
        self._instruments = instruments
        self._present = present
        self._tools = frozenset(tools)
        self._lock = Lock()
        self._seen: dict[str, float] = {}

    def note(self, told: Told) -> None:
        """Take a fact of a call."""
        numbers = self._instruments
        match told.fact:
            case FirstAudio(at_ms=at_ms) if not told.call.resumed:  # the first was heard before it came here
                numbers.first_audio.observe(at_ms / 1000)
            case TurnAnswered(voice_to_voice_ms=sent_ms, audible_ms=audible_ms):
                numbers.voice_to_voice.observe(sent_ms / 1000)
                numbers.voice_to_audible.observe(audible_ms / 1000)
            case BargedIn(since_ms=since_ms):
                numbers.barge_in.observe((told.at_ms - since_ms) / 1000)
            case ToolRan(name=name, outcome=outcome, duration_ms=duration_ms):
                known = name if name in self._tools else OTHER
                numbers.tool.labels(known, outcome).observe(duration_ms / 1000)
            case ModelConnected(after_ms=after_ms, again=again):
                numbers.model_connect.observe(after_ms / 1000)
                if again:
                    numbers.model_reconnects.inc()
            case AudioDropped(dropped_ms=dropped_ms):
                numbers.audio_dropped.inc(dropped_ms / 1000)
            case Used(usage=usage):
                self._used(usage, told.call)
            case Ended(at_ms=at_ms, reason=reason):
                # The reasons all stand in the code, but for twilio.… of Twilio's five last statuses.
                numbers.calls.labels(told.call.direction, reason).inc()
                numbers.call_duration.observe(at_ms / 1000)

    def exposition(self) -> bytes:
        """All numbers in Prometheus' text format; of other processes the present is as of a second ago."""
        self.tick()
        return self._instruments.exposition()

    def job_done(self, kind: str, outcome: str) -> None:
        """Count an attempt at a job; from the thread that made it."""
        self._instruments.jobs.labels(kind, outcome).inc()

    def analysis_asked(self, model: str, tokens: TextTokens) -> None:
        """Count what an answer about a call took; from the thread that asked."""
        self._instruments.tokens.labels("analysis_input").inc(tokens.read)
        self._instruments.tokens.labels("analysis_output").inc(tokens.written)
        self._instruments.cost.inc(text_usd(model, tokens) or 0.0)

    def tick(self) -> None:
        """Look at the present."""
        numbers, present = self._instruments, self._present
        numbers.calls_active.set(present.calls_active())
        numbers.slots_taken.set(present.slots_taken())
        numbers.calls_capacity.set(present.calls_capacity)
        numbers.writer_lag.set(present.writer_lag_s())
        for queue, depth in present.queue_depths.items():
            numbers.queue_depth.labels(queue).set(depth())
        with self._lock:
            for queue, dropped in present.queue_drops.items():
                self._catch_up(numbers.queue_dropped.labels(queue), queue, dropped())

    def _catch_up(self, counter: Counter, name: str, total: float) -> None:
        """Bring a counter up to a total that is kept elsewhere."""
        counter.inc(max(0.0, total - self._seen.get(name, 0.0)))
        self._seen[name] = total

    def _used(self, usage: Usage, call: Particulars) -> None:
        numbers = self._instruments
        for kind in TOKEN_KINDS:
            if count := getattr(usage, kind):
                numbers.tokens.labels(kind).inc(count)
        if usage.transcribed_s:
            numbers.transcribed.inc(usage.transcribed_s)
        numbers.cost.inc(_usd(usage, call))


def _usd(usage: Usage, call: Particulars) -> float:
    """What something cost, as far as that is known."""
    prices = model_prices(call.model)
    minute_usd = usd_per_minute(call.transcription_model) if call.transcription_model else None
    return (prices.usd(usage) if prices else 0.0) + (minute_usd or 0.0) * usage.transcribed_s / 60
