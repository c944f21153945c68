"""The agent's voice: what of it goes to the phone, and what the model has to forget of it.

The caller must never hear what was cancelled, and the model must never remember what was not heard.
So whatever is silenced is cleared from the phone first, then cancelled, and then each of its items
is cut in the model's memory where the caller stopped hearing it.
"""

from __future__ import annotations

from callapp.conversation.commands import ClearAudio, Command, DeleteItem, TruncateItem
from callapp.conversation.events import AgentSaid, AudioArrived, Part, ResponseEnded
from callapp.conversation.history import AGENT, History
from callapp.conversation.playback import Playback
from callapp.conversation.responses import Responses
from callapp.conversation.turns import Turns


class Voice:
    """What the agent says, from the model's first word of it to the caller's ear."""

    __slots__ = (
        "_audible",
        "_forgotten",
        "_history",
        "_own_lines",
        "_playback",
        "_spoken",
        "_turns",
        "_unspoken",
        "responses",
    )

    def __init__(self, playback: Playback, history: History, turns: Turns) -> None:
        self.responses = Responses()
        self._playback = playback
        self._history = history
        self._turns = turns
        self._audible: set[str] = set()  # items of which a sound was sent, or silence of no interest
        self._spoken: set[str] = set()  # responses of which audio was sent
        self._unspoken: dict[str, str] = {}  # messages that sent no audio yet, and their response
        self._forgotten: set[str] = set()  # items that the model was told to forget, all or in part
        self._own_lines = 0

    # -- speaking -------------------------------------------------------------------------------

    def message_started(self, response_id: str, item_id: str) -> list[Command]:
        """A message begins; if it began while its cancel was under way, it is forgotten at once."""
        self._history.begin(AGENT, item_id)
        if self.responses.silenced(response_id):
            self._history.cut(item_id, 0)
            return self._forget(item_id)
        self._unspoken[item_id] = response_id
        return []

    def said(self, said: AgentSaid) -> None:
        """The words that belong to the audio."""
        if said.whole:
            self._history.settle(AGENT, said.item_id, said.text)
        else:
            self._history.add(AGENT, said.item_id, said.text)

    def play(self, audio: AudioArrived, at_ms: float) -> list[Command]:
        """Hand audio on to the phone, unless it was silenced."""
        response_id, item_id = audio.response_id, audio.part.item_id
        if self.responses.silenced(response_id):
            return self._forget(item_id)
        if item_id not in self._audible:
            self._unspoken.pop(item_id, None)
            self._spoken.add(response_id)
            if self._turns.audio_began(audio.payload, at_ms):
                self._audible.add(item_id)
        commands = self._playback.play(response_id, audio.part, audio.payload, at_ms)
        if item_id in self._audible:
            self._playback.let_flow(audio.part)
        return commands

    def play_own(self, payload: bytes, at_ms: float) -> list[Command]:
        """Play a line that no model spoke: base64 of mu-law."""
        self._own_lines += 1
        part = Part(f"own-line-{self._own_lines}", 0)
        self._forgotten.add(part.item_id)  # no session knows it
        commands = self._playback.play("own-line", part, payload, at_ms)
        return commands + self._playback.end_part(part, at_ms)

    def response_ended(self, ended: ResponseEnded, at_ms: float) -> list[Command]:
        """Nothing more comes of a response."""
        response_id = ended.response_id
        commands: list[Command] = []
        if ended.status == "cancelled" and not self.responses.silenced(response_id):
            # Cancelled, but not by us. What it left in the phone's queue must not be heard either.
            self.responses.silence(response_id)
            commands += self.silence(at_ms)
        commands += self._playback.end_response(response_id, at_ms)
        for item_id in [i for i, r in self._unspoken.items() if r == response_id]:
            del self._unspoken[item_id]
            if ended.status != "completed":  # its words may have come before its sound
                self._history.cut(item_id, 0)
                commands += self._forget(item_id)
        return commands

    def has_spoken(self, response_id: str) -> bool:
        """Whether audio of a response went to the phone."""
        return response_id in self._spoken

    @property
    def failing(self) -> bool:
        """Whether what the model has to say has failed, and nothing of the next try is heard yet."""
        return self.responses.failing and self.responses.active not in self._spoken

    # -- falling silent -------------------------------------------------------------------------

    def silence(self, at_ms: float) -> list[Command]:
        """Stop the agent: clear first, then cancel, then have the unheard forgotten."""
        playing = self._playback.playing(at_ms)
        commands: list[Command] = [ClearAudio()] if playing else []
        cancels = self.responses.interrupt()
        commands += cancels
        for cut in self._playback.cut(at_ms) if playing or cancels else ():
            self.responses.silence(cut.response_id)
            self._history.cut(cut.part.item_id, cut.heard_ms / max(cut.sent_ms, 1))
            commands += self._forget(cut.part.item_id, cut.part.content_index, cut.heard_ms)
        return commands + self._forget_unspoken()

    def hush(self, at_ms: float) -> list[Command]:
        """Silence what has begun and is not to be heard. What is heard goes on, unless it is that."""
        responses = self.responses
        if responses.speaking and responses.active in self._spoken:
            return self.silence(at_ms)
        return responses.interrupt() + self._forget_unspoken()

    def session_lost(self, at_ms: float) -> list[Command]:
        """Let go of all that lived in the model's session; what was sent is still heard."""
        self.responses = Responses()
        for item_id in self._unspoken:
            self._history.cut(item_id, 0)
        self._unspoken.clear()
        self._forgotten.update(self._playback.items)  # what is cut later, no session has to forget
        return self._playback.end_all(at_ms)

    def _forget_unspoken(self) -> list[Command]:
        commands: list[Command] = []
        for item_id, response_id in self._unspoken.items():
            if self.responses.silenced(response_id):
                self._history.cut(item_id, 0)
                commands += self._forget(item_id)
        return commands

    def _forget(self, item_id: str, content_index: int = 0, heard_ms: int = 0) -> list[Command]:
        """Have the model forget what of an item was not heard, once an item."""
        if item_id in self._forgotten:
            return []
        self._forgotten.add(item_id)
        # Truncate needs audio_end_ms > 0, so an unheard item is deleted instead.
        return [TruncateItem(item_id, content_index, heard_ms) if heard_ms > 0 else DeleteItem(item_id)]
