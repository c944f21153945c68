"""What the model is told of the call: at once, or by way of the session that comes next.

A session that is lost takes all that it knew with it. Its successor begins empty: it is told what was
said and heard, what became of the tools that the lost one had called, and what nobody may write down.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from callapp.conversation.away import Resumed, news_of
from callapp.conversation.commands import LINE_ID, Command, Tell
from callapp.conversation.farewell import Farewell
from callapp.conversation.history import History
from callapp.conversation.lifeline import Lifeline
from callapp.conversation.responses import ANSWER, Request
from callapp.conversation.voice import Voice
from callapp.conversation.wishes import Transfer

CALL_GOES_ON = (
    "The connection was interrupted for a moment; this is the same call, and what was said so far "
    "stands above. Do not greet again. Go on where the conversation stopped; if the caller's last "
    "words are missing, ask for them."
)

AN_ANSWER = Request(ANSWER)


class Briefing:
    """What a session has to know, and whether it is its turn.

    Args:
        resumed: what was before, if the call comes from another process.
    """

    def __init__(
        self,
        history: History,
        voice: Voice,
        farewell: Farewell,
        lifeline: Lifeline,
        resumed: Resumed | None,
    ) -> None:
        self.answer_owed = False  # the model was lost when it was its turn
        self.turn_cut = False  # the model was lost while the caller spoke
        self._history = history
        self._voice = voice
        self._farewell = farewell
        self._lifeline = lifeline
        self._begun = False  # what the history holds is news to the next session
        self._orphans: dict[str, str] = {}  # tools that a lost session called, by tool call
        self._lines_told = 0  # to sessions that had to answer
        self._untaken: str | None = None  # the newest of those, on its way into the model's conversation
        self._notes: list[Tell] = []  # what has to be told and the history does not hold
        if resumed is not None:
            history.take_over(resumed.said)
            history.note(news_of(resumed.trip, resumed.why))
            self._begun = True
            self.answer_owed = isinstance(resumed.trip, Transfer)  # after keys the line has the word

    def tell(self, told: Tell, answer: Request = AN_ANSWER) -> list[Command]:
        """Tell the model what it has to answer, or its successor. What is not sensitive, the history has."""
        if self._lifeline.up:
            if not self._farewell.begun:
                self._voice.responses.want(answer)
            self._lines_told += 1
            self._untaken = f"{LINE_ID}{self._lines_told}"
            return [replace(told, item_id=self._untaken)]
        self.answer_owed = True
        if told.sensitive or not self._begun:  # the history will not tell it
            self._notes.append(told)
        return []

    def tell_news(self, words: str, answer: Request = AN_ANSWER, *, sensitive: bool = False) -> list[Command]:
        """Tell the model what has happened, for it to answer; those that come after it, too."""
        if not sensitive:
            self._history.note(words)
        return self.tell(Tell("system", words, sensitive), answer)

    def taken(self, item_id: str) -> None:
        """A line stands in the model's conversation."""
        if item_id == self._untaken:
            self._untaken = None

    @property
    def all_taken(self) -> bool:
        """Whether no line that has to be answered is still on its way into the model's conversation."""
        return self._untaken is None

    def whisper(self, words: str) -> list[Command]:
        """Somebody on our side tells the model something; it is to act on it, and not to tell of it."""
        return self.tell_news(f"[From those who run this line, unheard by the caller] {words}")

    def session_lost(
        self, *, answer_owed: bool, turn_cut: bool, open_tools: Iterable[tuple[str, str]]
    ) -> None:
        """A session is gone that had it as its turn, or was listening, and waited for these tools."""
        self.answer_owed = answer_owed
        self.turn_cut = turn_cut
        self._untaken = None
        self._orphans.update(open_tools)

    def turn_given(self) -> None:
        """A session is there, and knows whose turn it is."""
        self.answer_owed = self.turn_cut = False

    def adopt(self, tool_call_id: str, output: str, sensitive: bool, answer: Request) -> list[Command]:
        """If the session that made this call is gone, tell in words what the call returned."""
        name = self._orphans.pop(tool_call_id, None)
        if name is None:
            return []
        words = f"The tool {name} was called before the interruption. It returned: {output}"
        return self.tell_news(words, answer, sensitive=sensitive)

    def of_session(self) -> list[Command]:
        """What a session is told when it stands: the first one of a call only what nobody said."""
        commands: list[Command] = []
        if self._begun:
            for role, text, interrupted in self._history.lines():
                commands.append(Tell(role, f"{text} … [interrupted]" if interrupted else text))
            commands.append(Tell("system", CALL_GOES_ON))
        self._begun = True
        notes, self._notes = self._notes, []
        return [*commands, *notes]
