"""Keys that the caller presses take the floor, as speech does; what they add up to, somebody is told."""

from __future__ import annotations

from dataclasses import dataclass

from callapp.conversation.briefing import Briefing
from callapp.conversation.chronicle import Chronicle
from callapp.conversation.commands import Command, Tell
from callapp.conversation.floor import Floor
from callapp.conversation.history import CALLER, History
from callapp.conversation.keys import Entry, Keys
from callapp.conversation.playback import Playback
from callapp.conversation.tool_calls import ToolCalls
from callapp.conversation.tool_rounds import ToolRounds
from callapp.conversation.wishes import CollectDigits

COLLECTING = '{"error": "Digits are being collected already. Wait for those."}'


@dataclass(frozen=True, slots=True)
class Keypad:
    """What follows from a key, from a tool that asks for some, and from the pause after them."""

    _keys: Keys
    _playback: Playback
    _history: History
    _chronicle: Chronicle
    _tool_calls: ToolCalls
    _tool_rounds: ToolRounds
    _briefing: Briefing
    _floor: Floor

    def pressed(self, key: str, at_ms: float) -> list[Command]:
        """The caller presses a key."""
        if self._floor.closed or self._keys.in_vain(key, at_ms):
            return []
        commands = self._floor.take(at_ms)
        return commands + self._pass_on(self._keys.pressed(key, at_ms), at_ms)

    def collect(self, tool_call_id: str, wish: CollectDigits, at_ms: float) -> list[Command]:
        """A tool asks for digits; it is answered when they are there."""
        if self._keys.collecting:
            return self._tool_rounds.answer(tool_call_id, COLLECTING, at_ms)
        self._tool_calls.wait_for_caller(tool_call_id)
        return self._pass_on(self._keys.collect(tool_call_id, wish, at_ms), at_ms)

    def look_after(self, at_ms: float) -> list[Command]:
        """Time passes: a pause may have ended what was being pressed."""
        return self._pass_on(self._keys.expired(at_ms, self._playback.dry_ms), at_ms)

    def _pass_on(self, entry: Entry | None, at_ms: float) -> list[Command]:
        if entry is None:
            return []
        self._chronicle.keys_pressed(entry, at_ms)
        if entry.as_history:
            self._history.settle(CALLER, f"keys-{entry.number}", entry.as_history)
        if entry.tool_call_id is not None:
            return self._tool_rounds.answer(
                entry.tool_call_id, entry.as_output, at_ms, sensitive=entry.sensitive
            )
        return self._briefing.tell(Tell("caller", entry.as_input, entry.sensitive))
