"""The model is not there: it was lost, is given up, or its session becomes too old.

`Lifeline` counts the tries and says when something is due. What follows for the call is decided here:
what lived in the lost session is let go, the caller hears that somebody is there, the model is dialled
again, and when that is no use any more, the call ends; not while it is away, for it may not come back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from callapp.conversation.away import Away
from callapp.conversation.briefing import Briefing
from callapp.conversation.commands import CloseAudio, Command, DropModel, Reconnect, Warn
from callapp.conversation.course import Course, Phase
from callapp.conversation.farewell import Farewell
from callapp.conversation.lifeline import Lifeline
from callapp.conversation.noise import Noise
from callapp.conversation.playback import Playback
from callapp.conversation.tool_rounds import ToolRounds
from callapp.conversation.voice import Voice
from callapp.conversation.voicemail import Voicemail

# The model's session has to stand so long after it is dialled, the first one after the stream's start.
SESSION_MS = 10_000


@dataclass(slots=True)
class Outage:
    """From the loss of a session until its successor stands. A call begins without one."""

    _course: Course
    _lifeline: Lifeline
    _playback: Playback
    _voice: Voice
    _briefing: Briefing
    _tool_rounds: ToolRounds
    _farewell: Farewell
    _away: Away
    _noise: Noise
    _voicemail: Voicemail
    _hold_line: bytes | None  # base64 of mu-law: what the caller hears meanwhile, if not silence
    _dial_ms: float = 0.0  # when the session is dialled that is not there yet
    _missing: tuple[str, float | None] | None = None  # why the model is, and after how long to dial

    # -- deadlines ------------------------------------------------------------------------------

    @property
    def session_due_ms(self) -> float:
        """When the session that is being dialled has to stand."""
        return math.inf if self._lifeline.up or self._farewell.begun else self._dial_ms + SESSION_MS

    @property
    def deadline_ms(self) -> float:
        """When ``hold_the_line`` or ``look_after`` has something to do, if nothing happens before."""
        renew_ms = math.inf if self._farewell.begun else self._lifeline.renew_ms
        return min(self._line_due_ms, self._stall_ms, renew_ms)

    @property
    def _line_due_ms(self) -> float:
        return math.inf if self._line is None else self._lifeline.line_ms(self._playback.dry_ms)

    @property
    def _line(self) -> bytes | None:
        """What the caller is to hear as long as things stand as they do."""
        missing = not self._lifeline.up and not self._farewell.begun  # a goodbye is heard out without it
        waits = missing or (self._voice.failing and not self._farewell.last)
        return self._hold_line if waits and not self._voicemail.reached else None

    @property
    def _stall_ms(self) -> float:
        return self._voice.responses.stall_ms(self._playback.dry_ms) if self._lifeline.up else math.inf

    # -- the model is lost ----------------------------------------------------------------------

    def lost(self, reason: str, hopeless: bool, at_ms: float) -> list[Command]:
        """The model is gone, or was not to be had; ``hopeless`` if there is no use in another try."""
        if self._course.phase is Phase.LEAVING:
            return []
        farewell = self._farewell
        unheard = self._voice.responses.busy and self._playback.all_heard
        if farewell.begun and unheard:
            if not self._voicemail.reached:
                return self.leave_to_carrier(reason)
            farewell.message_lost()  # it is left by the next session
        commands: list[Command] = []
        if self._lifeline.up:
            commands += self._sever(at_ms)
        after_ms = self._lifeline.lost(at_ms)
        self._missing = reason, None if hopeless else after_ms
        return commands if farewell.begun else commands + self.dial_again(at_ms)

    def leave_to_carrier(self, reason: str) -> list[Command]:
        """Nobody else is left to say a word; where that was to be the goodbye, its reason is the call's."""
        goodbye = None if self._voicemail.reached else self._farewell.reason
        return self._course.finish(goodbye or reason)

    def dial_again(self, at_ms: float) -> list[Command]:
        """Have the model that is missing dialled; while a goodbye is heard out, none is needed."""
        if self._missing is None or self._lifeline.up:
            return []
        reason, after_ms = self._missing
        if after_ms is None and self._away.gone:
            return []
        self._missing = None
        if after_ms is None:
            return self._course.finish(reason)
        self._dial_ms = at_ms + after_ms
        return [Reconnect(after_ms)]

    def caller_back(self, at_ms: float) -> list[Command]:
        """Somebody is there to be talked to again: a model that is missing has its whole time from now on."""
        if self._lifeline.up:
            return []
        self._lifeline.tried_anew(at_ms)
        self._dial_ms = at_ms
        given_up, self._missing = self._missing is not None, None
        return [Reconnect(0.0)] if given_up else []

    def _sever(self, at_ms: float) -> list[Command]:
        """Let go of everything that lived in the session that is lost."""
        responses = self._voice.responses
        self._briefing.session_lost(
            answer_owed=responses.answer_due or self._tool_rounds.remote_answer_owed,
            turn_cut=responses.caller_speaking,
            open_tools=self._tool_rounds.session_lost(),
        )
        self._noise.session_lost()
        return [*self._voice.session_lost(at_ms), CloseAudio()]

    def hold_the_line(self, at_ms: float) -> list[Command]:
        """Let the caller hear that somebody is there, when they have heard nothing for a while."""
        line = self._line
        if line is None or at_ms < self._line_due_ms:
            return []
        if self._playback.playing(at_ms):  # by an echo that is overdue, the phone is behind
            self._lifeline.no_silence(at_ms)
            return []
        self._lifeline.line_spoken()
        return self._voice.play_own(line, at_ms)

    # -- the model is given up ------------------------------------------------------------------

    def look_after(self, at_ms: float) -> list[Command]:
        """Do without a session that does not answer, brings nothing, or is too old."""
        if self._voice.responses.overdue(at_ms):
            return self._drop("openai.no_answer", "openai.no_answer", at_ms)
        if at_ms >= self._stall_ms:
            return self._on_stall(at_ms)
        if at_ms >= self._lifeline.renew_ms and not self._farewell.begun:
            return self._renew(at_ms)
        return []

    def _on_stall(self, at_ms: float) -> list[Command]:
        """The model's socket is alive, but its response is not: cancel it, or do without the session."""
        responses = self._voice.responses
        tools_ask = responses.active is not None and self._tool_rounds.will_ask(responses.active)
        if not responses.give_up(tools_ask=tools_ask):
            return self._drop("openai.stalled", "openai.stalled", at_ms)
        return [Warn("a response brings nothing: it is asked for again"), *self._voice.silence(at_ms)]

    def _renew(self, at_ms: float) -> list[Command]:
        """Change to a new session while nobody speaks, so that nobody hears it."""
        tools = self._tool_rounds
        at_work = tools.pending or tools.remote_answer_owed  # what the service runs would go with its session
        if self._voice.responses.owed or self._playback.playing(at_ms) or at_work:
            self._lifeline.not_now(at_ms)
            return []
        self._lifeline.renewing(at_ms)
        return self._drop("its time is nearly over", "openai.session_expired", at_ms)

    def _drop(self, why: str, reason: str, at_ms: float) -> list[Command]:
        return [DropModel(why), *self.lost(reason, False, at_ms)]
