"""Takes what calls leave on their tapes, and writes their recordings once they are over.

Two threads a process, started with the first recording: one empties the tapes once a second, so that a
long call does not fill the memory, and a process that is killed loses no more than that; one writes finished
recordings, which may go far away and take long. A third one saves, at the start, what was left behind.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from tempfile import TemporaryFile
from threading import Event, Lock, Thread
from time import monotonic

from callapp.call.journal import Listener, Particulars
from callapp.conversation.facts import Began, Closed, Fact, Recorded
from callapp.errors import CallappError
from callapp.logs import call_logger
from callapp.recording.bench import Bench, Work
from callapp.recording.reel import Reel
from callapp.recording.shelf import Shelf, ShelfUnavailable
from callapp.recording.tape import Tape
from callapp.threads import try_start

log = logging.getLogger(__name__)

EMPTY_EVERY_S = 1.0
RETRY_S = (1.0, 5.0, 30.0)
CLOSE_S = 3.0


@dataclass(eq=False)
class _Take:
    """A recording in the making."""

    call: Particulars
    tape: Tape
    work: Work
    reel: Reel
    lock: Lock = field(default_factory=Lock)  # of the reel: both threads may want it
    until_ms: float = 0.0  # when the call was over
    done: bool = False
    failed: bool = False  # something of it was lost, which was said


class Recorder:
    """Records calls.

    Args:
        bench: where recordings lie while they are made.
        tell: is told what was recorded; a listener of the journal's.
        note: writes down what was recorded of a call whose process is gone; false if there is no such call.
            Blocks; raises `CallappError`.
    """

    def __init__(
        self, shelf: Shelf, bench: Bench, tell: Listener, note: Callable[[str, Recorded], bool]
    ) -> None:
        self._shelf = shelf
        self._bench = bench
        self._tell = tell
        self._note = note
        self._lock = Lock()  # of starting the threads
        self._takes: dict[Tape, _Take] = {}
        self._finished: SimpleQueue[_Take | None] = SimpleQueue()
        self._threads: dict[str, Thread] = {}  # those that run, by their names
        self._closed = Event()

    def of(self, tape: Tape) -> Listener:
        """The listener that records one call, from its tape."""

        def listen(call: Particulars, fact: Fact, _at_ms: float) -> None:
            if isinstance(fact, Began):
                try:
                    work = self._bench.begin(call.call_sid, round(fact.at_ms))
                except OSError as error:
                    call_logger(call.call_sid, __name__).error("! the call is not recorded: %s", error)
                    return
                self._begin(_Take(call, tape, work, Reel(work.caller, work.agent)))
            elif isinstance(fact, Closed):
                self._end(tape, fact.at_ms)

        return listen

    def save_what_was_left_behind(self) -> None:
        """Put on the shelf, by and by, what processes had recorded that are gone."""
        self._start(self._save_left_behind, "left-recordings")

    def close(self, within_s: float = CLOSE_S) -> None:
        """Write what is finished, and end."""
        self._closed.set()
        self._finished.put(None)
        until_s = monotonic() + within_s
        for thread in self._threads.values():
            thread.join(max(0.0, until_s - monotonic()))
        atexit.unregister(self.close)

    # -- on the calls' threads ------------------------------------------------------------------

    def _begin(self, take: _Take) -> None:
        self._takes[take.tape] = take
        with self._lock:
            if not self._closed.is_set():
                self._start(self._empty_tapes, "recorder")
                self._start(self._write_recordings, "recordings")

    def _end(self, tape: Tape, at_ms: float) -> None:
        take = self._takes.pop(tape, None)
        if take is not None:
            take.until_ms = at_ms
            self._finished.put(take)

    def _start(self, target: Callable[[], None], name: str) -> None:
        """Have one of our threads; without it, what is recorded waits for the next recording."""
        thread = try_start(target, name) if name not in self._threads else None
        if thread is not None:
            self._threads[name] = thread
            atexit.register(self.close)

    # -- our own --------------------------------------------------------------------------------

    def _empty_tapes(self) -> None:
        while not self._closed.wait(EMPTY_EVERY_S):
            for take in list(self._takes.values()):
                try:
                    self._empty(take)
                except Exception as error:  # noqa: BLE001 - a full disk, say: the others are recorded
                    if not take.failed:
                        call_logger(take.call.call_sid, __name__).error(
                            "! the recording has gaps: %s", error, exc_info=not isinstance(error, OSError)
                        )
                    take.failed = True

    def _empty(self, take: _Take) -> None:
        with take.lock:
            if not take.done:  # else its files may be closed by now
                take.reel.take_from(take.tape)
                take.work.flush()

    def _write_recordings(self) -> None:
        while (take := self._finished.get()) is not None:
            try:
                self._write(take)
            except OSError as error:  # a full disk, say
                call_logger(take.call.call_sid, __name__).error("! a recording stays on the bench: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, other calls are recorded all the same
                call_logger(take.call.call_sid, __name__).exception("! bug: a call was not recorded")
            finally:
                take.done = True
                take.work.leave()

    def _write(self, take: _Take) -> None:
        with take.lock:
            take.reel.take_from(take.tape)
            take.done = True  # from here on it is ours alone, however long the shelf takes
        length_ms = take.until_ms - take.work.from_ms
        recorded = self._shelve(take.work, take.reel, length_ms, take.tape.round_trip_ms)
        if recorded is not None:
            self._tell(take.call, recorded, take.until_ms)
            take.work.remove()

    def _shelve(self, work: Work, reel: Reel, length_ms: float, round_trip_ms: float) -> Recorded | None:
        """Put a recording on the shelf; ``None`` if that does not work: it is left on the bench then."""
        call_log = call_logger(work.call_sid, __name__)
        path = self._shelf.path_of(work.call_sid, str(work.from_ms or ""))
        with TemporaryFile() as file:
            seconds = reel.write_wav(file, length_ms, round_trip_ms)
            for wait_s in (*RETRY_S, None):
                file.seek(0)
                try:
                    self._shelf.write(path, file)
                    break
                except ShelfUnavailable as error:
                    call_log.error("! the recording could not be written: %s", error)
                    if wait_s is None or self._closed.wait(wait_s):
                        return None
        call_log.info("= recorded, %.1f s", seconds)
        return Recorded(work.from_ms + seconds * 1000, path, seconds, work.from_ms)

    def _save_left_behind(self) -> None:
        for work in self._bench.left_behind():
            try:
                self._save(work)
            except (CallappError, OSError) as error:
                call_logger(work.call_sid, __name__).error("! a recording stays on the bench: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, other recordings are saved all the same
                call_logger(work.call_sid, __name__).exception("! bug: a recording was not saved")
            finally:
                work.leave()
            if self._closed.is_set():
                return

    def _save(self, work: Work) -> None:
        """Its process was killed: what it had written by then is the recording."""
        recorded = self._shelve(work, Reel(work.caller, work.agent), 0.0, 0.0)
        if recorded is None:
            return
        if not self._note(work.call_sid, recorded):
            self._shelf.delete(work.call_sid)
        work.remove()
