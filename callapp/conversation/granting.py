"""What tools want of the conversation, beyond an answer for the model: who is to see to it."""

from __future__ import annotations

from dataclasses import dataclass

from callapp.conversation.asides import Asides
from callapp.conversation.away import ON_THE_WAY, Away
from callapp.conversation.commands import Command
from callapp.conversation.keypad import Keypad
from callapp.conversation.tool_calls import ToolCalls
from callapp.conversation.tool_rounds import ToolRounds
from callapp.conversation.trips import Trips
from callapp.conversation.voicemail import Voicemail
from callapp.conversation.winding_up import WindingUp
from callapp.conversation.wishes import (
    CollectDigits,
    EndCall,
    SendDigits,
    StaySilent,
    Transfer,
    VoicemailReached,
    Wish,
)

MACHINE = '{"status": "waiting until the machine records", "next": "Say nothing more."}'
WAITING = '{"status": "listening"}'


@dataclass(frozen=True, slots=True)
class Granting:
    """What follows when a tool returns."""

    _tool_calls: ToolCalls
    _tool_rounds: ToolRounds
    _asides: Asides
    _keypad: Keypad
    _away: Away
    _trips: Trips
    _voicemail: Voicemail
    _winding_up: WindingUp

    def returned(self, tool_call_id: str, result: str | Wish, at_ms: float) -> list[Command]:
        """A tool is done: its answer for the model, or what it wants."""
        if isinstance(result, str):
            return self._tool_rounds.answer(tool_call_id, result, at_ms)
        response_id = self._tool_calls.response_of(tool_call_id)
        if response_id is None:
            return []
        match result:
            case EndCall() if self._away.trip is not None:
                return self._tool_rounds.answer(tool_call_id, ON_THE_WAY, at_ms)
            case EndCall():
                return self._tool_rounds.end_asked(tool_call_id, response_id, at_ms)
            case StaySilent():
                self._asides.silence.wait(at_ms)
                return self._tool_rounds.answer(tool_call_id, WAITING, at_ms, silent=True)
            case CollectDigits():
                return self._keypad.collect(tool_call_id, result, at_ms)
            case VoicemailReached():
                self._voicemail.reported(at_ms)
                answer = self._tool_rounds.answer(tool_call_id, MACHINE, at_ms, silent=True)
                return answer + self._winding_up.machine_found(at_ms)
            case SendDigits() | Transfer():
                self._tool_calls.wait_for_caller(tool_call_id)
                return self._trips.plan(tool_call_id, result, at_ms)
