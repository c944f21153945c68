"""What happens on a call, top to bottom: one event in, the commands that follow from it out.

Here each event finds the machine whose it is, of those that make up an `Ensemble`; what several things
together lead to, and when the clock has to be looked at again, is decided here as well.
"""

from __future__ import annotations

import math

from callapp.conversation.asides import Scene
from callapp.conversation.commands import Command, OpenAudio, Tell
from callapp.conversation.course import Phase
from callapp.conversation.ensemble import Ensemble
from callapp.conversation.events import (
    AgentSaid,
    Answered,
    AudioArrived,
    AudioEnded,
    CallerBack,
    CallerHungUp,
    CallerLost,
    CallerSaid,
    CompletionFailed,
    DigitPressed,
    EndedElsewhere,
    Event,
    LeavingFailed,
    LineTaken,
    MessageStarted,
    ModelLost,
    OutputTaken,
    Part,
    Played,
    RemoteToolCalled,
    RemoteToolReturned,
    RequestFailed,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SilenceTimedOut,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
    TransferAsked,
    Whispered,
    WindUpAsked,
)
from callapp.conversation.history import CALLER
from callapp.conversation.plan import Plan
from callapp.conversation.responses import ANSWER, GOODBYE, GREETING, Request, Responses


class Conversation(Ensemble):
    """One call. Not thread-safe: whoever feeds it holds a lock."""

    __slots__ = ("_audible", "_now_ms")

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._audible = False  # whether somebody hears what is played
        self._now_ms = 0.0

    @property
    def phase(self) -> Phase:
        """How far the call has come."""
        return self.course.phase

    @property
    def end_reason(self) -> str | None:
        """Why the call ends, once that is certain."""
        return self.course.end_reason

    @property
    def responses(self) -> Responses:
        """The gate of the present session of the model."""
        return self.voice.responses

    @property
    def over(self) -> bool:
        """Whether nothing that happens matters any more, but words that come late."""
        return self.phase is Phase.ENDED

    @property
    def leaving(self) -> bool:
        """Whether the phone call is being completed, or is over: the model says nothing more."""
        return self.phase >= Phase.LEAVING

    @property
    def told(self) -> bool:
        """Whether the call is over and no words are missing."""
        return self.over and not self.chronicle.words_due

    def receive(self, event: Event, at_ms: float) -> list[Command]:
        """Take one event; return what to do about it, in order.

        Args:
            event: what happened.
            at_ms: when, in milliseconds since the stream began; never less than before.
        """
        if type(event) is AudioArrived:  # the hot path: no deadline hangs on it
            return self.voice.play(event, at_ms) if self._audible else []
        if type(event) is AgentSaid and not event.whole:  # nor on these: they put deadlines off, at most
            self.responses.stirred(at_ms)
            self._on_agent_said(event)
            return []
        self.playback.flow.close()
        if self.phase is Phase.ENDED and not isinstance(event, CallerSaid | AgentSaid):
            return []
        if isinstance(event, Played):
            self.playback.played(event.mark, at_ms)
            if not (self.playback.all_heard or self.playback.heard):
                return []  # the agent speaks on
        commands = self._dispatch(event, at_ms)
        if self.phase is Phase.LIVE:
            commands += self._go_on(at_ms)
        self.chronicle.observe(event, commands, at_ms)
        self._audible = self.phase is Phase.LIVE and not self.away.gone
        self._now_ms = at_ms
        return commands

    def _dispatch(self, event: Event, at_ms: float) -> list[Command]:
        if isinstance(event, ResponseEnded | CallerSaid):
            self.budget.spend(event.usage)
        elif isinstance(event, MessageStarted | AgentSaid | AudioEnded | ToolCalled | RemoteToolReturned):
            self.responses.stirred(at_ms)
        match event:
            case CallerHungUp() | CallerLost() if self.away.gone:
                self.away.stream_over = True
                return []
            case CallerHungUp():
                return self.course.finish("caller.hung_up")
            case CallerLost(reason=reason):
                return self.course.finish(reason)
            case EndedElsewhere(reason=reason):
                return self.trips.over(reason, at_ms) + self.course.finish(reason)
            case CompletionFailed():
                return self.course.close_the_stream()
            case ModelLost(reason=reason, hopeless=hopeless):
                return self.outage.lost(reason, hopeless, at_ms)
            case WindUpAsked(reason=reason):
                return self.winding_up.begin(reason, at_ms)
            case Whispered(words=words):
                return self.briefing.whisper(words)
            case LeavingFailed(unsure=unsure) if self.away.stream_over:
                # Nobody is left who could stay.
                return [] if unsure else self.course.finish("caller.hung_up")
            case LeavingFailed(why=why) if self.away.gone:
                return self.trips.failed(why, at_ms) + self._on_back(at_ms)
            case CallerBack(why=why) if self.away.gone:
                return self.trips.back(why, at_ms) + self._on_back(at_ms)
            case Tick():
                return self._on_tick(at_ms)
            case DigitPressed(digit=digit) if not self.leaving:
                return self.keypad.pressed(digit, at_ms)
            case TransferAsked(transfer=transfer) if not self.leaving:
                return self.trips.asked(transfer, at_ms, announced=self.lifeline.up)
            case SessionConfirmed() if not self.lifeline.up and not self.leaving:
                return self._on_session(event, at_ms)
            case Answered() if not self.leaving:
                self.voicemail.answered(event, at_ms)
                return self.winding_up.machine_found(at_ms) if self.voicemail.reached else []
            case CallerSaid(item_id=item_id, text=text):
                self.history.settle(CALLER, item_id, text)
                return self._on_caller_said(text)
            case AgentSaid():
                self._on_agent_said(event)
                return []
            case _ if self.phase is not Phase.LIVE:
                return []
            case SpeechStarted(item_id=item_id):
                self.history.begin(CALLER, item_id)
                self._tell_who_waits(at_ms, speaking=True)
                return self.floor.speech_started(at_ms)
            case SpeechStopped():
                self._tell_who_waits(at_ms, speaking=False)
                return self.floor.speech_stopped(at_ms)
            case SilenceTimedOut():
                self.asides.silence.nudged()
                self.responses.turn_ended(at_ms)  # the model speaks by itself, as after a turn
                return []
            case ResponseStarted(response_id=response_id, tag=tag):
                return self.answering.started(response_id, tag, at_ms)
            case MessageStarted(response_id=response_id, item_id=item_id):
                return self._on_message_started(response_id, item_id)
            case AudioEnded(item_id=item_id, content_index=index):
                return self.playback.end_part(Part(item_id, index), at_ms)
            case OutputTaken(tool_call_id=tool_call_id):
                self.tool_calls.taken(tool_call_id)
                return []
            case LineTaken(item_id=item_id):
                self.briefing.taken(item_id)
                return []
            case ToolCalled():
                return self.tool_rounds.called(event, at_ms)
            case RemoteToolCalled(item_id=item_id, approved=approved):
                self.tool_rounds.remote_tool_called(item_id, approved=approved, at_ms=at_ms)
                return []
            case RemoteToolReturned(item_id=item_id):
                return self.tool_rounds.remote_tool_returned(item_id, at_ms)
            case ToolReturned(tool_call_id=tool_call_id, result=result):
                return self.granting.returned(tool_call_id, result, at_ms)
            case ResponseEnded():
                return self.answering.ended(event, at_ms)
            case RequestRefused(request_id=request_id):
                return self.answering.refused(request_id, at_ms)
            case RequestFailed():
                return self.answering.failed(event, at_ms)
            case _:
                return []

    # -- the beginning --------------------------------------------------------------------------

    def _on_session(self, session: SessionConfirmed, at_ms: float) -> list[Command]:
        self.lifeline.restored(at_ms, session.lasts_ms)
        self.asides.service_timer.session(has_timer=session.times_silence)
        commands = self.briefing.of_session()
        resumed = self.plan.resumed is not None
        if self.voicemail.reached:
            pass  # nobody is there to be greeted or answered
        elif self.plan.greeting is not None and not (resumed or self.history.agent_heard):
            self.responses.want(Request(GREETING, self.plan.greeting, tools_allowed=False))
        elif self.briefing.answer_owed:
            self.responses.want(self.tool_rounds.request())
        elif self.briefing.turn_cut:
            self.responses.turn_ended(at_ms)  # the rest of it is in the audio that was kept
        self.briefing.turn_given()
        if not self.away.gone:
            commands += self.responses.next(at_ms)  # ahead of the audio, so that it comes first
        commands.append(OpenAudio())
        return commands

    def _on_back(self, at_ms: float) -> list[Command]:
        return self.outage.caller_back(at_ms) + self.winding_up.caller_back(at_ms)

    # -- the agent speaks -----------------------------------------------------------------------

    def _on_message_started(self, response_id: str, item_id: str) -> list[Command]:
        self.tool_rounds.message_started(response_id)
        return self.voice.message_started(response_id, item_id)

    def _on_agent_said(self, said: AgentSaid) -> None:
        # What still comes of an item while the call leaves is played to nobody.
        if self.phase is not Phase.LEAVING or not self.playback.unended(said.item_id):
            self.voice.said(said)

    # -- the caller's words ---------------------------------------------------------------------

    def _tell_who_waits(self, at_ms: float, *, speaking: bool) -> None:
        """Somebody begins to speak, or stops: it is no silence, and no time for keys."""
        self.lifeline.no_silence(at_ms)
        self.voicemail.heard(at_ms, speaking=speaking)
        self.keys.wait_on(at_ms)

    def _on_caller_said(self, text: str) -> list[Command]:
        """The words come late: a menu that is pointed out now is told to the model for its next turn."""
        note = self.repetition.heard(text)
        if note is None:
            return []
        self.history.note(note)
        return [Tell("system", note)] if self.lifeline.up and self.phase is Phase.LIVE else []

    # -- the end --------------------------------------------------------------------------------

    def _go_on(self, at_ms: float) -> list[Command]:
        """What follows from how things stand: a response that may be asked for, or the end."""
        # Whoever may prove to interrupt what has just been heard out has a moment to do it.
        in_doubt = self.noise.in_doubt and not self.floor.closed
        commands = [] if in_doubt else self.trips.go_on(at_ms)
        if self.over:
            return commands
        scene = self._scene(at_ms)
        commands += self.asides.time_silence(scene)
        if not self.farewell.begun:
            commands += self.outage.dial_again(at_ms)  # the goodbye was called off, and the call goes on
        aside = self.asides.next(scene)
        if self.away.gone:
            return commands
        if not self.lifeline.up and not self.farewell.begun:
            return commands
        commands += self.winding_up.leave_message(at_ms)
        if self.budget.exhausted and not self.farewell.begun:
            commands += self.winding_up.begin("limit.cost", at_ms)
        if aside is not None:
            self.responses.want(aside)
            if aside.tag == GOODBYE:
                self.farewell.begin("limit.silence", at_ms)
        over_the_caller = self.farewell.last or self.noise.deaf(at_ms)
        commands += self.responses.next(at_ms, over_the_caller=over_the_caller)
        if self.farewell.begun and not (self.responses.busy or in_doubt) and self.playback.all_heard:
            commands += self.course.leave(self.farewell.reason, at_ms)
        return commands

    def _on_tick(self, at_ms: float) -> list[Command]:
        if self.phase is Phase.LEAVING:
            return self.course.overdue(at_ms)
        if self.away.gone:
            return self.tool_rounds.give_up(at_ms)
        if at_ms >= self.outage.session_due_ms:
            return self.course.finish("openai.no_session")
        commands = self.outage.hold_the_line(at_ms)
        commands += self.winding_up.person_found(at_ms)
        commands += self.floor.speech_lasts(at_ms)
        commands += self.keypad.look_after(at_ms)
        commands += self.tool_rounds.give_up(at_ms)
        # Asked first: whoever answers it, that turn is over.
        if self.responses.ignored(at_ms) and self.lifeline.up and not self.farewell.begun:
            self.responses.want(Request(ANSWER))  # a machine gets none: see `WindingUp.leave_message`
        given_up = self.outage.look_after(at_ms)
        if given_up:
            return commands + given_up
        if at_ms >= self._farewell_until_ms():
            return commands + self.course.leave(self.farewell.reason, at_ms)
        if at_ms >= self.plan.most_ms:
            commands += self.winding_up.begin("limit.call_seconds", at_ms)
        return commands

    # -- time -----------------------------------------------------------------------------------

    def _scene(self, at_ms: float) -> Scene:
        responses = self.responses
        return Scene(
            at_ms,
            up=self.lifeline.up,
            ordinary=not (self.voicemail.reached or self.farewell.begun or self.away.trip is not None),
            busy=responses.busy or responses.active is not None,
            caller_speaking=responses.caller_speaking,
            heard_ms=self.playback.dry_ms,
            tool_since_ms=self.tool_rounds.running_since_ms,
            awaiting_keys=self.keys.awaited,
        )

    def _farewell_until_ms(self) -> float:
        return self.farewell.deadline_ms(speaking=self.responses.busy, dry_ms=self.playback.dry_ms)

    @property
    def deadline_ms(self) -> float:
        """When a ``Tick`` is needed if nothing happens before: infinite once the call is over.

        Asked once all that has happened is in.
        """
        if self.leaving:
            return self.course.deadline_ms
        trip_ms = self.away.deadline_ms(speaking=self.responses.busy, dry_ms=self.playback.dry_ms)
        if self.away.gone:
            return min(trip_ms, self.tool_rounds.deadline_ms)
        return min(
            trip_ms,
            math.inf if self.farewell.last else self.plan.most_ms,
            self.outage.session_due_ms,
            self.outage.deadline_ms,
            self.responses.deadline_ms if self.lifeline.up or self.farewell.begun else math.inf,
            self.tool_rounds.deadline_ms,
            self.noise.doubt_until_ms,
            self.keys.deadline_ms(self.playback.dry_ms),
            self.asides.deadline_ms(self._scene(self._now_ms)),
            self._farewell_until_ms(),
            self.winding_up.person_ms,
            self.voicemail.deadline_ms if self.lifeline.up and not self.farewell.begun else math.inf,
        )
