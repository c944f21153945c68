"""The model's side of a call: its sessions, one after another, and the thread that carries them.

The thread is the call's *downlink*: it dials the model leg and receives from it, and from its successor when
it is lost. What it receives is fed to the conversation under the call's lock, unless the conversation has
given the session up; what is urgent is fed in the reader's thread, if the lock is free at that moment, and
nothing that came before waits for this thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import uniform
from threading import Event, RLock, Thread
from typing import Protocol

from callapp.conversation.commands import TimeSilence
from callapp.conversation.events import Event as CallEvent
from callapp.conversation.events import ModelLost, Part, SpeechStarted
from callapp.conversation.machine import Conversation
from callapp.errors import LegLost
from callapp.logs import Log
from callapp.realtime.events import ModelCommand
from callapp.realtime.leg import ModelLeg
from callapp.realtime.skimming import Urgent


class Call(Protocol):
    """What a downlink brings its events to."""

    def take(self, event: CallEvent) -> None:
        """Take an event to the conversation; with the lock, and with ``rest`` to follow."""

    def go_on(self, part: Part, payload: bytes) -> bool:
        """Take more audio of a part, if it is what is being played; else false. Must not wait."""

    def rest(self) -> None:
        """Nothing more is to be taken just now; with the lock."""

    def cut(self, reason: str) -> None:
        """End the call, for a bug. Without the lock."""


class Downlink:
    """One call's.

    Args:
        new_model: makes a model leg, not dialled yet.
        conversation: is asked whether the call is over, and whether words are missing.
        lock: the call's. What is decided is carried out under it.
        call: takes what comes.

    Attributes:
        model: the present session.
        gone: the conversation knows that there is no session to be talked to just now. With the lock.
    """

    __slots__ = (
        "_call",
        "_conversation",
        "_lock",
        "_log",
        "_new_model",
        "_over",
        "_redial_ms",
        "_thread",
        "_turned",
        "gone",
        "model",
    )

    def __init__(
        self,
        new_model: Callable[[], ModelLeg],
        conversation: Conversation,
        lock: RLock,
        call: Call,
        log: Log,
    ) -> None:
        self._new_model = new_model
        self._conversation = conversation
        self._lock = lock
        self._call = call
        self._log = log
        self.model = new_model()
        self.gone = False
        self._redial_ms: float | None = None  # after how long its successor is to be dialled
        self._over = Event()
        self._turned = Event()  # a successor is to be dialled, or the call is over
        self._thread = Thread(target=self._run, name="downlink", daemon=True)

    # -- for the call ---------------------------------------------------------------------------

    def start(self) -> None:
        """Dial the first session."""
        self._thread.start()

    def send(self, command: ModelCommand | TimeSilence) -> None:
        """Have the model do something; nothing if the session is gone. With the lock."""
        if self.gone:
            return  # decided before the loss was known: its successor is told what matters
        self._log.debug("> %s", command)
        with suppress(LegLost):  # the thread will say so, after what came in before
            self.model.send(command)

    def drop(self, why: str) -> None:
        """Give the session up. With the lock."""
        self._log.info("= model session given up: %s", why)
        self.gone = True
        self.model.close()

    def redial(self, after_ms: float) -> None:
        """Have a successor dialled, a while after the present session is over. With the lock."""
        self._log.info("= model: next try in %.1f s", after_ms / 1000)
        self._redial_ms = after_ms
        self._turned.set()

    def stop(self) -> None:
        """Dial no more: the call is over."""
        self._over.set()
        self._turned.set()

    def close(self) -> None:
        """End the session, and dial no more; the thread is over soon after."""
        self.stop()
        self.model.close()

    def join(self, within_s: float) -> None:
        """Wait for the thread's end."""
        if self._thread.is_alive():  # or it has never been started
            self._thread.join(within_s)

    def end(self) -> None:
        """Let go of the call. Two that hold each other would stay until the garbage collector comes by."""
        self._call = _Nobody()

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._talk()
            while self._succeed():
                self._talk()
        except Exception:  # noqa: BLE001 - the top of a thread: whatever it is, the call ends
            self._log.exception("! bug in the downlink")
            self._call.cut("server.error")

    def _talk(self) -> None:
        """Carry one session, from the dial until it is over."""
        leg = self.model
        try:
            leg.listen(self._call.go_on, self.hear)
            leg.dial()
            while not (self.gone or self._conversation.told):
                self._take(leg.receive())
        except LegLost as loss:
            self._on_lost(leg, loss)
        finally:
            leg.close()
            leg.release()

    def _succeed(self) -> bool:
        """Wait as long as the conversation wants to, and put a new leg in place of the lost one."""
        self._turned.wait()  # a goodbye that is heard out needs none, unless it is called off
        if self._redial_ms is None:
            return False
        jitter = uniform(0.75, 1)  # noqa: S311 - nothing secret hangs on it
        if self._over.wait(self._redial_ms / 1000 * jitter):
            return False
        with self._lock:
            if self._over.is_set():
                return False
            self._turned.clear()
            self._redial_ms = None
            self.model = self._new_model()
            self.gone = False
        return True

    def _take(self, events: Sequence[CallEvent]) -> None:
        with self._lock:
            for event in events:
                if not self.gone:
                    self.gone = isinstance(event, ModelLost)
                    self._call.take(event)
            self._call.rest()

    def hear(self, event: Urgent) -> bool:
        """Take what is urgent, and wait for nobody; false when something else is being decided just now."""
        if not self._lock.acquire(False):
            return False
        try:
            if not self.gone:
                self._call.take(event)
                if type(event) is SpeechStarted:  # audio puts deadlines off, at most
                    self._call.rest()
        finally:
            self._lock.release()
        return True

    def _on_lost(self, leg: ModelLeg, loss: LegLost) -> None:
        """All that came before the end of a leg has been received."""
        with self._lock:
            if self.gone or self._conversation.over:
                return
            self._log.warning("< model leg lost: %s %s", loss.code, loss.reason)
            self._take([leg.meaning_of(loss)])
            leg.close()


class _Nobody:
    """Who is left to listen after a call."""

    def take(self, event: CallEvent) -> None:
        pass

    def go_on(self, _: Part, __: bytes) -> bool:
        return True

    def rest(self) -> None:
        pass

    def cut(self, reason: str) -> None:
        pass
