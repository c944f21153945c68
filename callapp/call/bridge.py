"""One call, alive: two legs, the conversation between them, and the threads that carry it.

Threads, and what each may touch:

- *uplink*, the thread of the Flask request: reads the caller leg, hands audio to the lane, keeps
  the conversation's deadlines;
- *downlink*, ours: dials the model leg and reads it;
- *errand*, ours and brief: asks the carrier to complete the call, which no audio may wait for;
- any other (a tool of the pool, a status callback, the registry's drain) comes in through ``feed``.

``feed`` decides and performs under one lock, so that what is decided first is written first: a
``clear`` can never overtake the audio it is to clear. What it performs is a write to a socket,
bounded by the legs' write deadlines, or a hand-over to another thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock, Thread
from time import monotonic

from callapp.call.audio_lane import AudioLane
from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    ClearAudio,
    Command,
    CompleteCall,
    CreateResponse,
    DeleteItem,
    Finish,
    OpenAudio,
    PlayAudio,
    RunTool,
    SendMark,
    TruncateItem,
)
from callapp.conversation.events import (
    CallerLost,
    CompletionFailed,
    EndCall,
    EndedElsewhere,
    Event,
    ModelLost,
    Tick,
    ToolReturned,
    WindUpAsked,
)
from callapp.conversation.machine import Conversation, Plan
from callapp.errors import CallappError, LegLost
from callapp.realtime.leg import ModelLeg
from callapp.telephony.leg import CallerLeg
from callapp.telephony.media_streams import CallerAudio, DigitPressed

JOIN_S = 5.0

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


@dataclass(frozen=True)
class Outside:
    """What a call needs of the world, as plain functions; each may be called from any thread.

    Args:
        run_tool: starts a tool: ``(name, arguments, done)``; ``done`` gets its result, once.
        complete_call: ends the phone call through the carrier. Blocks; raises `CallappError`.
        apologise: speaks a last line over the carrier when the model is gone and the TwiML after
            the stream has nothing to say; ``None`` when it has. Blocks; raises `CallappError`.
    """

    run_tool: Callable[[str, str, Callable[[str | EndCall], None]], None]
    complete_call: Callable[[], None]
    apologise: Callable[[], None] | None = None


class Bridge:
    """Carries one call from its stream's start to its end."""

    def __init__(self, caller: CallerLeg, model: ModelLeg, plan: Plan, outside: Outside, log: Log) -> None:
        self.conversation = Conversation(plan)
        self._caller = caller
        self._model = model
        self._outside = outside
        self._log = log
        self._lock = RLock()
        self._lane = AudioLane(model.send_audio)
        self._began_s = monotonic()
        self._threads: list[Thread] = []

    # -- from outside ---------------------------------------------------------------------------

    def run(self) -> str:
        """Carry the call until it ends; return why it did. Leaves no thread and no socket behind."""
        self._log.info("= call live")
        self._start(self._downlink, "downlink")
        try:
            self._uplink()
        finally:
            self.feed(EndedElsewhere("server.error"))  # of no effect unless this is an exception
            self._model.close()
            for thread in self._threads:
                thread.join(JOIN_S)
            self._model.release()
            reason = self.conversation.end_reason or "server.error"
            self._log.info("x call ended: %s after %.1f s", reason, monotonic() - self._began_s)
        return reason

    def feed(self, event: Event) -> None:
        """Tell the conversation what happened, and do what it says. Safe from any thread."""
        with self._lock:
            for command in self.conversation.receive(event, self.now_ms()):
                try:
                    self._perform(command)
                except LegLost as loss:
                    self._on_loss(loss)

    def wind_up(self, reason: str) -> None:
        """Have a last goodbye said, and end the call. Safe from any thread."""
        self.feed(WindUpAsked(reason))

    def cut(self, reason: str) -> None:
        """End the call at once. Safe from any thread."""
        self.feed(EndedElsewhere(reason))

    def now_ms(self) -> float:
        """The call's clock: milliseconds since the stream began."""
        return (monotonic() - self._began_s) * 1000

    # -- the threads ----------------------------------------------------------------------------

    def _uplink(self) -> None:
        conversation = self.conversation
        while not conversation.over:
            try:
                heard = self._caller.receive()
            except LegLost as loss:
                self._on_loss(loss)
                return
            for event in heard:
                if isinstance(event, CallerAudio):
                    self._hear(event.payload)
                elif isinstance(event, DigitPressed):
                    self._log.info("< key pressed")
                else:
                    self.feed(event)
            deadline_ms = conversation.deadline_ms
            if deadline_ms is not None and self.now_ms() >= deadline_ms:
                self.feed(Tick())

    def _hear(self, payload: bytes) -> None:
        try:
            self._lane.offer(payload)
        except LegLost as loss:
            self._on_loss(loss)

    def _downlink(self) -> None:
        try:
            self._model.dial()
            while not self.conversation.over:
                for event in self._model.receive():
                    self.feed(event)
        except LegLost as loss:
            self._on_loss(loss)
        except Exception:  # noqa: BLE001 - the top of a thread: whatever it is, the call ends
            self._log.exception("! bug in the downlink")
            self.cut("server.error")

    def _on_loss(self, loss: LegLost) -> None:
        if self.conversation.over:
            return
        if loss.leg == "caller":
            self._log.info("< caller leg lost: %s %s", loss.code, loss.reason)
            self.feed(CallerLost())
        else:
            self._log.warning("< model leg lost: %s %s", loss.code, loss.reason)
            self.feed(ModelLost(self._model.reason_of(loss)))

    # -- doing what was decided -----------------------------------------------------------------

    def _perform(self, command: Command) -> None:
        match command:
            case PlayAudio() | SendMark() | ClearAudio():
                self._caller.send(command)
            case CreateResponse() | CancelResponse() | TruncateItem() | DeleteItem() | AnswerTool():
                self._log.debug("> %s", command)
                self._model.send(command)
            case OpenAudio():
                self._lane.open()
            case RunTool(tool_call_id=tool_call_id, name=name, arguments=arguments):
                self._log.info("= tool %s", name)
                self._outside.run_tool(
                    name, arguments, lambda result: self.feed(ToolReturned(tool_call_id, result))
                )
            case CompleteCall():
                self._log.info("= goodbye heard, completing the call")
                self._start(self._complete, "errand")
            case Finish(reason=reason):
                self._finish(reason)

    def _complete(self) -> None:
        try:
            self._outside.complete_call()
        except CallappError as error:
            self._log.error("! the call could not be completed: %s", error)
            self.feed(CompletionFailed())

    def _finish(self, reason: str) -> None:
        """Let both reading threads come to their end."""
        if reason.startswith("openai.") and self._outside.apologise is not None:
            self._start(self._apologise, "errand")
        else:
            self._caller.close()
        self._model.close()

    def _apologise(self) -> None:
        assert self._outside.apologise is not None
        try:
            self._outside.apologise()
        except CallappError as error:
            self._log.error("! no apology could be spoken: %s", error)
        self._caller.close()

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
