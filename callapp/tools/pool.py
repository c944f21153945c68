"""Where tools run: off the audio threads, a bounded number at a time.

Threads are started when there is work for them and end when there has been none for a while. They
are daemons, so that a tool that never returns cannot keep the process from ending, which the
standard library's ``ThreadPoolExecutor`` would let it do.

Python cannot stop a thread. So a tool that has run for ``stuck_after_s`` is taken for stuck: it
keeps its thread, but no longer counts as one of the ``workers``, and another thread takes its
place. At most ``stuck_at_most`` are replaced in this way; beyond that, tools wait, and once too
many wait, are refused at once with an answer that says so. How long the model is kept waiting for
a tool is not decided here but in the conversation, which gives up sooner and ignores late results.

Threads: ``submit`` may be called from any, ``close`` from any but the pool's own. One lock guards
all state; neither a tool nor ``done`` is ever run under it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from callapp.tools.declare import CallContext
from callapp.tools.running import Result, Runnable, failure

logger = logging.getLogger(__name__)

BUSY = failure("Too much is going on at the moment; it was not run. Tell the caller to try later.")
CLOSING = failure("The service is about to stop; it was not run. Tell the caller to call again.")


@dataclass(frozen=True, eq=False)
class _Job:
    tool: Runnable
    arguments_json: str
    context: CallContext
    done: Callable[[Result], None]

    def answer(self, result: Result) -> None:
        """Hand the result over; a fault there is a bug of ours and must not cost the thread."""
        try:
            self.done(result)
        except Exception:  # whatever it is, the thread serves other calls too
            logger.exception(
                "! the result of tool %s was not taken",
                self.tool.name,
                extra={"call_sid": self.context.call_sid},
            )


class ToolPool:
    """A bounded number of daemon threads that run tools.

    Args:
        workers: how many tools run at a time, those that are stuck not counted.
        waiting: how many more may wait for a thread.
        stuck_after_s: a tool that has run for so long no longer counts.
        stuck_at_most: how many threads are started in place of stuck ones.
        idle_s: a thread without work for so long ends.
    """

    def __init__(
        self,
        workers: int = 16,
        *,
        waiting: int = 256,
        stuck_after_s: float = 20.0,
        stuck_at_most: int = 48,
        idle_s: float = 10.0,
    ) -> None:
        self._workers = workers
        self._most_waiting = waiting
        self._stuck_after_s = stuck_after_s
        self._most_threads = workers + stuck_at_most
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._threads: set[threading.Thread] = set()
        # When the job of each busy thread began, by time.monotonic().
        self._busy_since: dict[threading.Thread, float] = {}
        self._recount: threading.Timer | None = None
        self._closed = False
        self.refused = 0

    @property
    def depth(self) -> int:
        """How many tools wait for a thread."""
        return len(self._waiting)

    def submit(
        self,
        tool: Runnable,
        arguments_json: str,
        context: CallContext,
        done: Callable[[Result], None],
    ) -> None:
        """Run a tool soon. ``done`` is called exactly once, from a pool thread.

        When the pool is full or closed nothing is run, and ``done`` is told so before this returns.
        """
        job = _Job(tool, arguments_json, context, done)
        with self._changed:
            refusal = self._refusal()
            if refusal is None:
                self._waiting.append(job)
                self._changed.notify()
                self._staff()
            else:
                self.refused += 1
        if refusal is not None:
            logger.warning(
                "! tool %s was not run: the pool is %s",
                tool.name,
                "full" if refusal is BUSY else "closed",
                extra={"call_sid": context.call_sid},
            )
            job.answer(refusal)

    def close(self, wait_s: float = 1.0) -> None:
        """Take no more work, answer what waits, let idle threads end. Idempotent.

        Tools that run already are waited for no longer than ``wait_s`` in all; each still hands
        over its result when it is done.
        """
        with self._changed:
            self._closed = True
            left, self._waiting = list(self._waiting), deque()
            if self._recount is not None:
                self._recount.cancel()
            threads = list(self._threads)
            self._changed.notify_all()
        for job in left:
            job.answer(CLOSING)
        until = time.monotonic() + wait_s
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _refusal(self) -> str | None:
        if self._closed:
            return CLOSING
        return BUSY if len(self._waiting) >= self._most_waiting else None

    def _staff(self) -> None:
        """Start threads for the jobs that no idle thread will take. The lock is held."""
        now = time.monotonic()
        young = [since for since in self._busy_since.values() if now < since + self._stuck_after_s]
        stuck = len(self._busy_since) - len(young)
        most = min(self._workers + stuck, self._most_threads)
        try:
            while self._unserved() > 0 and len(self._threads) < most:
                thread = threading.Thread(target=self._work, name="tool", daemon=True)
                thread.start()
                self._threads.add(thread)
            if self._unserved() > 0 and young and self._recount is None:
                # Nobody is free to notice when the next tool becomes stuck.
                recount = threading.Timer(min(young) + self._stuck_after_s - now, self._staff_again)
                recount.name, recount.daemon = "tool-recount", True
                recount.start()
                self._recount = recount
        except RuntimeError:  # the system has no thread left: the jobs wait for those we have
            logger.exception("! no thread could be started for a tool")

    def _staff_again(self) -> None:
        with self._changed:
            self._recount = None
            if not self._closed:
                self._staff()

    def _unserved(self) -> int:
        """How many jobs wait beyond those that the idle threads will take. The lock is held."""
        return len(self._waiting) - (len(self._threads) - len(self._busy_since))

    def _work(self) -> None:
        me = threading.current_thread()
        while (job := self._next_job(me)) is not None:
            job.answer(job.tool.run(job.arguments_json, job.context))

    def _next_job(self, me: threading.Thread) -> _Job | None:
        """The next job of this thread; ``None`` when it is to end."""
        with self._changed:
            self._busy_since.pop(me, None)
            if not self._waiting and self._recount is not None:  # nothing hangs on a stuck tool any more
                self._recount.cancel()
                self._recount = None
            self._changed.wait_for(lambda: self._waiting or self._closed, self._idle_s)
            if not self._waiting:
                self._threads.discard(me)
                return None
            self._busy_since[me] = time.monotonic()
            job = self._waiting.popleft()
            self._staff()  # those that still wait now hang on this one, too
            return job
