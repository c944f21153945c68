"""The caller's turns: when they spoke, whether it cut the agent short, and how soon they were answered."""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import dataclass

from callapp.conversation.events import DigitPressed, Event, SpeechStarted, SpeechStopped, Tick
from callapp.conversation.facts import BargedIn, Fact, FirstAudio, TurnAnswered
from callapp.conversation.flow import BYTES_PER_MS
from callapp.conversation.hearing import Hearing
from callapp.conversation.playback import Heard, Playback

# Below 1 % of full scale, which is -39 dBFS: the two quietest of mu-law's eight segments.
QUIET = bytes(code for code in range(256) if code & 0x7F >= 0x60)


@dataclass(slots=True)
class Turn:
    """What the caller is saying, or has said last. ``told_ms`` is when we heard of it."""

    item_id: str
    told_ms: float
    start_ms: float
    end_ms: float | None = None
    dismissed: bool = False  # it was a mere noise
    barge_in: bool = False


class Turns:
    """The turns of one call, for the chronicle.

    Args:
        facts: where what is told is added.
    """

    def __init__(self, facts: list[Fact], hearing: Hearing, playback: Playback) -> None:
        self._facts = facts
        self._hearing = hearing
        self._playback = playback
        self._turn: Turn | None = None
        self._agent_spoke = False
        self._unanswered_ms: float | None = None  # the caller's last sound, while nothing has answered it
        self._first_byte_ms: float | None = None  # of the answer, while nothing of it was audible
        self._answered = 0

    def began(self, started: SpeechStarted, at_ms: float) -> None:
        """The caller begins to speak."""
        start_ms = self._hearing.began_ms(started.audio_start_ms, at_ms)
        self._turn = Turn(started.item_id, at_ms, start_ms)
        self._unanswered_ms = self._first_byte_ms = None

    def dismissed(self) -> None:
        """The turn whose end is about to be told was a mere noise: nothing is going to answer it."""
        if self._turn is not None:
            self._turn.dismissed = True

    def ended(self, stopped: SpeechStopped, at_ms: float) -> Turn | None:
        """The caller has stopped; return the turn that is over by that."""
        turn = self._turn
        if turn is None or turn.end_ms is not None:
            return None
        turn.end_ms = max(turn.start_ms, self._hearing.ended_ms(stopped.audio_end_ms, at_ms))
        if not turn.dismissed:
            self._unanswered_ms = turn.end_ms
        return turn

    def audio_began(self, payload: bytes, at_ms: float) -> bool:
        """Audio of an item goes to the phone, from its first byte on; return whether any was audible.

        If not, what follows has to be shown, too; after that, no piece of the item's audio costs anything.
        """
        if not self._agent_spoke:
            self._agent_spoke = True
            self._facts.append(FirstAudio(at_ms))
        if self._unanswered_ms is None:
            return True
        if self._first_byte_ms is None:
            self._first_byte_ms = at_ms
        audio = a2b_base64(payload)
        silent_bytes = len(audio) - len(audio.lstrip(QUIET))
        if silent_bytes == len(audio):
            return False
        audible_ms = max(at_ms, self._playback.dry_ms) + silent_bytes / BYTES_PER_MS
        self._tell_answered(self._first_byte_ms, self._unanswered_ms, audible_ms)
        self._unanswered_ms = self._first_byte_ms = None
        return True

    def _tell_answered(self, sent_ms: float, ended_ms: float, audible_ms: float) -> None:
        self._answered += 1
        barge_in = self._turn is not None and self._turn.barge_in
        self._facts.append(
            TurnAnswered(sent_ms, self._answered, sent_ms - ended_ms, audible_ms - ended_ms, barge_in)
        )

    def agent_cut(self, event: Event, cut: Heard | None, own_line: bool, at_ms: float) -> None:
        """The phone was cleared; tell of it if that was the caller's doing.

        Args:
            event: what led to it.
            cut: what was being heard.
            own_line: whether no model spoke that.
        """
        turn, told_ms = self._turn, at_ms
        if not isinstance(event, DigitPressed):
            # Speech whose length was in doubt may prove to count at its end, or at a tick.
            spoke = isinstance(event, SpeechStarted | SpeechStopped) or (
                isinstance(event, Tick) and turn is not None and turn.end_ms is None
            )
            if turn is None or not spoke:
                return
            turn.barge_in = True
            told_ms = turn.told_ms
        if cut is not None:
            item_id = None if own_line else cut.item_id
            self._facts.append(BargedIn(at_ms, told_ms, item_id, cut.heard_ms, cut.sent_ms))
