"""The trips of a call away from its stream: planned, begun, over; and what the model is told of them."""

from __future__ import annotations

from dataclasses import dataclass

from callapp.conversation import away
from callapp.conversation.away import Away
from callapp.conversation.briefing import Briefing
from callapp.conversation.budget import Budget
from callapp.conversation.commands import Command, LeaveStream, RecallCaller
from callapp.conversation.course import Course
from callapp.conversation.farewell import Farewell
from callapp.conversation.history import History
from callapp.conversation.playback import Playback
from callapp.conversation.responses import HAND_OVER
from callapp.conversation.tones import tones
from callapp.conversation.tool_rounds import ToolRounds
from callapp.conversation.voice import Voice
from callapp.conversation.wishes import SendDigits, Transfer, Trip


@dataclass(frozen=True, slots=True)
class Trips:
    """What follows from a trip's steps."""

    _course: Course
    _away: Away
    _playback: Playback
    _history: History
    _voice: Voice
    _tool_rounds: ToolRounds
    _briefing: Briefing
    _farewell: Farewell
    _budget: Budget
    _keys_as_sound: bool  # for which the call does not leave: they are tones in our audio

    # -- before ---------------------------------------------------------------------------------

    def plan(self, tool_call_id: str, trip: Trip, at_ms: float) -> list[Command]:
        """A tool asks for a trip; it is answered when that is over."""
        if self._away.trip is not None:
            return self._tool_rounds.answer(tool_call_id, away.ON_THE_WAY, at_ms)
        if self._farewell.last:
            return self._tool_rounds.answer(tool_call_id, away.ENDING_ALREADY, at_ms)
        self._away.plan(trip, tool_call_id, at_ms)
        return []

    def asked(self, transfer: Transfer, at_ms: float, *, announced: bool) -> list[Command]:
        """Somebody outside the call asks for a transfer: the agent says so, in place of anything else.

        Whoever is on a trip already, or has begun to say goodbye, is not put through.

        Args:
            announced: the model is there to say it; else nobody is, and the caller waits for no model.
        """
        if self._away.trip is not None or self._farewell.begun:
            return []
        self._away.plan(transfer, None, at_ms)
        if not announced:
            return self._depart(at_ms)
        commands = self._voice.silence(at_ms)
        self._voice.responses.want(away.HAND_OVER_REQUEST)
        return commands

    def interrupted(self, at_ms: float) -> list[Command]:
        """The caller speaks before the agent was heard out: they may not want to leave any more."""
        return self._call_off(away.CUT_OFF, at_ms) if self._away.may_be_called_off else []

    def time_is_up(self, at_ms: float) -> list[Command]:
        """The call has to end: who has not left by now does not leave any more."""
        return self._call_off(away.ENDING_ALREADY, at_ms) if self._away.planned else []

    def _call_off(self, output: str, at_ms: float) -> list[Command]:
        _, tool_call_id = self._away.back()
        return [] if tool_call_id is None else self._tool_rounds.answer(tool_call_id, output, at_ms)

    # -- on the way -----------------------------------------------------------------------------

    def go_on(self, at_ms: float) -> list[Command]:
        """Take the next step, if it is time for one."""
        if self._away.trip is None:
            return []
        speaking = self._voice.responses.busy
        overdue = at_ms >= self._away.deadline_ms(speaking=speaking, dry_ms=self._playback.dry_ms)
        heard = self._playback.all_heard
        if self._away.gone:
            return self._look_for_caller(at_ms) if overdue else []
        if self._away.sounding:
            return self._come_back("", at_ms) if heard or overdue else []
        return self._depart(at_ms) if overdue or (heard and not speaking) else []

    def _depart(self, at_ms: float) -> list[Command]:
        """The agent was heard out, or spoke for too long: leave, or fall silent for the keys."""
        trip = self._away.trip
        assert trip is not None
        self._farewell.call_off()  # who is put through is not hung up on
        commands = self._voice.silence(at_ms)
        self._voice.responses.forget(HAND_OVER)
        if isinstance(trip, SendDigits) and self._keys_as_sound:
            self._away.sounding = True
            return commands + self._voice.play_own(tones(trip.digits), at_ms)
        self._away.go(at_ms)
        return [*commands, LeaveStream(trip, tuple(self._history.lines()), self._budget.spent_usd)]

    def _look_for_caller(self, at_ms: float) -> list[Command]:
        return [RecallCaller()] if self._away.recall(at_ms) else self._course.finish("caller.hung_up")

    # -- after ----------------------------------------------------------------------------------

    def back(self, why: str, at_ms: float) -> list[Command]:
        """Another stream has brought the caller back."""
        self._playback.cut(at_ms)  # of the last stream; its successor has nothing queued
        return self._come_back(why, at_ms)

    def over(self, reason: str, at_ms: float) -> list[Command]:
        """The call has ended, perhaps because a person has the caller: then the tool has done its work."""
        tool_call_id = self._away.tool_call_id
        if reason != away.TRANSFERRED or tool_call_id is None:
            return []
        return self._tool_rounds.answer(tool_call_id, away.TAKEN, at_ms)

    def failed(self, why: str, at_ms: float) -> list[Command]:
        """The carrier did not take the call away."""
        trip, tool_call_id = self._away.back()
        if tool_call_id is None:
            return self._briefing.tell_news(away.news_of(trip, why))
        return self._tool_rounds.answer(tool_call_id, away.failure(trip, why), at_ms)

    def _come_back(self, why: str, at_ms: float) -> list[Command]:
        heard = self._away.sounding
        trip, tool_call_id = self._away.back()
        if tool_call_id is None:
            return self._briefing.tell_news(away.news_of(trip, why))
        silent = isinstance(trip, SendDigits)  # the line has the word
        output = away.outcome(trip, why, heard=heard)
        return self._tool_rounds.answer(tool_call_id, output, at_ms, silent=silent)
