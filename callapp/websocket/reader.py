"""One thread a process that reads and writes all its WebSockets, so that a frame costs no change of threads.

A thread that waits in its own socket has to be woken for every frame: with two hundred calls that was 17,000
wake-ups a second, and most of what a call cost. Here one thread takes what has come on any socket, and only
what needs thought wakes the call's own. When there is much to do it looks every 1.2 ms, not at each frame:
to wake up costs more than a frame does. Of a round's sockets a handful are read first, then what came is
dealt with, then what is to be sent is written, and then comes the next handful: going to and fro between
Python and the kernel's network code for each frame, both would find their own out of the processor's caches.

All calls depend on this thread, so nothing that is done in it may wait: no write, no lock that is held
during a wait, no log line a frame. A fault in it ends the connection it came from, and no other.
"""

from __future__ import annotations

import select
import selectors
from contextlib import suppress
from heapq import heappop, heappush
from math import inf
from socket import socketpair
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Protocol

from callapp.websocket.crowd import Crowd

READ, WRITE = 1, 4  # EPOLLIN, EPOLLOUT
# What the system tells beyond these, from here on: an error, or that the peer has said its last.
_ENDING = 8
# To be told of a socket once when something comes, and not again in each round, and of the peer's last word,
# which can be in the same breath: EPOLLET, EPOLLRDHUP. Asking again what has been read costs as much as a
# fifth of reading it.
_ONCE = 1 << 31 | 0x2000

# Sockets are looked at so often at most; what comes meanwhile is taken together. To wake up costs 60 us, so
# shorter rounds cost more; in longer ones frames wait longer.
_ROUND_S = 0.0012
# So many sockets are a handful: their frames wait for each other, and what was read of all is held at once.
_HANDFUL = 32
# Who has waited for so long is not busy, and so many rounds follow without a pause: with a few calls nothing
# waits for the reader, least of all what comes in one breath, as at the beginning of an answer.
_EAGER_AFTER_S = _ROUND_S
_EAGER_ROUNDS = 8
# After a round that was longer, so much of its time is left to the other threads all the same.
_LEFT = 0.1
# The most taken from one socket before the next one has its turn. More than any frame that can be taken at a
# glance, so that only what is looked at more closely can have left anything behind.
READ_BYTES = 66_560
# So often at least, were there nothing to read: what is to be done in time is looked for then, too.
_TICK_S = 0.05
# A round takes milliseconds; one that takes longer than this is stuck.
_FORGET_S = 5.0


class Readable(Protocol):
    """A socket, or what has the face of one."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def recv(self, bufsize: int, /) -> bytes:
        """Return what has come, so much at most, ``b""`` for the end.

        Raises:
            BlockingIOError: there is nothing.
            OSError: another one says that the socket is broken.
        """


class Watched:
    """Something with a socket that a `Reader` listens to.

    Args:
        sock: read in the reader's thread.
        told_once: whether what is left, when less than `READ_BYTES` was read, can be nothing. Where nobody
            can tell, as with TLS, it is asked in each round.
    """

    __slots__ = ("fd", "gone", "remind_at_s", "sock", "told_once", "watched_for")

    def __init__(self, sock: Readable, *, told_once: bool = False) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.told_once = told_once
        self.watched_for = 0  # these are the reader's
        self.remind_at_s = inf
        self.gone = False

    def on_room(self) -> None:
        """The socket can be written to, or it is over. In the reader's thread.

        Must not wait, nor must the others here.
        """
        raise NotImplementedError

    def on_broken(self, error: OSError) -> None:
        """The socket is of no use any more."""
        raise NotImplementedError

    def on_data(self, data: bytes, now_s: float) -> None:
        """Deal with what was read; after `READ_BYTES` at once, call for a second look.

        Args:
            now_s: when this round began, by ``monotonic``.
        """
        raise NotImplementedError

    def write(self, frame: bytes) -> None:
        """Send what was said, see `Reader.say`."""
        raise NotImplementedError

    def on_time(self, now_s: float) -> float | None:
        """The time asked for has come; return the next one, if any."""
        raise NotImplementedError

    def on_fault(self, fault: Exception) -> None:
        """One of these has raised this, which it never should."""
        raise NotImplementedError


class Reader:
    """The thread, and what it watches. All methods are safe from any thread."""

    def __init__(self) -> None:
        self._poller = select.epoll() if hasattr(select, "epoll") else _Portable()
        self._watched: list[Watched | None] = []  # by descriptor
        self._times: list[tuple[float, int]] = []  # a heap: when, and whose descriptor
        self._reminded: dict[int, Watched] = {}
        self._lock = Lock()
        self._again: list[tuple[Watched, int]] = []  # of which there is more, with what was told of them
        self._in_round = False
        self._forgetting: list[Lock] = []  # each held until a round is over
        self._said: list[tuple[Watched, bytes]] = []
        self._waits = False  # until something comes, or it is called
        self.crowd = Crowd()  # of those whose threads have something to do, by what came for them
        self._bell = _Bell()
        self.watch(self._bell, more=READ)
        Thread(target=self._run, name="reader", daemon=True).start()

    def watch(self, one: Watched, *, more: int = 0, less: int = 0) -> None:
        """Change what somebody's socket is watched for; nothing once they are forgotten."""
        with self._lock:
            before, after = one.watched_for, (one.watched_for | more) & ~less
            if one.gone or after == before:
                return
            one.watched_for = after
            if not after:  # not just for nothing: a dead socket would be told of for ever
                self._poller.unregister(one.fd)
                self._watched[one.fd] = None
                return
            # Either call tells what has come already.
            events = after | _ONCE if one.told_once and after == READ else after
            if before:
                self._poller.modify(one.fd, events)
            else:
                self._watched += [None] * (one.fd + 1 - len(self._watched))
                self._watched[one.fd] = one
                self._poller.register(one.fd, events)

    def look_again(self, one: Watched) -> None:
        """Read again in the next round: there may be more. In the reader's thread."""
        self._again.append((one, READ))

    def say(self, one: Watched, frame: bytes) -> None:
        """Have ``one.write(frame)`` called when the handful being dealt with has been, or else very soon."""
        self._said.append((one, frame))
        if self._waits:
            self._bell.ring()

    def remind(self, one: Watched, at_s: float) -> None:
        """Have ``on_time`` called, a little after this time of ``monotonic`` at the latest."""
        with self._lock:
            if not one.gone and at_s < one.remind_at_s:
                one.remind_at_s = at_s
                self._reminded[one.fd] = one
                heappush(self._times, (at_s, one.fd))

    def forget(self, one: Watched) -> None:
        """Let go of somebody for good: no method of theirs is called any more. Before their socket is closed.

        Waits for the round that is under way, so not in the reader's thread.
        """
        self.watch(one, less=READ | WRITE)
        with self._lock:
            one.gone = True
            if self._reminded.get(one.fd) is one:
                del self._reminded[one.fd]
        if self._in_round:
            over = Lock()
            over.acquire()
            # It is they who wait, and not the reader for a lock of theirs: who has got a lock may have to
            # wait for the interpreter before they can give it back, and the reader with them.
            self._forgetting.append(over)
            over.acquire(timeout=_FORGET_S)

    def _run(self) -> None:
        poll = self._poller.poll
        eager = 0  # rounds
        while True:
            asked_s = monotonic()
            self._waits = True  # whoever says something from here on rings
            ready = poll(0 if self._again or self._said else _TICK_S)
            self._waits = False
            if self._again:
                ready = self._with_those_again(ready)
            began_s = monotonic()
            self._in_round = True
            for first in range(0, len(ready), _HANDFUL):
                self._look_at(ready[first : first + _HANDFUL], began_s)
                self._write()
                self.crowd.settle(began_s)  # in a big round, many are awake by now
            if self._said:  # by others; it may be late, so it is written before somebody's time is over
                self._write()
            if self._times and self._times[0][0] <= began_s:
                self._look_at_times(began_s)
                self._write()
            self.crowd.settle(began_s)
            self._in_round = False
            while self._forgetting:
                self._forgetting.pop().release()
            took_s = monotonic() - began_s
            eager = _EAGER_ROUNDS if began_s - asked_s > _EAGER_AFTER_S else eager - 1
            if eager <= 0 or took_s > _ROUND_S:
                sleep(max(_ROUND_S - took_s, took_s * _LEFT))

    def _look_at(self, ready: list[tuple[int, int]], now_s: float) -> None:
        for one, data in self._read(ready):
            try:
                one.on_data(data, now_s)
            except Exception as fault:  # noqa: BLE001 - one call's fault is no other's
                one.on_fault(fault)

    def _read(self, ready: list[tuple[int, int]]) -> list[tuple[Watched, bytes]]:
        came = []
        watched = self._watched
        for fd, what in ready:
            one = watched[fd]
            if one is None:  # forgotten since
                continue
            try:
                if what == READ:
                    came.append((one, one.sock.recv(READ_BYTES)))
                    continue
                one.on_room()
                if one.watched_for & READ:
                    came.append((one, one.sock.recv(READ_BYTES)))
                    if what >= _ENDING:  # behind what was read now
                        self._again.append((one, what))
            except BlockingIOError:
                pass
            except OSError as error:
                one.on_broken(error)
            except Exception as fault:  # noqa: BLE001 - as above
                one.on_fault(fault)
        return came

    def _with_those_again(self, ready: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Add those of which there is more, each once; a descriptor may be another's by now."""
        told = dict(ready)
        again, self._again = self._again, []
        for one, what in again:
            if self._watched[one.fd] is one:
                told[one.fd] = told.get(one.fd, 0) | what
        return list(told.items())

    def _write(self) -> None:
        said = self._said[:]  # others may say more meanwhile
        del self._said[: len(said)]
        for one, frame in said:
            try:
                if not one.gone:
                    one.write(frame)
            except Exception as fault:  # noqa: BLE001 - as above
                one.on_fault(fault)

    def _look_at_times(self, now_s: float) -> None:
        for one in self._due(now_s):
            try:
                at_s = one.on_time(now_s)
            except Exception as fault:  # noqa: BLE001 - as above
                one.on_fault(fault)
            else:
                if at_s is not None:
                    self.remind(one, at_s)

    def _due(self, now_s: float) -> list[Watched]:
        """Take those out whose time has come."""
        due = []
        with self._lock:
            while self._times and self._times[0][0] <= now_s:
                at_s, fd = heappop(self._times)
                one = self._reminded.get(fd)
                if one is not None and at_s == one.remind_at_s:
                    one.remind_at_s = inf
                    due.append(one)
        return due


class _Bell(Watched):
    """Calls the reader back from its wait."""

    __slots__ = ("_cord",)

    def __init__(self) -> None:
        self._cord, bell = socketpair()
        for end in (self._cord, bell):
            end.setblocking(False)
        super().__init__(bell, told_once=True)

    def ring(self) -> None:
        """From any thread."""
        with suppress(BlockingIOError):  # it rings already
            self._cord.send(b"!")

    def on_data(self, data: bytes, now_s: float) -> None:
        """It was heard."""


class _Portable:
    """What of epoll is used here, where there is none; slower."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, what: int) -> None:
        self._selector.register(fd, _of_selectors(what))

    def modify(self, fd: int, what: int) -> None:
        self._selector.modify(fd, _of_selectors(what))

    def unregister(self, fd: int) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        return [
            (
                key.fd,
                (READ if ready & selectors.EVENT_READ else 0)
                | (WRITE if ready & selectors.EVENT_WRITE else 0),
            )
            for key, ready in self._selector.select(timeout)
        ]


def _of_selectors(what: int) -> int:
    return (selectors.EVENT_READ if what & READ else 0) | (selectors.EVENT_WRITE if what & WRITE else 0)


_making = Lock()
_shared: list[Reader] = []


def shared_reader() -> Reader:
    """Return the process's reader; it starts when first asked for, which is after all forking."""
    with _making:
        if not _shared:
            _shared.append(Reader())
        return _shared[0]
