"""One call, alive: two legs, the conversation between them, and the threads that carry it.

Threads, and what each may touch:

- *uplink*, the thread of the Flask request: receives from the caller leg, and keeps the conversation's
  deadlines, see `Uplink`;
- *downlink*, ours: dials the model leg and receives from it, see `Downlink`;
- *the reader*, one for all calls: takes speech from both legs where it can be handed on as it is, the
  caller's to the lane, the model's by the flow, and the caller's interruptions. It never
  waits: what it cannot do at once, or what is more than that, the call's own two threads do, in the
  order it came;
- *errand*, ours and brief: asks the carrier for something, see `Errands`;
- any other (a tool of the pool, a status callback, the registry's drain) comes in through ``feed``.

``feed`` decides and performs under one lock, so that what is decided first is sent first: a ``clear``
can never overtake the audio it is to clear. What it performs is a hand-over to another thread: what is
sent is written by the reader. A write that fails says nothing: that a leg is lost is told by the thread
that receives from it, after what came in before, which may well be the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from time import monotonic

from callapp.call.audio_lane import AudioLane
from callapp.call.downlink import Downlink
from callapp.call.errands import Errands
from callapp.call.levels import Tap
from callapp.call.outside import Outside
from callapp.call.threads import JOIN_S
from callapp.call.uplink import Uplink
from callapp.conversation.commands import (
    ClearAudio,
    CloseAudio,
    Command,
    CompleteCall,
    DropModel,
    Finish,
    LeaveStream,
    OpenAudio,
    PlayAudio,
    RecallCaller,
    Reconnect,
    RunTool,
    SendMark,
    Warn,
)
from callapp.conversation.events import (
    CallerBack,
    EndedElsewhere,
    Part,
    ToolReturned,
    TransferAsked,
    Whispered,
    WindUpAsked,
)
from callapp.conversation.events import Event as CallEvent
from callapp.conversation.facts import AudioDropped, Began, Closed
from callapp.conversation.machine import Conversation
from callapp.conversation.plan import Plan
from callapp.conversation.wishes import Transfer
from callapp.errors import LegLost
from callapp.logs import Log
from callapp.telephony.answering import read_answered_by
from callapp.telephony.leg import CallerLeg

# The caller's last words may become known after the call's end; the model's session goes on so long for
# them. It has to be over within a second.
LATE_WORDS_S = 0.7
# After these ends a caller who is away may still come back, to another process.
_MAY_COME_BACK = ("server.draining", "server.stopped", "server.moved")


class Bridge:
    """Carries one call from its stream's start to its end, over as many streams as it takes."""

    __slots__ = (
        "__weakref__",
        "_began_s",
        "_downlink",
        "_errands",
        "_flow",
        "_keepers",
        "_lane",
        "_lock",
        "_log",
        "_outside",
        "_uplink",
        "conversation",
    )

    def __init__(self, caller: CallerLeg, plan: Plan, outside: Outside, log: Log) -> None:
        self.conversation = Conversation(plan)
        self._flow = self.conversation.playback.flow
        self._outside = outside
        self._log = log
        self._lock = RLock()
        self._downlink = Downlink(outside.new_model, self.conversation, self._lock, self, log)
        self._lane = AudioLane()
        self._began_s = monotonic()
        self._uplink = self._uplink_of(caller)
        tape = outside.tape
        # What else becomes of the agent's audio: it is recorded, or watched.
        self._keepers: tuple[Callable[[PlayAudio], None], ...] = () if tape is None else (tape.agent.append,)
        self._errands = Errands(outside, log)

    # -- from outside ---------------------------------------------------------------------------

    def run(self) -> str | None:
        """Carry the call on its first stream. Returns as ``carry_on`` does."""
        self._log.info("= call live")
        self._outside.journal(Began(), self.now_ms())
        try:
            self._downlink.start()
        except RuntimeError as error:  # the system has no thread left: who says sorry has this one
            self._log.error("! the model cannot be dialled: %s", error)
            self._errands.apologise_at_once()
            self.cut("server.error")
        return self.carry_on(self._uplink)

    def rejoin(self, caller: CallerLeg, why: str) -> Uplink | None:
        """Another stream has brought the caller back: ``carry_on`` with it. ``None`` unless the call is away.

        Args:
            why: why a transfer did not come about, in words.
        """
        with self._lock:
            if self.conversation.over or not self.conversation.away.gone:
                return None
            uplink = self._uplink_of(caller)
            last, self._uplink = self._uplink, uplink
            last.hand_on()
            self._log.info("= the caller is back")
            self.feed(CallerBack(why))
        last.leg.close()
        return uplink

    def carry_on(self, uplink: Uplink) -> str | None:
        """Carry the call on this stream until it is over, or until another stream carries it on.

        Returns:
            Why it is over; then no thread and no socket of it is left behind. ``None`` if it goes on.
        """
        over = True
        try:
            over = uplink.run()
        finally:
            if over:
                self._clear_up()
        return self._end_reason if over else None

    def feed(self, event: CallEvent) -> None:
        """Tell the conversation what happened, and do what it says. Safe from any thread."""
        with self._lock:
            self.take(event)
            self.rest()

    def take(self, event: CallEvent) -> None:
        """As ``feed``, with the lock, and with ``rest`` to follow."""
        conversation = self.conversation
        for said, at_s in self._downlink.model.words():  # before anything is decided
            conversation.receive(said, (at_s - self._began_s) * 1000)
        for command in conversation.receive(event, self.now_ms()):
            self._perform(command)
        if conversation.chronicle.facts:
            self._tell()

    def go_on(self, part: Part, payload: bytes) -> bool:
        """Send more audio of a part, and wait for nobody; false if there is more to it than that."""
        if not self._lock.acquire(False):
            return False
        try:
            if self._keepers:
                return False
            at_ms = (monotonic() - self._began_s) * 1000  # as now_ms
            if not self._flow.go_on(part, payload, at_ms):
                return False
            self._uplink.leg.send_audio(payload)
        except LegLost:  # as suppress() has it, which is three calls more, fifty times a second
            pass
        finally:
            self._lock.release()
        return True

    def rest(self) -> None:
        """Nothing more is to be taken just now: see when the conversation wants a tick. With the lock."""
        tick_at_s = self._began_s + self.conversation.deadline_ms / 1000
        if tick_at_s != self._uplink.tick_at_s:
            self._uplink.wake_at(tick_at_s)

    def wind_up(self, reason: str) -> None:
        """Have a last goodbye said, and end the call. Safe from any thread."""
        self.feed(WindUpAsked(reason))

    def whisper(self, words: str) -> bool:
        """Tell the model something that the caller does not hear; false as the call ends. From any thread."""
        with self._lock:
            if self.conversation.leaving:
                return False
            self.feed(Whispered(words))
            said = self.conversation.history.lines() if self.conversation.away.gone else None
        if said is not None and self._outside.extension is not None:  # it may come back to another model
            self._outside.extension.note_said(said)
        return True

    def cut(self, reason: str) -> None:
        """End the call at once. Safe from any thread."""
        extension = self._outside.extension
        if extension is not None and self.conversation.away.gone:
            reason = extension.whereabouts(last=True) or reason  # who has it by now knows how it ends
        self.feed(EndedElsewhere(reason))

    def answered(self, answered_by: str) -> None:
        """Take Twilio's word of who picked up. Safe from any thread."""
        self._log.info("= answered by %s", answered_by)
        self.feed(read_answered_by(answered_by))

    def transfer(self, destination: str) -> bool:
        """Have the caller told that they are put through, and do it. Safe from any thread.

        Args:
            destination: one that the agent's file names.

        Returns:
            False if they are put through already, or the call is about to end.
        """
        transfer = Transfer(destination)
        with self._lock:
            self.feed(TransferAsked(transfer))
            return self.conversation.away.trip is transfer

    def is_coming_back(self) -> bool:
        """Whether the call has left its stream, and another may have it by now, here or elsewhere. Blocks.

        Raises:
            StoreUnavailable: nobody knows.
        """
        extension = self._outside.extension
        return self.conversation.away.gone and extension is not None and not extension.is_away()

    def tap(self, tap: Tap | None) -> int:
        """Put what passes into this as well; see `Audible`."""
        with self._lock:
            self._lane.tap(None if tap is None else tap.caller.append)
            self._keepers = tuple(one.agent.append for one in (self._outside.tape, tap) if one is not None)
            return self.conversation.playback.sent_bytes

    def position(self) -> int | None:
        """How much of the agent's audio has been heard; see `Audible`."""
        with self._lock:
            return self.conversation.playback.position(self.now_ms())

    def now_ms(self) -> float:
        """The call's clock: milliseconds since the stream began."""
        return (monotonic() - self._began_s) * 1000

    def _uplink_of(self, caller: CallerLeg) -> Uplink:
        return Uplink(
            caller, self, self.conversation, self._lock, self._lane, self._outside, self._began_s, self._log
        )

    def _tell(self) -> None:
        """Tell what is new, after it was done: so the journal knows when that was."""
        at_ms = self.now_ms()
        for fact in self.conversation.chronicle.take():
            self._outside.journal(fact, at_ms)

    # -- doing what was decided -----------------------------------------------------------------

    def _perform(self, command: Command) -> None:
        match command:
            case PlayAudio() | SendMark() | ClearAudio():
                leg = self._uplink.leg
                if self._keepers and isinstance(command, PlayAudio):
                    for keep in self._keepers:
                        keep(command)
                with suppress(LegLost):
                    leg.send(command)
            case OpenAudio():
                if not self._downlink.gone:
                    self._lane.open(self._downlink.model)
            case CloseAudio():
                self._lane.close()
            case DropModel(why=why):
                self._downlink.drop(why)
            case Reconnect(after_ms=after_ms):
                self._downlink.redial(after_ms)
            case RunTool(tool_call_id=tool_call_id, name=name, arguments=arguments):
                self._log.info("= tool %s", name)
                self._outside.run_tool(
                    name, arguments, lambda result: self.feed(ToolReturned(tool_call_id, result))
                )
            case Warn(words=words):
                self._log.warning("! %s", words)
            case LeaveStream():
                self._errands.leave(command, self.now_ms(), self.feed)
            case RecallCaller():
                self._errands.recall()
            case CompleteCall():
                self._log.info("= goodbye heard, completing the call")
                self._errands.complete_call(self.feed)
            case Finish(reason=reason):
                self._finish(reason)
            case _:  # all others are the model's to carry out
                self._downlink.send(command)

    def _finish(self, reason: str) -> None:
        """Let both reading threads come to their end."""
        self._downlink.stop()
        self._uplink.stop()
        if reason.startswith("openai.") and self._outside.apologise is not None:
            self._errands.apologise(self._uplink.leg.close)
        else:
            self._uplink.leg.close()
        if self.conversation.told:
            self._downlink.close()

    def _clear_up(self) -> None:
        """Leave no thread and no socket behind, and say why the call ended."""
        self.feed(EndedElsewhere("server.error"))  # of no effect unless this is an exception
        if not self.conversation.told:
            self._downlink.join(LATE_WORDS_S)
        self._downlink.close()
        deadline_s = monotonic() + JOIN_S
        self._downlink.join(JOIN_S)
        self._errands.join(deadline_s)
        if self._lane.dropped_ms:
            self._outside.journal(AudioDropped(self.now_ms(), self._lane.dropped_ms), self.now_ms())
            self._log.warning(
                "! %d ms of the caller's audio were dropped: the model was away", self._lane.dropped_ms
            )
        reason = self._end_reason
        extension = self._outside.extension
        if extension is not None and self.conversation.away.gone and reason not in _MAY_COME_BACK:
            extension.let_go()
        self._log.info("x call ended: %s after %.1f s", reason, monotonic() - self._began_s)
        self._outside.journal(Closed(self.now_ms()), self.now_ms())
        self._lane.close()
        self._downlink.end()

    @property
    def _end_reason(self) -> str:
        return self.conversation.end_reason or "server.error"
