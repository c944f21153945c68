"""What the model's next session has to be told, and whether it is its turn.

A session that is lost takes all that it knew with it. Its successor begins empty: it is told what was
said and heard, what became of the tools that the lost one had called, and what nobody may write down.
"""

from __future__ import annotations

from collections.abc import Iterable

from callapp.conversation.commands import Command, Tell
from callapp.conversation.history import History

CALL_GOES_ON = (
    "The connection was interrupted for a moment; this is the same call, and what was said so far "
    "stands above. Do not greet again. Go on where the conversation stopped; if the caller's last "
    "words are missing, ask for them."
)


class Briefing:
    """What is kept for a session that is not there yet."""

    def __init__(self, history: History) -> None:
        self.answer_owed = False  # the model was lost when it was its turn
        self.turn_cut = False  # the model was lost while the caller spoke
        self._history = history
        self._orphans: dict[str, str] = {}  # tools that a lost session called, by tool call
        self._notes: list[Tell] = []  # what has to be told and the history does not hold

    def session_lost(
        self, *, answer_owed: bool, turn_cut: bool, open_tools: Iterable[tuple[str, str]]
    ) -> None:
        """A session is gone that had it as its turn, or was listening, and waited for these tools."""
        self.answer_owed = answer_owed
        self.turn_cut = turn_cut
        self._orphans.update(open_tools)

    def turn_given(self) -> None:
        """A session is there, and knows whose turn it is."""
        self.answer_owed = self.turn_cut = False

    def orphaned(self, tool_call_id: str) -> bool:
        """Whether the session that made this call is gone."""
        return tool_call_id in self._orphans

    def adopt(self, tool_call_id: str, output: str, sensitive: bool) -> Tell:
        """Put what such a call returned into words, for the session that is there by now, or comes."""
        name = self._orphans.pop(tool_call_id)
        words = f"The tool {name} was called before the interruption. It returned: {output}"
        if not sensitive:
            self._history.note(words)
        return Tell("system", words, sensitive)

    def note(self, told: Tell) -> None:
        """Keep a line for the next session alone."""
        self._notes.append(told)

    def first(self) -> list[Command]:
        """What the first session of a call is told."""
        notes, self._notes = self._notes, []
        return [*notes]

    def successor(self) -> list[Command]:
        """What a session is told that comes after a lost one."""
        commands: list[Command] = []
        for role, text, interrupted in self._history.lines():
            commands.append(Tell(role, f"{text} … [interrupted]" if interrupted else text))
        commands.append(Tell("system", CALL_GOES_ON))
        return commands + self.first()
