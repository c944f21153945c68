"""Takes what calls leave on their tapes, and writes their recordings once they are over.

Two threads a process, started with the first recording: one empties the tapes once a second, so that a
long call does not fill the memory; one writes finished recordings, which may go far away and take long.
"""

from __future__ import annotations

import atexit
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from tempfile import TemporaryFile
from threading import Event, Lock, Thread
from time import monotonic

from callapp.call.journal import Listener, Particulars
from callapp.conversation.facts import Began, Closed, Fact, Recorded
from callapp.logs import call_logger
from callapp.recording.reel import Reel
from callapp.recording.shelf import Shelf, ShelfUnavailable
from callapp.recording.tape import Tape

log = logging.getLogger(__name__)

EMPTY_EVERY_S = 1.0
RETRY_S = (1.0, 5.0, 30.0)
CLOSE_S = 3.0


@dataclass(frozen=True, eq=False)
class _Take:
    """A recording in the making."""

    call: Particulars
    tape: Tape
    reel: Reel
    lock: Lock = field(default_factory=Lock)  # of the reel: both threads may want it
    done: Event = field(default_factory=Event)


@dataclass(frozen=True)
class _Finished:
    take: _Take
    until_ms: float


class Recorder:
    """Records calls.

    Args:
        tell: is told what was recorded; a listener of the journal's.
    """

    def __init__(self, shelf: Shelf, tell: Listener) -> None:
        self._shelf = shelf
        self._tell = tell
        self._lock = Lock()  # of starting the threads
        self._takes: dict[Tape, _Take] = {}
        self._finished: SimpleQueue[_Finished | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._closed = Event()

    def of(self, tape: Tape) -> Listener:
        """The listener that records one call, from its tape."""

        def listen(call: Particulars, fact: Fact, _at_ms: float) -> None:
            if isinstance(fact, Began):
                self._begin(_Take(call, tape, Reel()))
            elif isinstance(fact, Closed):
                self._end(tape, fact.at_ms)

        return listen

    def close(self, within_s: float = CLOSE_S) -> None:
        """Write what is finished, and end."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._finished.put(None)
        until_s = monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - monotonic()))
        atexit.unregister(self.close)

    # -- on the calls' threads ------------------------------------------------------------------

    def _begin(self, take: _Take) -> None:
        self._takes[take.tape] = take
        with self._lock:
            if not self._threads and not self._closed.is_set():
                self._start(self._empty_tapes, "recorder")
                self._start(self._write_recordings, "recordings")
                atexit.register(self.close)

    def _end(self, tape: Tape, at_ms: float) -> None:
        take = self._takes.pop(tape, None)
        if take is not None:
            self._finished.put(_Finished(take, at_ms))

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    # -- our own --------------------------------------------------------------------------------

    def _empty_tapes(self) -> None:
        while not self._closed.wait(EMPTY_EVERY_S):
            for take in list(self._takes.values()):
                with take.lock:
                    if not take.done.is_set():  # else its files may be closed by now
                        take.reel.take_from(take.tape)

    def _write_recordings(self) -> None:
        while (finished := self._finished.get()) is not None:
            take = finished.take
            try:
                self._write(finished)
            except Exception:  # noqa: BLE001 - whatever it is, other calls are recorded all the same
                call_logger(take.call.call_sid, __name__).exception("! bug: a call was not recorded")
            finally:
                with take.lock:
                    take.done.set()
                    take.reel.close()

    def _write(self, finished: _Finished) -> None:
        take = finished.take
        call_log = call_logger(take.call.call_sid, __name__)
        # What another process had recorded before the call came here stays beside it.
        part = uuid.uuid4().hex[:8] if take.call.resumed else ""
        path = self._shelf.path_of(take.call.call_sid, part)
        with TemporaryFile() as file:
            with take.lock:
                take.reel.take_from(take.tape)
                seconds = take.reel.write_wav(file, finished.until_ms, take.tape.round_trip_ms)
            for wait_s in (*RETRY_S, None):
                file.seek(0)
                try:
                    self._shelf.write(path, file)
                    break
                except ShelfUnavailable as error:
                    call_log.error("! the recording could not be written: %s", error)
                    if wait_s is None or self._closed.wait(wait_s):
                        return
        call_log.info("= recorded, %.1f s", seconds)
        self._tell(take.call, Recorded(finished.until_ms, path, seconds), finished.until_ms)
