"""The caller's side of a call: one stream of theirs, and the thread that carries it.

The thread is the call's *uplink*, that of the stream's Flask request: it receives from the caller leg, and
keeps the conversation's deadlines, also while the call is away. When another stream brings the caller back,
that one's thread takes over.
"""

from __future__ import annotations

from math import inf
from threading import Event, RLock
from time import monotonic
from typing import Protocol

from callapp.call.audio_lane import AudioLane
from callapp.call.outside import Outside
from callapp.conversation.events import CallerLost, DigitPressed, EndedElsewhere, Played, Tick
from callapp.conversation.events import Event as CallEvent
from callapp.conversation.machine import Conversation
from callapp.errors import LegLost
from callapp.logs import Log
from callapp.telephony.leg import NO_MEDIA_S, CallerLeg, reason_of
from callapp.telephony.media_streams import CallerAudio

# A deadline that nothing could be done about yet is looked at again after so long.
AGAIN_S = 0.02
# A call that is away is looked after so often: another process may have it by now.
LOOK_S = 0.5


class Call(Protocol):
    """What an uplink brings its events to."""

    def feed(self, event: CallEvent) -> None:
        """Take an event to the conversation, and do what it says. With or without the lock."""

    def rest(self) -> None:
        """Nothing more is to be taken just now; with the lock."""


class Uplink:
    """One stream's.

    Args:
        leg: the stream.
        call: takes what comes.
        conversation: is asked whether the call is over, or away.
        lock: the call's.
        lane: takes the caller's audio to the model.
        began_s: when the call's clock began, by ``monotonic``.

    Attributes:
        leg: the stream.
        tick_at_s: when the conversation wants a tick, by ``monotonic``.
    """

    __slots__ = (
        "_began_s",
        "_call",
        "_conversation",
        "_handed_on",
        "_lane",
        "_lock",
        "_log",
        "_outside",
        "_turned",
        "leg",
        "tick_at_s",
    )

    def __init__(
        self,
        leg: CallerLeg,
        call: Call,
        conversation: Conversation,
        lock: RLock,
        lane: AudioLane,
        outside: Outside,
        began_s: float,
        log: Log,
    ) -> None:
        self.leg = leg
        self._call = call
        self._conversation = conversation
        self._lock = lock
        self._lane = lane
        self._outside = outside
        self._began_s = began_s
        self._log = log
        self.tick_at_s = inf
        self._handed_on = False  # another stream has the caller. With the lock
        self._turned = Event()  # a call that is away is back, or over

    # -- for the call ---------------------------------------------------------------------------

    def wake_at(self, tick_at_s: float) -> None:
        """Have a tick fed then, a time of ``monotonic``; infinite for never. With the lock."""
        self.tick_at_s = tick_at_s
        self.leg.rouse(tick_at_s)

    def hand_on(self) -> None:
        """Another stream has the caller: what this one still brings is of no meaning. With the lock."""
        self._handed_on = True
        self._turned.set()

    def stop(self) -> None:
        """The call is over."""
        self._turned.set()

    # -- the thread -----------------------------------------------------------------------------

    def run(self) -> bool:
        """Carry the call on this stream until it is over; false where another stream carries it on."""
        try:
            self._listen()
            return self._look_after()
        finally:
            self.leg.let_go()
            del self._call  # two that hold each other would stay until the garbage collector comes by

    def _listen(self) -> None:
        leg, tape = self.leg, self._outside.tape
        if tape is None:
            leg.listen(self._lane, self._hear_mark)
        else:  # a recording wants each chunk with its place in time
            began_s = self._began_s  # and no more of us: a call that is over is freed at once
            tape.begin(self._conversation.playback, lambda: (monotonic() - began_s) * 1000)
        with self._lock:
            self.tick_at_s = inf  # by which the stream's clock was not set yet
            self._call.rest()
        while not self._conversation.over:
            try:
                heard = leg.receive()
            except LegLost as loss:
                self._on_lost(loss)
                return
            if not heard and leg.quiet_s > NO_MEDIA_S:
                self._feed(CallerLost("twilio.no_media"))
                if self._conversation.away.stream_over:
                    return
            for event in heard:
                if isinstance(event, CallerAudio):
                    if tape is not None:
                        tape.hear(event)
                    self._lane.offer(event.payload)
                else:
                    if isinstance(event, DigitPressed):
                        self._log.info("< key pressed")
                    self._feed(event)
                    if self._conversation.away.stream_over:
                        return
            self._keep_deadline()

    def _look_after(self) -> bool:
        """Look after a call that is away until it is over; false where another stream carries it on."""
        extension = self._outside.extension
        while not (self._handed_on or self._conversation.over):
            self.leg.close()
            self._turned.wait(LOOK_S)
            self._keep_deadline()
            reason = extension.whereabouts() if extension is not None else None
            if reason is not None:
                self._feed(EndedElsewhere(reason))
        return not self._handed_on

    def _keep_deadline(self) -> None:
        if monotonic() >= self.tick_at_s and not self._handed_on:
            self._call.feed(Tick())
            with self._lock:
                self.leg.rouse(max(self.tick_at_s, monotonic() + AGAIN_S))

    def _feed(self, event: CallEvent) -> None:
        """Pass on what the stream brings, unless another one has taken its place."""
        with self._lock:
            if not self._handed_on:
                self._call.feed(event)

    def _hear_mark(self, mark: Played) -> bool:
        """Note an echo in the reader's thread; false when there may be something to be done about it."""
        if not self._lock.acquire(False):
            return False
        try:
            return self._conversation.playback.passed(mark.mark, (monotonic() - self._began_s) * 1000)
        finally:
            self._lock.release()

    def _on_lost(self, loss: LegLost) -> None:
        with self._lock:
            if self._conversation.over or self._handed_on:
                return
            self._log.info("< caller leg lost: %s %s", loss.code, loss.reason)
            self._call.feed(CallerLost(reason_of(loss)))
