"""A call between two people that is written down while they talk. Pure, as `machine` is.

Each of the two has a dictation and a session of their own. Whatever becomes of those, the call itself
is not ours to end: it goes on, without captions.

    live ─▶ last words (what was heard last is yet to be written down) ─▶ over
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from callapp.conversation.dictation import Command as DictationCommand
from callapp.conversation.dictation import Dictation, EndPiece, Said, SendSpeech, Tell
from callapp.conversation.facts import ModelConnected, ModelDisconnected, Used
from callapp.conversation.redialling import pause_before

Speaker = Literal["caller", "other"]
SPEAKERS: tuple[Speaker, Speaker] = ("caller", "other")

# How long the text of the last words may take.
LAST_WORDS_MS = 3_000

# -- what happens -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms of a line: mu-law, how loud it is, and where in the call it begins."""

    speaker: Speaker
    ulaw: bytes = field(repr=False)
    level_dbfs: float
    at_ms: float


@dataclass(frozen=True, slots=True)
class SessionReady:
    """A session listens. They are numbered from 1 for each speaker, in the order of their dials."""

    speaker: Speaker
    number: int


@dataclass(frozen=True, slots=True)
class SessionSaid:
    """A session says something of what it has heard."""

    speaker: Speaker
    number: int
    said: Said


@dataclass(frozen=True, slots=True)
class SessionLost:
    """It is gone, or was never to be had."""

    speaker: Speaker
    number: int
    reason: str
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class StreamOver:
    """Nothing more will be heard of the call."""

    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """Something outside wants us to stop listening: a limit, a stop of the server."""

    reason: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing happened; a deadline may be over."""


Event = Frame | SessionReady | SessionSaid | SessionLost | StreamOver | Told | TimePassed

# -- what is to be done -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DialSession:
    """Open a session, after a pause."""

    speaker: Speaker
    number: int
    after_ms: float


@dataclass(frozen=True, slots=True)
class DropSession:
    """End a session: nothing of what it might say is of interest."""

    speaker: Speaker
    number: int


@dataclass(frozen=True, slots=True)
class SendTo:
    """Let a session hear something, or know that a piece has ended."""

    speaker: Speaker
    number: int
    what: SendSpeech | EndPiece


@dataclass(frozen=True, slots=True)
class End:
    """Close the stream; the people talk on, if they do."""

    reason: str


Command = DialSession | DropSession | SendTo | Tell | End


class Phase(Enum):
    """Where the captions stand."""

    LIVE = auto()
    LAST_WORDS = auto()
    OVER = auto()


@dataclass(frozen=True)
class Terms:
    """What was agreed for this call.

    Args:
        most_ms: how long it may be written down.
        session_ms: age at which a session is replaced by a new one, before the service ends it.
        most_usd: what may be spent; ``None`` for no limit.
        second_usd: what a second of speech costs; ``None`` if that is not known.
    """

    most_ms: float
    session_ms: float
    most_usd: float | None = None
    second_usd: float | None = None


@dataclass
class _Line:
    """One speaker's."""

    speaker: Speaker
    dictation: Dictation
    number: int = 0  # of the newest session
    losses: int = 0  # since one was ready
    waits_since_ms: float = 0.0  # for a session
    renew_ms: float | None = None  # when the session that is ready is too old; `None` while none is


class Captioning:
    """What happens on the call. Not safe for several threads."""

    def __init__(self, terms: Terms) -> None:
        self.phase = Phase.LIVE
        self.end_reason: str | None = None
        self._terms = terms
        self._lines = {speaker: _Line(speaker, Dictation(speaker)) for speaker in SPEAKERS}
        self._spent_usd = 0.0
        self._until_ms = 0.0  # of the last words

    @property
    def over(self) -> bool:
        """Whether nothing is written down any more."""
        return self.phase is Phase.OVER

    def begin(self) -> list[Command]:
        """The stream has begun."""
        return [self._dial(line) for line in self._lines.values()]

    def receive(self, event: Event, now_ms: float) -> list[Command]:
        """Take one event; return what to do about it, in order."""
        if self.over:
            return []
        match event:
            case Frame(speaker=speaker, ulaw=ulaw, level_dbfs=level_dbfs, at_ms=at_ms):
                if self.phase is not Phase.LIVE:
                    return []
                line = self._lines[speaker]
                return self._of(line, line.dictation.hear(ulaw, level_dbfs, at_ms, now_ms))
            case SessionReady(speaker=speaker) if self._is_newest(event):
                return self._on_ready(self._lines[speaker], now_ms)
            case SessionSaid(speaker=speaker, said=said) if self._is_newest(event):
                line = self._lines[speaker]
                return self._of(line, line.dictation.receive(said, now_ms)) + self._see_to_end(now_ms)
            case SessionLost() if self._is_newest(event):
                return self._on_lost(event, now_ms)
            case StreamOver(reason=reason):
                return self._finish(reason, now_ms)
            case Told(reason=reason, at_once=at_once):
                return self._end(reason, now_ms) if at_once else self._finish(reason, now_ms)
            case TimePassed():
                return self._on_time(now_ms)
        return []

    # -- sessions -------------------------------------------------------------------------------

    def _is_newest(self, event: SessionReady | SessionSaid | SessionLost) -> bool:
        return event.number == self._lines[event.speaker].number

    def _dial(self, line: _Line) -> Command:
        line.number += 1
        return DialSession(line.speaker, line.number, pause_before(line.losses))

    def _on_ready(self, line: _Line, now_ms: float) -> list[Command]:
        line.losses = 0
        line.renew_ms = now_ms + self._terms.session_ms
        connected = ModelConnected(now_ms, now_ms - line.waits_since_ms, line.number > 1)
        return [Tell(connected), *self._of(line, line.dictation.session_ready(now_ms))]

    def _on_lost(self, lost: SessionLost, now_ms: float) -> list[Command]:
        line = self._lines[lost.speaker]
        told: list[Command] = []
        if line.renew_ms is not None:
            told = [Tell(ModelDisconnected(now_ms, lost.reason))]
            line.waits_since_ms = now_ms
        line.renew_ms = None
        line.losses += 1
        line.dictation.session_lost()
        if lost.hopeless:
            return told + self._end(lost.reason, now_ms)
        return [*told, self._dial(line)]

    def _renew(self, line: _Line, now_ms: float) -> list[Command]:
        """Replace a session: in a pause one that is old or out of step, at once one that writes nothing.

        What is said meanwhile waits for the new one, as does what has no text yet.
        """
        if line.renew_ms is None:
            return []
        due = now_ms >= line.renew_ms or line.dictation.out_of_step
        if not (line.dictation.mute or (due and not line.dictation.pending)):
            return []
        old = DropSession(line.speaker, line.number)
        line.renew_ms, line.waits_since_ms = None, now_ms
        line.dictation.session_lost()
        return [old, self._dial(line)]

    def _of(self, line: _Line, commands: Sequence[DictationCommand]) -> list[Command]:
        """A dictation's commands, as the call's."""
        done: list[Command] = []
        for command in commands:
            match command:
                case Tell(fact=fact):
                    if isinstance(fact, Used):
                        self._spent_usd += fact.usage.transcribed_s * (self._terms.second_usd or 0.0)
                    done.append(command)
                case SendSpeech() | EndPiece():
                    done.append(SendTo(line.speaker, line.number, command))
        return done

    # -- time, and the end ----------------------------------------------------------------------

    def _on_time(self, now_ms: float) -> list[Command]:
        commands: list[Command] = []
        for line in self._lines.values():
            commands += self._of(line, line.dictation.time_passed(now_ms))
            commands += self._renew(line, now_ms) if self.phase is Phase.LIVE else []
        if self.phase is Phase.LAST_WORDS:
            return commands + self._see_to_end(now_ms)
        if now_ms >= self._terms.most_ms:
            return commands + self._finish("limit.call_seconds", now_ms)
        if self._terms.most_usd is not None and self._spent_usd >= self._terms.most_usd:
            return commands + self._finish("limit.cost", now_ms)
        return commands

    def _finish(self, reason: str, now_ms: float) -> list[Command]:
        """Have the last words written down, and then end."""
        if self.phase is not Phase.LIVE:
            return []
        self.phase = Phase.LAST_WORDS
        self.end_reason = reason
        self._until_ms = now_ms + LAST_WORDS_MS
        commands: list[Command] = []
        for line in self._lines.values():
            commands += self._of(line, line.dictation.finish(now_ms))
        return commands + self._see_to_end(now_ms)

    def _see_to_end(self, now_ms: float) -> list[Command]:
        if self.phase is not Phase.LAST_WORDS:
            return []
        pending = any(line.dictation.pending for line in self._lines.values())
        return [] if pending and now_ms < self._until_ms else self._end("", now_ms)

    def _end(self, reason: str, now_ms: float) -> list[Command]:
        self.phase = Phase.OVER
        self.end_reason = self.end_reason or reason
        commands: list[Command] = []
        for line in self._lines.values():
            commands += self._of(line, line.dictation.give_up(now_ms))
            commands.append(DropSession(line.speaker, line.number))
        return [*commands, End(self.end_reason)]
