"""Makes spans of the facts of calls: one a call, and within it one a turn and one a tool.

Names and attributes are those of OpenTelemetry's conventions for generative AI; ours begin with ``callapp.``.
What was said, and by whom, is in none of them: traces go to places where nobody expects it.
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-agent-spans/
"""

from __future__ import annotations

from dataclasses import dataclass, field

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from callapp.call.journal import Particulars
from callapp.call.relay import Told
from callapp.conversation.events import Usage
from callapp.conversation.facts import (
    AudioDropped,
    BargedIn,
    Began,
    Closed,
    Ended,
    Fault,
    FirstAudio,
    ModelConnected,
    ModelDisconnected,
    ToolRan,
    TurnAnswered,
    Used,
    Uttered,
)

# Calls that are traced at once; beyond that, and for calls whose end was lost, the oldest is given up.
MOST_CALLS = 5_000
Attributes = dict[str, AttributeValue]
_FAILURES = ("openai.", "server.", "twilio.")


@dataclass(slots=True)
class _Tokens:
    read: int = 0
    cached: int = 0
    written: int = 0

    def add(self, usage: Usage) -> None:
        self.read += usage.input_text + usage.input_audio
        self.cached += usage.cached_text + usage.cached_audio
        self.written += usage.output_text + usage.output_audio

    def attributes(self) -> Attributes:
        if not self.read and not self.written:
            return {}  # not reported: that is not none
        return {
            "gen_ai.usage.input_tokens": self.read,
            "gen_ai.usage.cache_read.input_tokens": self.cached,
            "gen_ai.usage.output_tokens": self.written,
        }


@dataclass(slots=True)
class _Turn:
    span: Span
    end_ms: float
    tokens: _Tokens = field(default_factory=_Tokens)


class _Trace:
    """The spans of one call."""

    def __init__(self, tracer: Tracer, call: Particulars) -> None:
        self._tracer = tracer
        self._model = call.model
        self._began_ns = int(call.began_at.timestamp() * 1e9)
        self._common: Attributes = {
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": call.model,
            "gen_ai.conversation.id": call.call_sid,
        }
        self._span = tracer.start_span(
            f"invoke_agent {call.agent}",
            start_time=self._ns(0),
            attributes={
                **self._common,
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": call.agent,
                "callapp.call.direction": call.direction,
            },
        )
        self._context = set_span_in_context(self._span)
        self._turn: _Turn | None = None
        self._tokens = _Tokens()
        self._end_ms: float | None = None

    def note(self, told: Told) -> None:
        match told.fact:
            case FirstAudio(at_ms=at_ms) if self._turn is None:
                self._begin_turn(at_ms, {"callapp.turn.index": 0})  # the greeting
            case TurnAnswered():
                self._answered(told.fact)
            case Uttered(role="agent", end_ms=end_ms) if self._turn is not None:
                self._turn.end_ms = max(self._turn.end_ms, end_ms)
            case Used(usage=usage):
                self._tokens.add(usage)
                if self._turn is not None:
                    self._turn.tokens.add(usage)
            case BargedIn(at_ms=at_ms, since_ms=since_ms, heard_ms=heard_ms):
                delays: Attributes = {"callapp.clear_ms": told.at_ms - since_ms, "callapp.heard_ms": heard_ms}
                self._event("barge_in", at_ms, delays)
            case ToolRan():
                self._tool(told.fact)
            case ModelConnected(at_ms=at_ms, after_ms=after_ms):
                self._event("model_connected", at_ms, {"callapp.after_ms": after_ms})
            case ModelDisconnected(at_ms=at_ms, reason=reason):
                self._event("model_disconnected", at_ms, {"callapp.reason": reason})
            case Fault(at_ms=at_ms, what=what):
                self._event("fault", at_ms, {"callapp.fault": what})
            case AudioDropped(at_ms=at_ms, dropped_ms=dropped_ms):
                self._event("audio_dropped", at_ms, {"callapp.dropped_ms": dropped_ms})
            case Ended(at_ms=at_ms, reason=reason):
                self._ended(at_ms, reason)

    def close(self, at_ms: float) -> None:
        self._end_turn()
        self._span.set_attributes(self._tokens.attributes())
        self._span.end(self._ns(at_ms if self._end_ms is None else self._end_ms))

    def _answered(self, fact: TurnAnswered) -> None:
        self._end_turn()
        self._begin_turn(
            fact.at_ms - fact.voice_to_voice_ms,
            {
                "callapp.turn.index": fact.index,
                "callapp.turn.barge_in": fact.barge_in,
                "callapp.voice_to_voice_ms": fact.voice_to_voice_ms,
                "callapp.voice_to_audible_ms": fact.audible_ms,
            },
        )

    def _begin_turn(self, at_ms: float, attributes: Attributes) -> None:
        span = self._tracer.start_span(
            f"chat {self._model}",
            self._context,
            kind=SpanKind.CLIENT,
            start_time=self._ns(at_ms),
            attributes={
                **self._common,
                "gen_ai.operation.name": "chat",
                "gen_ai.output.type": "speech",
                **attributes,
            },
        )
        self._turn = _Turn(span, at_ms)

    def _end_turn(self) -> None:
        """A turn lasts until what the agent said in it has been heard, or cut."""
        if self._turn is not None:
            self._turn.span.set_attributes(self._turn.tokens.attributes())
            self._turn.span.end(self._ns(self._turn.end_ms))
            self._turn = None

    def _tool(self, fact: ToolRan) -> None:
        if self._turn is not None:
            self._turn.end_ms = max(self._turn.end_ms, fact.at_ms + fact.duration_ms)
        span = self._tracer.start_span(
            f"execute_tool {fact.name}",
            self._context if self._turn is None else set_span_in_context(self._turn.span),
            start_time=self._ns(fact.at_ms),
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": fact.name,
                "gen_ai.tool.call.id": fact.tool_call_id,
                "gen_ai.tool.type": "function",
                "gen_ai.conversation.id": self._common["gen_ai.conversation.id"],
                "callapp.tool.outcome": fact.outcome,
            },
        )
        if fact.outcome != "ok":
            span.set_attribute("error.type", fact.outcome)
            span.set_status(Status(StatusCode.ERROR))
        span.end(self._ns(fact.at_ms + fact.duration_ms))

    def _event(self, name: str, at_ms: float, attributes: Attributes) -> None:
        span = self._span if self._turn is None else self._turn.span
        span.add_event(name, attributes, self._ns(at_ms))

    def _ended(self, at_ms: float, reason: str) -> None:
        self._end_ms = at_ms
        self._span.set_attribute("callapp.call.end_reason", reason)
        if reason.startswith(_FAILURES):
            self._span.set_attribute("error.type", reason)
            self._span.set_status(Status(StatusCode.ERROR))

    def _ns(self, at_ms: float) -> int:
        return self._began_ns + int(at_ms * 1e6)


class Tracing:
    """A reader of the relay's, whose thread alone calls it."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._traces: dict[str, _Trace] = {}  # by call, oldest first

    def note(self, told: Told) -> None:
        """Take a fact of a call."""
        call_sid = told.call.call_sid
        match told.fact:
            case Began():
                if len(self._traces) >= MOST_CALLS:
                    del self._traces[next(iter(self._traces))]
                self._traces[call_sid] = _Trace(self._tracer, told.call)
            case Closed(at_ms=at_ms):
                trace = self._traces.pop(call_sid, None)
                if trace is not None:
                    trace.close(at_ms)
            case _:
                trace = self._traces.get(call_sid)
                if trace is not None:
                    trace.note(told)

    def tick(self) -> None:
        """Nothing is due."""
