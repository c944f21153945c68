"""What happens on a call, top to bottom: one event in, the commands that follow from it out.

A conversation moves forward through its phases and never back: WAITING for the model's session,
LIVE, LEAVING (the carrier was asked to complete the call), ENDED. Whatever else is true of a call
is kept by the small machines it is made of: what was sent and heard, which response is active,
which tool calls are open, whether a goodbye is under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from callapp.conversation.commands import (
    AnswerTool,
    ClearAudio,
    Command,
    CompleteCall,
    DeleteItem,
    Finish,
    OpenAudio,
    RunTool,
    TruncateItem,
)
from callapp.conversation.events import (
    AudioArrived,
    AudioEnded,
    CallerHungUp,
    CallerLost,
    CompletionFailed,
    EndCall,
    EndedElsewhere,
    Event,
    MessageStarted,
    ModelLost,
    Played,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
    WindUpAsked,
)
from callapp.conversation.farewell import (
    ASK_FOR_GOODBYE,
    ENDING,
    GOODBYE_REQUEST,
    LAST_GOODBYE_REQUEST,
    NOT_ENDED,
    Farewell,
)
from callapp.conversation.playback import Part, Playback
from callapp.conversation.responses import ANSWER, GOODBYE, GREETING, Request, Responses
from callapp.conversation.tool_calls import ToolCalls

# The model's session has to stand by then, counted from the start of the stream.
SESSION_MS = 10_000
# After the carrier was asked to complete the call, its stream has to end by then.
LEAVING_MS = 5_000

CUT_SHORT = '{"error": "The caller interrupted before this call was complete. It was not run."}'
TOO_SLOW = '{"error": "The tool took too long. Tell the caller, and offer another way."}'


class Phase(IntEnum):
    """How far a call has come."""

    WAITING = 0
    LIVE = 1
    LEAVING = 2
    ENDED = 3


@dataclass(frozen=True)
class Plan:
    """What is laid down for a call before it begins.

    Args:
        greeting: instructions for the response that opens the call; ``None`` lets the caller
            speak first.
        most_ms: how long the call may last, from the start of the stream.
    """

    greeting: str | None = None
    most_ms: float = 1_800_000


class Conversation:
    """One call. Not thread-safe: whoever feeds it holds a lock."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = plan or Plan()
        self.phase = Phase.WAITING
        self.end_reason: str | None = None
        self.playback = Playback()
        self.responses = Responses()
        self.tool_calls = ToolCalls()
        self.farewell = Farewell()
        self._spoken: set[str] = set()  # responses of which audio was sent
        self._ended: set[str] = set()  # responses that are over
        self._unspoken: dict[str, str] = {}  # messages that sent no audio yet, and their response
        self._forgotten: set[str] = set()  # items that the model was told to forget, all or in part
        self._end_asked: dict[str, str] = {}  # tool calls that ask for the end, and their response
        self._leaving_until_ms = 0.0
        self.deadline_ms: float | None = min(SESSION_MS, self.plan.most_ms)

    @property
    def over(self) -> bool:
        """Whether nothing that happens matters any more."""
        return self.phase is Phase.ENDED

    def receive(self, event: Event, at_ms: float) -> list[Command]:
        """Take one event; return what to do about it, in order.

        Args:
            event: what happened.
            at_ms: when, in milliseconds since the stream began; never less than before.
        """
        if type(event) is AudioArrived:  # the hot path: no deadline hangs on it
            return self._on_audio(event, at_ms) if self.phase is Phase.LIVE else []
        if self.phase is Phase.ENDED:
            return []
        commands = self._dispatch(event, at_ms)
        if self.phase is Phase.LIVE:
            commands += self._go_on(at_ms)
        self.deadline_ms = self._next_deadline_ms()
        return commands

    def _dispatch(self, event: Event, at_ms: float) -> list[Command]:
        match event:
            case CallerHungUp():
                return self._finish("caller.hung_up")
            case CallerLost():
                return self._finish("twilio.disconnected")
            case EndedElsewhere(reason=reason):
                return self._finish(reason)
            case CompletionFailed():
                return self._close_the_stream()
            case ModelLost(reason=reason):
                return self._on_model_lost(reason)
            case WindUpAsked(reason=reason):
                return self._on_wind_up(reason, at_ms)
            case Tick():
                return self._on_tick(at_ms)
            case Played(mark=mark):
                self.playback.played(mark, at_ms)
                return []
            case SessionConfirmed() if self.phase is Phase.WAITING:
                return self._on_session(at_ms)
            case _ if self.phase is not Phase.LIVE:
                return []
            case SpeechStarted():
                return self._on_speech_started(at_ms)
            case SpeechStopped():
                self.responses.turn_ended(at_ms)
                return []
            case ResponseStarted(response_id=response_id, tag=tag):
                return self._on_response_started(response_id, tag)
            case MessageStarted(response_id=response_id, item_id=item_id):
                return self._on_message_started(response_id, item_id)
            case AudioEnded(item_id=item_id, content_index=index):
                return self.playback.end_part(Part(item_id, index), at_ms)
            case ToolCalled():
                return self._on_tool_called(event, at_ms)
            case ToolReturned(tool_call_id=tool_call_id, result=result):
                return self._on_tool_returned(tool_call_id, result, at_ms)
            case ResponseEnded():
                return self._on_response_ended(event, at_ms)
            case RequestRefused(request_id=request_id):
                self.responses.refused(request_id, at_ms)
                return []
            case _:
                return []

    # -- the beginning --------------------------------------------------------------------------

    def _on_session(self, at_ms: float) -> list[Command]:
        self.phase = Phase.LIVE
        commands: list[Command] = []
        if self.plan.greeting is not None:
            self.responses.want(Request(GREETING, self.plan.greeting, tools_allowed=False))
            commands += self.responses.next(at_ms)  # ahead of the audio, so that it comes first
        commands.append(OpenAudio())
        return commands

    # -- the agent speaks -----------------------------------------------------------------------

    def _on_response_started(self, response_id: str, tag: str | None) -> list[Command]:
        commands = self.responses.started(response_id, tag)
        if self.farewell.last and self.responses.active_tag != GOODBYE:
            commands += self.responses.interrupt()  # time is up: only the goodbye is to be heard
        return commands

    def _on_message_started(self, response_id: str, item_id: str) -> list[Command]:
        if self.responses.silenced(response_id):
            return self._forget(item_id)  # it began while the cancel was under way
        self._unspoken[item_id] = response_id
        return []

    def _on_audio(self, audio: AudioArrived, at_ms: float) -> list[Command]:
        response_id, item_id, content_index, payload = audio
        if self.responses.silenced(response_id):
            return self._forget(item_id)
        self._unspoken.pop(item_id, None)
        self._spoken.add(response_id)
        return self.playback.play(response_id, Part(item_id, content_index), payload, at_ms)

    def _on_response_ended(self, ended: ResponseEnded, at_ms: float) -> list[Command]:
        response_id = ended.response_id
        commands: list[Command] = []
        if ended.status == "cancelled" and not self.responses.silenced(response_id):
            # Cancelled, but not by us. What it left in the phone's queue must not be heard either.
            self.responses.silence(response_id)
            commands += self._silence(at_ms)
        commands += self.playback.end_response(response_id, at_ms)
        for call in ended.tool_calls:
            commands += self._on_tool_called(call, at_ms)
        self._ended.add(response_id)
        self._unspoken = {i: r for i, r in self._unspoken.items() if r != response_id}
        if not self.responses.ended(response_id, failed=ended.status == "failed", at_ms=at_ms):
            return commands + self._finish("openai.failed")
        return commands + self._settle(response_id, at_ms)

    # -- the caller speaks ----------------------------------------------------------------------

    def _on_speech_started(self, at_ms: float) -> list[Command]:
        self.responses.turn_started()
        if self.farewell.last:
            return []
        self.farewell.call_off()
        self.responses.forget_goodbye()
        return self._silence(at_ms)

    def _silence(self, at_ms: float) -> list[Command]:
        """Stop the agent: clear first, then cancel, then have the unheard forgotten."""
        playing = self.playback.playing(at_ms)
        commands: list[Command] = [ClearAudio()] if playing else []
        cancels = self.responses.interrupt()
        commands += cancels
        for cut in self.playback.cut(at_ms) if playing or cancels else ():
            self.responses.silence(cut.response_id)
            if cut.heard_ms > 0:
                self._forgotten.add(cut.part.item_id)
                commands.append(TruncateItem(*cut.part, cut.heard_ms))
            else:
                # Truncate needs audio_end_ms > 0, so an unheard item is deleted instead.
                commands += self._forget(cut.part.item_id)
        for item_id, response_id in self._unspoken.items():
            if self.responses.silenced(response_id):
                commands += self._forget(item_id)
        return commands

    def _forget(self, item_id: str) -> list[Command]:
        if item_id in self._forgotten:
            return []
        self._forgotten.add(item_id)
        return [DeleteItem(item_id)]

    # -- tools ----------------------------------------------------------------------------------

    def _on_tool_called(self, call: ToolCalled, at_ms: float) -> list[Command]:
        if not self.tool_calls.open(call.tool_call_id, call.response_id, at_ms):
            return []
        if not call.complete:
            return self._answer(call.tool_call_id, CUT_SHORT, at_ms)
        return [RunTool(call.tool_call_id, call.name, call.arguments)]

    def _on_tool_returned(self, tool_call_id: str, result: str | EndCall, at_ms: float) -> list[Command]:
        if isinstance(result, str):
            return self._answer(tool_call_id, result, at_ms)
        response_id = self.tool_calls.response_of(tool_call_id)
        if response_id is None:
            return []
        self._end_asked[tool_call_id] = response_id
        return self._settle(response_id, at_ms)

    def _answer(self, tool_call_id: str, output: str, at_ms: float) -> list[Command]:
        response_id = self.tool_calls.answer(tool_call_id)
        if response_id is None:
            return []
        return [AnswerTool(tool_call_id, output), *self._settle(response_id, at_ms)]

    def _settle(self, response_id: str, at_ms: float) -> list[Command]:
        """Once a response is over, answer its ``end_call``; once its tools are done, go on."""
        if response_id not in self._ended:
            return []
        commands: list[Command] = []
        for tool_call_id in [t for t, r in self._end_asked.items() if r == response_id]:
            del self._end_asked[tool_call_id]
            self.tool_calls.answer(tool_call_id)
            commands.append(AnswerTool(tool_call_id, self._say_goodbye(response_id, at_ms)))
        if self.tool_calls.batch_done(response_id) and not self.farewell.begun:
            self.responses.want(Request(ANSWER))
        return commands

    def _say_goodbye(self, response_id: str, at_ms: float) -> str:
        """Begin the farewell that the model asked for; return what to tell it."""
        if self.responses.silenced(response_id) or self.responses.caller_speaking:
            return NOT_ENDED
        self.farewell.begin("agent.ended", at_ms)
        if response_id in self._spoken:
            return ENDING  # it said goodbye with the words that came with the call
        self.responses.want(GOODBYE_REQUEST)
        return ASK_FOR_GOODBYE

    # -- the end --------------------------------------------------------------------------------

    def _go_on(self, at_ms: float) -> list[Command]:
        """What follows from how things stand: a response that may be asked for, or the end."""
        commands = self.responses.next(at_ms, over_the_caller=self.farewell.last)
        if self.farewell.begun and not self.responses.busy and self.playback.all_heard:
            commands += self._leave(at_ms)
        return commands

    def _on_wind_up(self, reason: str, at_ms: float) -> list[Command]:
        if self.phase is Phase.WAITING:
            return self._finish(reason)  # no voice to say goodbye with: the carrier's is heard
        if self.phase is not Phase.LIVE or self.farewell.last:
            return []
        goodbye_under_way = self.farewell.begun
        self.farewell.begin_last(reason, at_ms)
        if goodbye_under_way:
            return []
        self.responses.want(LAST_GOODBYE_REQUEST)
        return self._silence(at_ms)

    def _on_model_lost(self, reason: str) -> list[Command]:
        if self.phase is Phase.LEAVING or (self.farewell.begun and not self.responses.busy):
            return []  # the goodbye is in the phone's queue already
        return self._finish(reason)

    def _on_tick(self, at_ms: float) -> list[Command]:
        if self.phase is Phase.WAITING:
            return self._finish("openai.no_session") if at_ms >= SESSION_MS else self._past_limit(at_ms)
        if self.phase is Phase.LEAVING:
            return self._close_the_stream() if at_ms >= self._leaving_until_ms else []
        commands: list[Command] = []
        for tool_call_id in self.tool_calls.expired(at_ms):
            commands += self._answer(tool_call_id, TOO_SLOW, at_ms)
        if self.responses.overdue(at_ms):
            return commands + self._finish("openai.no_answer")
        until_ms = self._farewell_until_ms()
        if until_ms is not None and at_ms >= until_ms:
            return commands + self._leave(at_ms)
        return commands + self._past_limit(at_ms)

    def _past_limit(self, at_ms: float) -> list[Command]:
        return self._on_wind_up("limit.call_seconds", at_ms) if at_ms >= self.plan.most_ms else []

    def _leave(self, at_ms: float) -> list[Command]:
        self.phase = Phase.LEAVING
        self.end_reason = self.farewell.reason
        self._leaving_until_ms = at_ms + LEAVING_MS
        return [CompleteCall()]

    def _close_the_stream(self) -> list[Command]:
        """The carrier did not complete the call: what the TwiML says after the stream will."""
        return self._finish(self.end_reason or "server.error")

    def _finish(self, reason: str) -> list[Command]:
        self.phase = Phase.ENDED
        self.end_reason = self.end_reason or reason
        return [Finish(self.end_reason)]

    # -- time -----------------------------------------------------------------------------------

    def _farewell_until_ms(self) -> float | None:
        return self.farewell.deadline_ms(speaking=self.responses.busy, dry_ms=self.playback.dry_ms)

    def _next_deadline_ms(self) -> float | None:
        """When a ``Tick`` is needed if nothing happens before."""
        if self.phase is Phase.WAITING:
            return min(SESSION_MS, self.plan.most_ms)
        if self.phase is Phase.LEAVING:
            return self._leaving_until_ms
        if self.phase is Phase.ENDED:
            return None
        deadlines = (
            None if self.farewell.last else self.plan.most_ms,
            self.responses.deadline_ms,
            self.tool_calls.deadline_ms,
            self._farewell_until_ms(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)
