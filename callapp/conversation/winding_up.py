"""The call ends of our own accord, and not of the model's: a limit, a stop of the server, a machine.

A last goodbye is said, which nobody can call off. To a machine none is: it is left a message once it
records, or the call ends at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from callapp.conversation.away import Away
from callapp.conversation.briefing import Briefing
from callapp.conversation.commands import Command
from callapp.conversation.course import Course, Phase
from callapp.conversation.farewell import LAST_GOODBYE_REQUEST, Farewell
from callapp.conversation.lifeline import Lifeline
from callapp.conversation.responses import GOODBYE, Request
from callapp.conversation.trips import Trips
from callapp.conversation.voice import Voice
from callapp.conversation.voicemail import Voicemail

PERSON = (
    "It is not an answering machine after all: a person is on the line and has begun to speak. What you were "
    "saying was broken off. Listen, say who is calling, and talk to them."
)


@dataclass(slots=True)
class WindingUp:
    """What is said last, and what is not said any more."""

    _course: Course
    _lifeline: Lifeline
    _voice: Voice
    _farewell: Farewell
    _away: Away
    _trips: Trips
    _voicemail: Voicemail
    _briefing: Briefing
    _message: str | None  # instructions for what is left on an answering machine, if anything is
    _message_since_ms: float = math.inf
    _put_off: str | None = None  # why a call that is away has to end once it is back

    def begin(self, reason: str, at_ms: float) -> list[Command]:
        """The call has to end; one that is away does so when it is back."""
        if self._away.gone:
            self._put_off = self._put_off or reason
            return []
        goodbye_under_way = self._farewell.begun
        if self._course.phase is Phase.LIVE and not self._lifeline.up and not goodbye_under_way:
            return self._course.finish(reason)  # no voice to say goodbye with: the carrier's is heard
        if self._course.phase is not Phase.LIVE or self._farewell.last:
            return []
        self._farewell.begin_last(reason, at_ms)
        commands = self._trips.time_is_up(at_ms)
        if goodbye_under_way:
            return commands
        self._voice.responses.want(LAST_GOODBYE_REQUEST)
        return commands + self._voice.silence(at_ms)

    def caller_back(self, at_ms: float) -> list[Command]:
        """What had to wait for the caller's return."""
        reason, self._put_off = self._put_off, None
        if reason is not None:
            return self.begin(reason, at_ms)
        return self.machine_found(at_ms) if self._voicemail.reached else []

    # -- a machine has answered -----------------------------------------------------------------

    def machine_found(self, at_ms: float) -> list[Command]:
        """Nobody is there to talk to: be silent until the machine records, or leave at once.

        A call that is away does so when it is back.
        """
        if self._farewell.last or self._away.gone:
            return []
        self._farewell.call_off()
        self._voice.responses.forget()
        commands = self._voice.silence(at_ms) + self._trips.time_is_up(at_ms)
        if self._message is None:
            commands += self._course.leave("agent.voicemail", at_ms)
        return commands

    @property
    def person_ms(self) -> float:
        """When whoever speaks over the message has proved to be a person."""
        return self._voicemail.person_ms(self._message_since_ms) if self._farewell.begun else math.inf

    def person_found(self, at_ms: float) -> list[Command]:
        """Somebody is there after all: the message is broken off, and it is their turn."""
        if at_ms < self.person_ms:
            return []
        self._message_since_ms = math.inf
        self._voicemail.is_a_person()
        self._farewell.message_lost()
        self._voice.responses.forget()
        return self._voice.silence(at_ms) + self._briefing.tell_news(PERSON)

    def leave_message(self, at_ms: float) -> list[Command]:
        """Say to a machine what there is to say, when it is time; and nothing else."""
        if not self._voicemail.reached or self._farewell.begun:
            return []
        self._voice.responses.forget()  # an answer that a tool has come back for, say
        if self._message is None or not self._voicemail.due(at_ms):
            return []
        self._message_since_ms = at_ms
        self._farewell.begin_message("agent.voicemail", at_ms)
        self._voice.responses.want(Request(GOODBYE, self._message, tools_allowed=False))
        return self._voice.silence(at_ms)
