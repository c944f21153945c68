"""Who has the floor: the caller speaks and the agent falls silent, or it was only a noise.

The caller may take the floor at any time but in the last goodbye, and while keys are sent as sound.
What the model begins to say out of turn is silenced before it is heard, or as soon as that is known.
"""

from __future__ import annotations

from dataclasses import dataclass

from callapp.conversation.asides import Asides
from callapp.conversation.away import Away
from callapp.conversation.commands import Command
from callapp.conversation.farewell import Farewell
from callapp.conversation.noise import Noise
from callapp.conversation.playback import Playback
from callapp.conversation.responses import ANSWER, GOODBYE, GREETING, Request
from callapp.conversation.tool_calls import ToolCalls
from callapp.conversation.trips import Trips
from callapp.conversation.turns import Turns
from callapp.conversation.voice import Voice
from callapp.conversation.voicemail import Voicemail


@dataclass(frozen=True, slots=True)
class Floor:
    """What follows when somebody begins to speak, and when they stop."""

    _playback: Playback
    _voice: Voice
    _turns: Turns
    _tool_calls: ToolCalls
    _farewell: Farewell
    _away: Away
    _trips: Trips
    _noise: Noise
    _asides: Asides
    _voicemail: Voicemail

    # -- the caller -----------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether nothing that the caller does silences the agent any more, or just now."""
        return self._farewell.last or self._away.sounding

    def speech_started(self, at_ms: float) -> list[Command]:
        """The caller begins to speak, if it is them."""
        self._voice.responses.turn_started()
        over_agent = self._playback.playing(at_ms)
        return self._barge_in(at_ms) if self._noise.speech_began(at_ms, over_agent=over_agent) else []

    def speech_lasts(self, at_ms: float) -> list[Command]:
        """Time passes: speech that was in doubt may have become long enough to count."""
        return self._barge_in(at_ms) if self._noise.speech_lasted(at_ms) else []

    def speech_stopped(self, at_ms: float) -> list[Command]:
        """The caller has finished: it is the model's turn, unless it was a mere noise."""
        commands = self.speech_lasts(at_ms)
        responses = self._voice.responses
        over_agent = self._playback.playing(at_ms)
        if self._noise.speech_over(at_ms, over_agent=over_agent, agent_due=responses.busy):
            responses.turn_dismissed()
            self._turns.dismissed()
            return commands
        self._heed()
        if responses.active is not None and not self._farewell.begun:
            # It is in the way of the model's own answer, also one whose cancel has not reached the model yet.
            responses.want(Request(ANSWER))
        responses.turn_ended(at_ms)
        return commands

    def take(self, at_ms: float) -> list[Command]:
        """Whatever the agent was saying: it is the caller's turn."""
        self._farewell.call_off()
        self._voice.responses.forget(GOODBYE)
        self._heed()
        return self._voice.silence(at_ms) + self._trips.interrupted(at_ms)

    def _barge_in(self, at_ms: float) -> list[Command]:
        """The caller's speech counts: the agent falls silent, or says that it is too noisy."""
        if self.closed:
            return []
        too_often = self._playback.playing(at_ms) and self._noise.interrupted(at_ms)
        commands = self.take(at_ms)
        if too_often and self._voice.responses.wanted is None:
            self._voice.responses.want(self._asides.about_the_noise())
        return commands

    def _heed(self) -> None:
        """This was the caller, and no mere noise: they are there, and want something."""
        self._asides.silence.caller_heard()
        self._tool_calls.caller_spoke()

    # -- the model ------------------------------------------------------------------------------

    def hush(self, at_ms: float) -> list[Command]:
        """Silence a response that has begun unasked where none is to be heard."""
        responses = self._voice.responses
        if responses.active is None:
            return []
        tag = responses.active_tag
        over_agent = self._playback.playing(at_ms)
        time_is_up = (self._farewell.last or self._voicemail.reached) and tag != GOODBYE
        heeded = responses.caller_speaking and not (self._farewell.last or self._noise.doubtful)
        out_of_turn = (
            self._away.gone
            or time_is_up
            or (heeded and tag != GREETING)  # the caller went on speaking: their turn is not over
            or (tag is None and self._noise.answered(at_ms, over_agent=over_agent))
        )
        return self._voice.hush(at_ms) if out_of_turn else []
