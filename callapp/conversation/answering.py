"""The model's responses from their beginning to their end: what each of them does of what is to be said.

`Responses` is the gate, which keeps them apart. What follows from a response for tools, asides, who has the
floor, and for a caller who waits, is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

from callapp.conversation.asides import Asides
from callapp.conversation.briefing import Briefing
from callapp.conversation.commands import Command, Warn
from callapp.conversation.events import RequestFailed, ResponseEnded
from callapp.conversation.floor import Floor
from callapp.conversation.lifeline import Lifeline
from callapp.conversation.outage import Outage
from callapp.conversation.tool_calls import ToolCalls
from callapp.conversation.tool_rounds import ToolRounds
from callapp.conversation.voice import Voice


@dataclass(frozen=True, slots=True)
class Answering:
    """What follows when a response begins, ends, or does not come about."""

    _outage: Outage
    _lifeline: Lifeline
    _voice: Voice
    _briefing: Briefing
    _tool_calls: ToolCalls
    _tool_rounds: ToolRounds
    _asides: Asides
    _floor: Floor

    def started(self, response_id: str, tag: str | None, at_ms: float) -> list[Command]:
        """A response is active: ours, or one that the model has begun by itself."""
        responses = self._voice.responses
        knows_all = self._tool_calls.all_taken and self._briefing.all_taken
        commands = responses.started(response_id, tag, at_ms, knows_all=knows_all)
        commands += self._floor.hush(at_ms)
        if responses.covers(responses.wanted):
            responses.forget()
        return commands

    def refused(self, request_id: str, at_ms: float) -> list[Command]:
        """Another response was active when our request came: that one may do as well."""
        responses = self._voice.responses
        request = responses.refused(request_id, at_ms)
        commands = self._floor.hush(at_ms)
        if request is not None and request.aside:
            self._asides.refused(request.tag)
        elif request is not None and not responses.covers(request):
            responses.want(request)
        return commands

    def failed(self, failed: RequestFailed, at_ms: float) -> list[Command]:
        """The service did not take our request, for a reason that may pass."""
        responses = self._voice.responses
        if not responses.failing:
            self._lifeline.wait_begins(at_ms)
        if not responses.request_failed(failed.request_id, at_ms, failed.wait_ms):
            return self._outage.leave_to_carrier("openai.failed")
        return []

    def ended(self, ended: ResponseEnded, at_ms: float) -> list[Command]:
        """A response is over: what it was to say is said, or owed still."""
        responses = self._voice.responses
        response_id = ended.response_id
        if self._voice.has_spoken(response_id):
            self._asides.said(responses.active_tag)
        silenced = responses.silenced(response_id)  # `Voice` silences what the service cancelled
        commands = self._voice.response_ended(ended, at_ms)
        for call in ended.tool_calls:
            commands += self._tool_rounds.called(call, at_ms)
        tools_ask = self._tool_rounds.will_ask(response_id)
        unheard = not (silenced or self._voice.has_spoken(response_id) or tools_ask)
        # A filter, a limit or the service may cut it off before its first sound: nobody would speak then.
        cut_off = unheard and ended.status not in ("completed", "failed")
        failed = cut_off or (ended.status == "failed" and not silenced)
        if cut_off:  # one that failed is told anyway
            commands.append(Warn(f"a response was cut off before its first sound: {ended.status}"))
        if not failed:
            responses.ended(response_id, empty=unheard and ended.empty)
        else:
            if not responses.failing:
                self._lifeline.wait_begins(at_ms)
            if not responses.failed(response_id, at_ms, ended.wait_ms, tools_ask=tools_ask):
                return commands + self._outage.leave_to_carrier("openai.failed")
        return commands + self._tool_rounds.response_ended(response_id, at_ms)
