"""What happens on a call, top to bottom: one event in, the commands that follow from it out.

What is true of a call is kept by the small machines that it is made of: how far it has come, what was
sent and heard, which response is active, which tool calls are open, whether a goodbye is under way.
"""

from __future__ import annotations

from callapp.conversation.asides import Asides, Scene
from callapp.conversation.away import ON_THE_WAY, Away
from callapp.conversation.briefing import Briefing
from callapp.conversation.budget import Budget
from callapp.conversation.chronicle import Chronicle
from callapp.conversation.commands import Command, OpenAudio, Tell
from callapp.conversation.course import Course, Phase
from callapp.conversation.events import (
    AgentSaid,
    Answered,
    AudioArrived,
    AudioEnded,
    CallerBack,
    CallerHungUp,
    CallerLost,
    CallerSaid,
    CollectDigits,
    CompletionFailed,
    DigitPressed,
    EndCall,
    EndedElsewhere,
    Event,
    LeavingFailed,
    MessageStarted,
    ModelLost,
    OutputTaken,
    Played,
    RemoteToolCalled,
    RemoteToolReturned,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    SendDigits,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    StaySilent,
    Tick,
    ToolCalled,
    ToolReturned,
    Transfer,
    TransferAsked,
    VoicemailReached,
    Whispered,
    WindUpAsked,
    Wish,
)
from callapp.conversation.farewell import LAST_GOODBYE_REQUEST, Farewell
from callapp.conversation.history import AGENT, CALLER, History
from callapp.conversation.keys import Entry, Keys
from callapp.conversation.lifeline import Lifeline
from callapp.conversation.noise import Noise
from callapp.conversation.outage import Outage
from callapp.conversation.plan import Plan
from callapp.conversation.playback import Part, Playback
from callapp.conversation.repetition import Repetition
from callapp.conversation.responses import ANSWER, GOODBYE, GREETING, Request, Responses
from callapp.conversation.tool_calls import TOOL_MS, ToolCalls
from callapp.conversation.tool_rounds import ToolRounds
from callapp.conversation.trips import Trips
from callapp.conversation.voice import Voice
from callapp.conversation.voicemail import Voicemail

COLLECTING = '{"error": "Digits are being collected already. Wait for those."}'
MACHINE = '{"status": "waiting until the machine records", "next": "Say nothing more."}'
WAITING = '{"status": "listening"}'


class Conversation:
    """One call. Not thread-safe: whoever feeds it holds a lock."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan or Plan()
        self.course = Course()
        self.playback = Playback()
        self.history = History()
        self.chronicle = Chronicle(
            self.playback, self.history, self.plan.ears, transcribed=self.plan.transcribed
        )
        self.voice = Voice(self.playback, self.history, self.chronicle.turns)
        self.tool_calls = ToolCalls()
        self.farewell = Farewell()
        self.lifeline = Lifeline(self.plan.session_ms)
        self.briefing = Briefing(self.history, self.voice, self.farewell, self.lifeline, self.plan.resumed)
        self.tool_rounds = ToolRounds(self.tool_calls, self.voice, self.history, self.farewell, self.briefing)
        self.away = Away()
        self.trips = Trips(
            self.away,
            self.playback,
            self.voice,
            self.tool_rounds,
            self.briefing,
            self.farewell,
            keys_as_sound=self.plan.keys_as_sound,
        )
        self.keys = Keys()
        self.noise = Noise(self.plan.manners.shortest_speech_ms, self.plan.manners.most_interruptions)
        self.asides = Asides(self.plan.manners, self.plan.most_ms)
        self.budget = Budget(self.plan.most_usd, self.plan.usd_of)
        self.repetition = Repetition()
        self.voicemail = Voicemail(detecting=self.plan.detects_machines)
        self.outage = Outage(
            self.course,
            self.lifeline,
            self.playback,
            self.voice,
            self.briefing,
            self.tool_rounds,
            self.farewell,
            self.noise,
            self.voicemail,
            hold_line=self.plan.hold_line,
        )
        self._audible = False  # whether somebody hears what is played
        self.deadline_ms = self._next_deadline_ms(0.0)

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
            self.voice.said(event)
            return []
        if self.phase is Phase.ENDED and not isinstance(event, CallerSaid | AgentSaid):
            return []
        commands = self._dispatch(event, at_ms)
        if self.phase is Phase.LIVE:
            commands += self._go_on(at_ms)
        self.chronicle.observe(event, commands, at_ms)
        self._audible = self.phase is Phase.LIVE and not self.away.gone
        self.deadline_ms = self._next_deadline_ms(at_ms)
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
                return self._on_wind_up(reason, at_ms)
            case Whispered(words=words):
                return self.briefing.whisper(words)
            case LeavingFailed(why=why) if self.away.gone:
                return self.trips.failed(why, at_ms)
            case CallerBack(why=why) if self.away.gone:
                return self._on_caller_back(why, at_ms)
            case Tick():
                return self._on_tick(at_ms)
            case Played(mark=mark):
                self.playback.played(mark, at_ms)
                return []
            case DigitPressed(digit=digit) if self.phase < Phase.LEAVING:
                return self._on_digit(digit, at_ms)
            case SessionConfirmed(lasts_ms=lasts_ms) if not self.lifeline.up and self.phase < Phase.LEAVING:
                return self._on_session(lasts_ms, at_ms)
            case Answered() if self.phase < Phase.LEAVING:
                self.voicemail.answered(event, at_ms)
                return self._on_machine(at_ms) if self.voicemail.reached and not self.away.gone else []
            case CallerSaid(item_id=item_id, text=text):
                self.history.settle(CALLER, item_id, text)
                return self._on_caller_said(text)
            case AgentSaid():
                self.voice.said(event)
                return []
            case _ if self.phase is not Phase.LIVE:
                return []
            case SpeechStarted(item_id=item_id):
                self.history.begin(CALLER, item_id)
                return self._on_speech_started(at_ms)
            case SpeechStopped():
                return self._on_speech_stopped(at_ms)
            case ResponseStarted(response_id=response_id, tag=tag):
                return self._on_response_started(response_id, tag, at_ms)
            case MessageStarted(response_id=response_id, item_id=item_id):
                return self._on_message_started(response_id, item_id)
            case AudioEnded(item_id=item_id, content_index=index):
                return self.playback.end_part(Part(item_id, index), at_ms)
            case OutputTaken(tool_call_id=tool_call_id):
                self.tool_calls.taken(tool_call_id)
                return []
            case ToolCalled():
                return self.tool_rounds.called(event, at_ms)
            case RemoteToolCalled():
                self.responses.stirred(at_ms + TOOL_MS)  # until then it has nothing else to bring
                return []
            case RemoteToolReturned():
                return self.tool_rounds.remote_tool_returned()
            case ToolReturned(tool_call_id=tool_call_id, result=result):
                return self._on_tool_returned(tool_call_id, result, at_ms)
            case TransferAsked(transfer=transfer):
                return self.trips.asked(transfer, at_ms)
            case ResponseEnded():
                return self._on_response_ended(event, at_ms)
            case RequestRefused(request_id=request_id):
                self.asides.refused(self.responses.refused(request_id, at_ms))
                return self._hush(at_ms)
            case _:
                return []

    # -- the beginning --------------------------------------------------------------------------

    def _on_session(self, lasts_ms: float | None, at_ms: float) -> list[Command]:
        self.course.begin()
        self.lifeline.restored(at_ms, lasts_ms)
        commands = self.briefing.of_session()
        resumed = self.plan.resumed is not None
        if self.voicemail.reached:
            pass  # nobody is there to be greeted or answered
        elif self.plan.greeting is not None and not (resumed or self.history.items(AGENT)):
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

    # -- the agent speaks -----------------------------------------------------------------------

    def _on_response_started(self, response_id: str, tag: str | None, at_ms: float) -> list[Command]:
        commands = self.responses.started(response_id, tag, at_ms, covers_tools=self.tool_calls.all_taken)
        self.asides.begun(self.responses.active_tag)
        return commands + self._hush(at_ms)

    def _hush(self, at_ms: float) -> list[Command]:
        """Silence a response that has begun unasked where none is to be heard."""
        if self.responses.active is None:
            return []
        if self.away.gone:
            return self.responses.interrupt()
        tag = self.responses.active_tag
        over_agent = self.playback.playing(at_ms)
        time_is_up = (self.farewell.last or self.voicemail.reached) and tag != GOODBYE
        if self.responses.caller_speaking and not self.farewell.last and tag != GREETING:
            return self.responses.interrupt()  # the caller went on speaking: their turn is not over
        if time_is_up or (tag is None and self.noise.answered(at_ms, over_agent=over_agent)):
            return self.responses.interrupt()
        return []

    def _on_message_started(self, response_id: str, item_id: str) -> list[Command]:
        if not self.responses.silenced(response_id):
            self.tool_rounds.remote_answer_due = False
        return self.voice.message_started(response_id, item_id)

    def _on_response_ended(self, ended: ResponseEnded, at_ms: float) -> list[Command]:
        response_id = ended.response_id
        commands = self.voice.response_ended(ended, at_ms)
        for call in ended.tool_calls:
            commands += self.tool_rounds.called(call, at_ms)
        if not self.responses.ended(response_id, failed=ended.status == "failed", at_ms=at_ms):
            return commands + self.course.finish("openai.failed")
        return commands + self.tool_rounds.response_ended(response_id, at_ms)

    # -- the caller speaks ----------------------------------------------------------------------

    def _on_speech_started(self, at_ms: float) -> list[Command]:
        self.responses.turn_started()
        self.voicemail.heard(at_ms, speaking=True)
        self.keys.wait_on(at_ms)
        over_agent = self.playback.playing(at_ms)
        return self._barge_in(at_ms) if self.noise.speech_began(at_ms, over_agent=over_agent) else []

    def _barge_in(self, at_ms: float) -> list[Command]:
        """The caller's speech counts: the agent falls silent, or says that it is too noisy."""
        if self.farewell.last or self.away.sounding:
            return []
        too_often = self.playback.playing(at_ms) and self.noise.interrupted(at_ms)
        commands = self._listen(at_ms)
        if too_often and not self.responses.wanting:
            self.responses.want(self.asides.about_the_noise())
        return commands

    def _listen(self, at_ms: float) -> list[Command]:
        """Whatever the agent was saying: it is the caller's turn."""
        self.farewell.call_off()
        self.responses.forget_goodbye()
        self._heed()
        return self.voice.silence(at_ms) + self.trips.interrupted(at_ms)

    def _heed(self) -> None:
        """This was the caller, and no mere noise: they are there, and want something."""
        self.asides.silence.caller_heard()
        self.tool_calls.caller_spoke()

    def _on_speech_stopped(self, at_ms: float) -> list[Command]:
        commands = self._barge_in(at_ms) if self.noise.speech_lasted(at_ms) else []
        self.voicemail.heard(at_ms, speaking=False)
        self.keys.wait_on(at_ms)
        if self.noise.speech_over(at_ms, over_agent=self.playback.playing(at_ms)):
            self.responses.turn_dismissed()
            self.chronicle.turns.dismissed()
            return commands
        self._heed()
        if self.responses.speaking and not self.farewell.begun:
            # A response that the caller's turn did not silence is in the way of the model's own answer.
            self.responses.want(Request(ANSWER))
        self.responses.turn_ended(at_ms)
        return commands

    # -- the caller presses keys ----------------------------------------------------------------

    def _on_caller_said(self, text: str) -> list[Command]:
        """The words come late: a menu that is pointed out now is told to the model for its next turn."""
        note = self.repetition.heard(text)
        if note is None:
            return []
        self.history.note(note)
        return [Tell("system", note)] if self.lifeline.up and self.phase is Phase.LIVE else []

    def _on_digit(self, digit: str, at_ms: float) -> list[Command]:
        if self.farewell.last or self.away.sounding or self.keys.in_vain(digit, at_ms):
            return []
        commands = self._listen(at_ms)
        entry = self.keys.pressed(digit, at_ms)
        return commands if entry is None else commands + self._on_entry(entry, at_ms)

    def _on_entry(self, entry: Entry, at_ms: float) -> list[Command]:
        self.chronicle.keys_pressed(entry, at_ms)
        if entry.as_history:
            self.history.settle(CALLER, f"keys-{entry.number}", entry.as_history)
        if entry.tool_call_id is not None:
            return self._on_tool_returned(entry.tool_call_id, entry.as_output, at_ms, entry.sensitive)
        return self.briefing.tell(Tell("caller", entry.as_input, entry.sensitive))

    # -- tools ----------------------------------------------------------------------------------

    def _on_tool_returned(
        self,
        tool_call_id: str,
        result: str | Wish,
        at_ms: float,
        sensitive: bool = False,
    ) -> list[Command]:
        if isinstance(result, str):
            return self.tool_rounds.answer(tool_call_id, result, at_ms, sensitive=sensitive)
        if self.tool_calls.response_of(tool_call_id) is None:
            return []
        match result:
            case EndCall() if self.away.trip is not None:
                return self.tool_rounds.answer(tool_call_id, ON_THE_WAY, at_ms)
            case EndCall():
                return self.tool_rounds.end_asked(tool_call_id, at_ms)
            case StaySilent():
                self.asides.silence.wait(at_ms)
                return self.tool_rounds.answer(tool_call_id, WAITING, at_ms, silent=True)
            case CollectDigits():
                return self._collect(tool_call_id, result, at_ms)
            case VoicemailReached():
                self.voicemail.reported(at_ms)
                answer = self.tool_rounds.answer(tool_call_id, MACHINE, at_ms, silent=True)
                return answer + self._on_machine(at_ms)
            case SendDigits() | Transfer():
                self.tool_calls.wait_for_caller(tool_call_id)
                return self.trips.plan(tool_call_id, result, at_ms)

    def _collect(self, tool_call_id: str, wish: CollectDigits, at_ms: float) -> list[Command]:
        if self.keys.collecting:
            return self.tool_rounds.answer(tool_call_id, COLLECTING, at_ms)
        self.tool_calls.wait_for_caller(tool_call_id)
        entry = self.keys.collect(tool_call_id, wish, at_ms)
        return [] if entry is None else self._on_entry(entry, at_ms)

    # -- a machine has answered -----------------------------------------------------------------

    def _on_machine(self, at_ms: float) -> list[Command]:
        """Nobody is there to talk to: be silent until the machine records, or leave at once."""
        if self.farewell.last:
            return []
        self.farewell.call_off()
        self.responses.forget()
        commands = self.voice.silence(at_ms) + self.trips.time_is_up(at_ms)
        if self.plan.message is None:
            self.farewell.begin_last("agent.voicemail", at_ms)
            commands += self.course.leave(self.farewell.reason, at_ms)
        return commands

    def _leave_message(self, message: str, at_ms: float) -> list[Command]:
        self.farewell.begin_message("agent.voicemail", at_ms)
        self.responses.want(Request(GOODBYE, message, tools_allowed=False))
        return self.voice.silence(at_ms)

    # -- the call leaves its stream, and comes back ----------------------------------------------

    def _on_caller_back(self, why: str, at_ms: float) -> list[Command]:
        commands = self.trips.back(why, at_ms)
        wind_up, self.away.wind_up = self.away.wind_up, None
        return commands if wind_up is None else commands + self._on_wind_up(wind_up, at_ms)

    # -- the end --------------------------------------------------------------------------------

    def _go_on(self, at_ms: float) -> list[Command]:
        """What follows from how things stand: a response that may be asked for, or the end."""
        commands = self.trips.go_on(at_ms)
        if self.away.lost:
            return commands + self.course.finish("caller.hung_up")
        if not self.farewell.begun:
            commands += self.outage.dial_again(at_ms)  # the goodbye was called off, and the call goes on
        aside = self.asides.next(self._scene(at_ms))
        if self.away.gone:
            return commands
        if not self.lifeline.up and not self.farewell.begun:
            return commands
        if self.voicemail.reached and not self.farewell.begun:
            self.responses.forget()  # an answer that a tool has come back for, say
            if self.plan.message is not None and self.voicemail.due(at_ms):
                commands += self._leave_message(self.plan.message, at_ms)
        if self.budget.exhausted and not self.farewell.begun:
            commands += self._on_wind_up("limit.cost", at_ms)
        if aside is not None:
            self.responses.want(aside)
            if aside.tag == GOODBYE:
                self.farewell.begin("limit.silence", at_ms)
        over_the_caller = self.farewell.last or self.noise.deaf(at_ms)
        commands += self.responses.next(at_ms, over_the_caller=over_the_caller)
        if self.farewell.begun and not self.responses.busy and self.playback.all_heard:
            commands += self.course.leave(self.farewell.reason, at_ms)
        return commands

    def _on_wind_up(self, reason: str, at_ms: float) -> list[Command]:
        if self.away.gone:
            self.away.wind_up = self.away.wind_up or reason
            return []
        if self.phase < Phase.LEAVING and not self.lifeline.up:
            return self.course.finish(reason)  # no voice to say goodbye with: the carrier's is heard
        if self.phase is not Phase.LIVE or self.farewell.last:
            return []
        goodbye_under_way = self.farewell.begun
        self.farewell.begin_last(reason, at_ms)
        commands = self.trips.time_is_up(at_ms)
        if goodbye_under_way:
            return commands
        self.responses.want(LAST_GOODBYE_REQUEST)
        return commands + self.voice.silence(at_ms)

    def _on_tick(self, at_ms: float) -> list[Command]:
        if self.phase is Phase.LEAVING:
            return self.course.overdue(at_ms)
        if at_ms >= self.outage.session_due_ms:
            return self.course.finish("openai.no_session")
        if self.away.gone:
            return self.tool_rounds.give_up(at_ms)
        commands = self.outage.hold_the_line(at_ms)
        if self.noise.speech_lasted(at_ms):
            commands += self._barge_in(at_ms)
        entry = self.keys.expired(at_ms, self.playback.dry_ms)
        if entry is not None:
            commands += self._on_entry(entry, at_ms)
        commands += self.tool_rounds.give_up(at_ms)
        if self.lifeline.up and not self.farewell.begun and self.responses.ignored(at_ms):
            self.responses.want(Request(ANSWER))  # a machine gets none: see _go_on
        given_up = self.outage.look_after(at_ms)
        if given_up:
            return commands + given_up
        until_ms = self._farewell_until_ms()
        if until_ms is not None and at_ms >= until_ms:
            return commands + self.course.leave(self.farewell.reason, at_ms)
        return commands + self._past_limit(at_ms)

    def _past_limit(self, at_ms: float) -> list[Command]:
        return self._on_wind_up("limit.call_seconds", at_ms) if at_ms >= self.plan.most_ms else []

    # -- time -----------------------------------------------------------------------------------

    def _scene(self, at_ms: float) -> Scene:
        responses = self.responses
        free = self.lifeline.up and not (
            self.voicemail.reached
            or self.farewell.begun
            or self.away.trip is not None
            or responses.busy
            or responses.active
            or responses.caller_speaking
        )
        return Scene(at_ms, free, self.playback.dry_ms, self.tool_calls.running_since_ms, self.keys.awaited)

    def _farewell_until_ms(self) -> float | None:
        return self.farewell.deadline_ms(speaking=self.responses.busy, dry_ms=self.playback.dry_ms)

    def _next_deadline_ms(self, at_ms: float) -> float | None:
        """When a ``Tick`` is needed if nothing happens before."""
        if self.phase >= Phase.LEAVING:
            return self.course.deadline_ms
        trip_ms = self.away.deadline_ms(speaking=self.responses.busy, dry_ms=self.playback.dry_ms)
        if self.away.gone:
            return _first(trip_ms, self.outage.session_due_ms, self.tool_calls.deadline_ms)
        return _first(
            trip_ms,
            None if self.farewell.last else self.plan.most_ms,
            self.outage.session_due_ms,
            self.outage.deadline_ms,
            self.responses.deadline_ms if self.lifeline.up or self.farewell.begun else None,
            self.tool_calls.deadline_ms,
            self.noise.deadline_ms,
            self.keys.deadline_ms(self.playback.dry_ms),
            self.asides.deadline_ms(self._scene(at_ms)),
            self._farewell_until_ms(),
            None if self.farewell.begun or not self.lifeline.up else self.voicemail.deadline_ms,
        )


def _first(*deadlines_ms: float | None) -> float | None:
    return min((deadline_ms for deadline_ms in deadlines_ms if deadline_ms is not None), default=None)
