"""What the carrier is asked to do for a call: no audio may wait for its answer.

Each errand is a brief thread of its own, and says how it went by an event; where the system has no thread
left, it has failed. Nothing here holds on to the call: a call that is over is freed at once.
"""

from __future__ import annotations

from collections.abc import Callable

from callapp.call.outside import Outside
from callapp.call.threads import Threads
from callapp.conversation.commands import LeaveStream
from callapp.conversation.events import CompletionFailed, LeavingFailed
from callapp.errors import CallappError, CarrierTimeout
from callapp.logs import Log

Feed = Callable[[CompletionFailed | LeavingFailed], None]


class Errands:
    """The errands of one call. All but ``apologise_at_once`` and ``join`` return at once."""

    def __init__(self, outside: Outside, log: Log) -> None:
        self._outside = outside
        self._log = log
        self._threads = Threads()

    def complete_call(self, feed: Feed) -> None:
        """End the phone call."""
        self._run(lambda: self._complete_call(feed), lambda: feed(CompletionFailed()))

    def leave(self, command: LeaveStream, now_ms: float, feed: Feed) -> None:
        """Take the call off its stream."""
        failed = LeavingFailed("it failed for a technical reason")
        self._run(lambda: self._leave(command, now_ms, feed), lambda: feed(failed))

    def recall(self) -> None:
        """Bring the caller back before their time, if the carrier can."""
        if self._outside.extension is not None:
            self._run(self._outside.extension.recall, lambda: None)

    def apologise(self, then: Callable[[], None]) -> None:
        """Speak a last line over the carrier."""
        self._run(lambda: self._apologise(then), then)

    def apologise_at_once(self) -> None:
        """As ``apologise``, but wait for it."""
        if self._outside.apologise is not None:
            self._apologise(lambda: None)

    def join(self, until_s: float) -> None:
        """Wait for those under way, until a moment of the ``monotonic`` clock."""
        self._threads.join(until_s)

    def _run(self, errand: Callable[[], None], otherwise: Callable[[], None]) -> None:
        self._threads.run_errand(errand, otherwise, self._log)

    def _complete_call(self, feed: Feed) -> None:
        try:
            self._outside.complete_call()
        except CallappError as error:
            self._log.error("! the call could not be completed: %s", error)
            feed(CompletionFailed())

    def _leave(self, command: LeaveStream, now_ms: float, feed: Feed) -> None:
        extension = self._outside.extension
        try:
            if extension is None:
                raise CallappError("it has no switchboard")
            extension.leave(command, now_ms)
        except CallappError as error:
            self._log.error("! the call could not leave its stream: %s", error)
            feed(LeavingFailed("the phone company did not do it", isinstance(error, CarrierTimeout)))
        except Exception:  # noqa: BLE001 - the top of a thread: the caller would be left in silence
            self._log.exception("! bug: the call could not leave its stream")
            feed(LeavingFailed("it failed for a technical reason"))

    def _apologise(self, then: Callable[[], None]) -> None:
        assert self._outside.apologise is not None
        try:
            self._outside.apologise()
        except CallappError as error:
            self._log.error("! no apology could be spoken: %s", error)
        then()
