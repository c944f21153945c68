"""Letters out and in, for a whole process: two threads and two connections, from the first letter on.

- *sender* takes all that is in the line at a time: one by one while the wire is quick, many together
  while it is slow;
- *listener* reads, and hands each letter to whoever this is for. That must not wait: it is the
  audio of all calls. Once a second or so it lets them look after what has become old.

When the wire is lost, both dial again, every half a second, until it is there.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread
from time import monotonic

from callapp.peers.wire import Listener, Sender, Wire, WireLost
from callapp.threads import try_start

log = logging.getLogger(__name__)

# Audio that has waited for so long would be heard too late: it is not sent any more.
AUDIO_KEPT_S = 0.5
# Whoever has not been told by then has been told by their own deadlines.
LETTER_KEPT_S = 20.0
# With more than this in line, the oldest are not sent: half a second of 200 calls.
MOST_WAITING = 5_000
# So many go out at a time.
MOST_AT_ONCE = 200
REDIAL_S = 0.5
# A connection on which nothing has been sent for so long is given back.
IDLE_S = 30.0
TICK_S = 1.0
# How often the listener sees whether it is to end.
LOOK_S = 0.25


@dataclass(frozen=True)
class Receiver:
    """Who hears what comes in. All in the listener's thread; none may wait.

    Args:
        hear: a letter has come.
        open: we can be heard from here on; what came before has been missed.
        tick: some time has passed.
    """

    hear: Callable[[str], None]
    open: Callable[[], None]
    tick: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Letter:
    channel: str
    text: str
    until_s: float


class Exchange:
    """Sends and hears letters. Safe from any thread; none of its methods but ``close`` waits."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._line: deque[_Letter] = deque(maxlen=MOST_WAITING)
        self._changed = Condition()
        self._closing = False
        self._sender: Thread | None = None
        self._listener: Thread | None = None
        self.listening = False

    def start(self, channels: Sequence[str], receiver: Receiver) -> None:
        """Begin to send and to listen; of no effect where that goes on already."""
        with self._changed:
            if self._closing:
                return
            self._sender = self._sender or try_start(self._send_all, "peers-sender")
            if self._listener is None:
                self._listener = try_start(partial(self._listen, channels, receiver), "peers-listener")

    def send(self, channel: str, text: str, *, audio: bool = False) -> None:
        """Put a letter in the line; audio is dropped rather than be late."""
        letter = _Letter(channel, text, monotonic() + (AUDIO_KEPT_S if audio else LETTER_KEPT_S))
        with self._changed:
            self._line.append(letter)
            self._changed.notify_all()

    def close(self, within_s: float) -> None:
        """Send what is in the line, if that can be done at once, and end both threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        deadline_s = monotonic() + within_s
        for thread in (self._sender, self._listener):
            if thread is not None:
                thread.join(max(0.0, deadline_s - monotonic()))

    # -- the sender's thread --------------------------------------------------------------------

    def _send_all(self) -> None:
        sender: Sender | None = None
        lost = False
        while (letters := self._next()) is not None:
            if not letters:  # who would tell us if the other end let go of it meanwhile?
                _close(sender)
                sender = None
                continue
            try:
                sender = sender or self._wire.sender()
                sender.send([(letter.channel, letter.text) for letter in letters])
                lost = False
            except WireLost as error:
                if not lost:
                    log.error("! %s takes nothing for other processes: %s", self._wire.name, error)
                lost = True
                _close(sender)
                sender = None
                self._put_back(letters)
                if self._closing:
                    break
                self._pause()
        _close(sender)

    def _next(self) -> list[_Letter] | None:
        """Wait for letters, and leave out those that are too old; ``None`` when all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._closing, IDLE_S)
            if self._closing and not self._line:
                return None
            taken = [self._line.popleft() for _ in range(min(MOST_AT_ONCE, len(self._line)))]
        now_s = monotonic()
        return [letter for letter in taken if letter.until_s > now_s]

    def _put_back(self, letters: list[_Letter]) -> None:
        with self._changed:
            room = MOST_WAITING - len(self._line)
            self._line.extendleft(reversed(letters[-room:] if room else []))

    # -- the listener's thread ------------------------------------------------------------------

    def _listen(self, channels: Sequence[str], receiver: Receiver) -> None:
        lost = False
        while not self._closing:
            listener: Listener | None = None
            try:
                listener = self._wire.listener(channels)
                if lost:
                    log.info("= %s is back", self._wire.name)
                self.listening, lost = True, False
                _let(receiver.open)
                self._hear(listener, receiver)
            except WireLost as error:
                if not lost:
                    log.error("! %s brings nothing from other processes: %s", self._wire.name, error)
                lost = True
            finally:
                self.listening = False
                _close(listener)
            _let(receiver.tick)
            self._pause()

    def _hear(self, listener: Listener, receiver: Receiver) -> None:
        tick_s = monotonic() + TICK_S
        while not self._closing:
            for text in listener.receive(LOOK_S):
                _let(partial(receiver.hear, text))
            if monotonic() >= tick_s:
                tick_s = monotonic() + TICK_S
                _let(receiver.tick)

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, REDIAL_S)


def _let(do: Callable[[], None]) -> None:
    try:
        do()
    except Exception:  # one call's bug must not make the others deaf
        log.exception("! bug: news of another process")


def _close(connection: Sender | Listener | None) -> None:
    if connection is not None:
        connection.close()
