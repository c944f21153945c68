"""What is told of a call: facts, drawn from what happened and what was decided about it.

The chronicle looks on: it sees each event with the commands that followed, and what became of the
agent's audio. It decides nothing. Its facts are taken by whoever carries the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from callapp.conversation.commands import (
    AnswerTool,
    ClearAudio,
    CloseAudio,
    Command,
    DropModel,
    Finish,
    OpenAudio,
    RunTool,
    Warn,
)
from callapp.conversation.events import (
    AgentSaid,
    CallerSaid,
    Event,
    ModelLost,
    RemoteToolCalled,
    RemoteToolRan,
    ResponseEnded,
    ServiceComplained,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    ToolReturned,
    Usage,
)
from callapp.conversation.facts import (
    Ended,
    Fact,
    Fault,
    KeysPressed,
    ModelConnected,
    ModelDisconnected,
    Used,
    Uttered,
)
from callapp.conversation.hearing import Ears, Hearing
from callapp.conversation.history import AGENT, CALLER, History
from callapp.conversation.keys import Entry
from callapp.conversation.playback import Heard, Playback
from callapp.conversation.tool_runs import ToolRuns
from callapp.conversation.turns import Turns


class Chronicle:
    """The facts of one call, in the order in which they became certain.

    Args:
        ears: how the model's voice detection is set up.
        transcribed: whether the caller's words are going to be told.
    """

    def __init__(self, playback: Playback, history: History, ears: Ears, *, transcribed: bool) -> None:
        self.facts: list[Fact] = []
        self._playback = playback
        self._history = history
        self._hearing = Hearing(ears)
        self.turns = Turns(self.facts, self._hearing, playback)
        self._tool_runs = ToolRuns(self.facts)
        self._transcribed = transcribed
        self._away_since_ms: float | None = 0.0
        self._connected = False
        self._uttered: dict[str, Uttered] = {}  # the newest that was told, by item
        self._worded: set[str] = set()  # the caller's items whose words are known
        self._wordless: set[str] = set()  # those that wait for their words

    def take(self) -> list[Fact]:
        """The facts that are new."""
        facts = self.facts[:]
        self.facts.clear()
        return facts

    @property
    def words_due(self) -> bool:
        """Whether something that the caller said has no words yet, and may get them."""
        return bool(self._wordless)

    # -- looking on -----------------------------------------------------------------------------

    def observe(self, event: Event, commands: Sequence[Command], at_ms: float) -> None:
        """See what happened, other than audio, and what was decided about it."""
        match event:
            case SpeechStarted():
                self.turns.began(event, at_ms)
            case SpeechStopped():
                self._caller_stopped(event, at_ms)
            case CallerSaid(item_id=item_id, usage=usage):
                self._wordless.discard(item_id)
                self._worded.add(item_id)
                self._words_came(item_id, at_ms)
                self._used(usage, at_ms)
            case AgentSaid(item_id=item_id, whole=True):
                self._words_came(item_id, at_ms)
            case ResponseEnded(status=status, error_code=code, usage=usage):
                if status == "failed":
                    self.facts.append(Fault(at_ms, f"a response failed: {code or 'no reason given'}"))
                self._used(usage, at_ms)
                for call in event.tool_calls:
                    self._tool_runs.called(call, at_ms)
            case ToolCalled():
                self._tool_runs.called(event, at_ms)
            case ToolReturned(tool_call_id=tool_call_id):
                self._tool_runs.returned(tool_call_id, at_ms)
            case RemoteToolCalled(item_id=item_id):
                self._tool_runs.remote_called(item_id, at_ms)
            case RemoteToolRan():
                self._tool_runs.remote_ran(event, at_ms)
            case ServiceComplained(code=code, message=message):
                self.facts.append(Fault(at_ms, code, message))
            case ModelLost(reason=reason):
                self._model_lost(reason, at_ms)
        for command in commands:
            self._follow(command, event, at_ms)
        if isinstance(event, ToolReturned) and isinstance(event.result, str):
            # Unless that was told just now, the session is gone that had called for it.
            self._tool_runs.answered(event.tool_call_id, event.result, False, at_ms)
        self._tell_what_was_heard(at_ms)

    def _follow(self, command: Command, event: Event, at_ms: float) -> None:
        match command:
            case OpenAudio():
                self._model_connected(at_ms)
            case CloseAudio():
                self._hearing.closed(at_ms)
                self._wordless.clear()  # whoever was about to tell them is gone
            case DropModel(why=why):
                self._model_lost(why, at_ms)
            case ClearAudio():
                cut = next((heard for heard in self._playback.heard if not heard.whole), None)
                own_line = cut is not None and self._history.said(cut.item_id) is None
                self.turns.agent_cut(event, cut, own_line, at_ms)
            case RunTool(tool_call_id=tool_call_id):
                self._tool_runs.started(tool_call_id, at_ms)
            case AnswerTool(tool_call_id=tool_call_id, output=output, sensitive=sensitive):
                self._tool_runs.answered(tool_call_id, output, sensitive, at_ms)
            case Warn(words=words):
                self.facts.append(Fault(at_ms, words))
            case Finish(reason=reason):
                self._end(reason, at_ms)

    def keys_pressed(self, entry: Entry, at_ms: float) -> None:
        """Keys that belong together were pressed."""
        if entry.digits:
            digits = None if entry.sensitive else entry.digits
            self.facts.append(KeysPressed(at_ms, len(entry.digits), digits))

    # -- the model ------------------------------------------------------------------------------

    def _model_connected(self, at_ms: float) -> None:
        self._hearing.opened(at_ms)
        since_ms = at_ms if self._away_since_ms is None else self._away_since_ms
        self.facts.append(ModelConnected(at_ms, at_ms - since_ms, self._connected))
        self._connected, self._away_since_ms = True, None

    def _model_lost(self, reason: str, at_ms: float) -> None:
        if self._away_since_ms is None:
            self._away_since_ms = at_ms
        self.facts.append(ModelDisconnected(at_ms, reason))

    def _used(self, usage: Usage | None, at_ms: float) -> None:
        if usage is not None:
            self.facts.append(Used(at_ms, usage))

    # -- what was said --------------------------------------------------------------------------

    def _caller_stopped(self, stopped: SpeechStopped, at_ms: float) -> None:
        turn = self.turns.ended(stopped, at_ms)
        if turn is None or turn.end_ms is None:
            return
        text = None
        if turn.item_id in self._worded:
            said = self._history.said(turn.item_id)
            text = said.text if said is not None else None
        elif self._transcribed:
            self._wordless.add(turn.item_id)
        self._tell(Uttered(at_ms, CALLER, turn.item_id, text, turn.start_ms, turn.end_ms))

    def _tell_what_was_heard(self, at_ms: float) -> None:
        for heard in self._playback.take_heard():
            self._agent_heard(heard, at_ms)

    def _agent_heard(self, heard: Heard, at_ms: float) -> None:
        """A part of the agent's audio was heard to its end, or cut."""
        said = self._history.said(heard.item_id)
        if said is None or not heard.heard_ms:
            return
        before = self._uttered.get(heard.item_id)  # another part of it
        self._tell(
            Uttered(
                at_ms,
                AGENT,
                heard.item_id,
                said.text or None,
                min(heard.start_ms, before.start_ms) if before is not None else heard.start_ms,
                heard.end_ms,
                interrupted=not heard.whole,
                meant=None if heard.whole else said.meant,
            )
        )

    def _words_came(self, item_id: str, at_ms: float) -> None:
        """Tell again of what was told without its words, or without all of them."""
        told, said = self._uttered.get(item_id), self._history.said(item_id)
        if told is None or said is None:
            return
        meant = said.meant if told.interrupted else None
        if (said.text, meant) != (told.text, told.meant):
            self._tell(replace(told, at_ms=at_ms, text=said.text, meant=meant))

    def _tell(self, uttered: Uttered) -> None:
        self._uttered[uttered.item_id] = uttered
        self.facts.append(uttered)

    # -- the end --------------------------------------------------------------------------------

    def _end(self, reason: str, at_ms: float) -> None:
        """What was in the air stays there."""
        for cut in self._playback.cut(at_ms):
            self._history.cut(cut.part.item_id, cut.heard_ms / max(cut.sent_ms, 1))
        self._tell_what_was_heard(at_ms)
        self._tool_runs.call_ended(at_ms)
        self.facts.append(Ended(at_ms, reason))
