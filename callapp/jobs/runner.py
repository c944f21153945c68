"""A thread that does the jobs of some kinds, one after another, as they fall due.

It wakes when a job was put in this process, and every few seconds for those of others: jobs whose process
died, or that wait for their next attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from threading import Event, Thread

from callapp.call_log import StoreUnavailable
from callapp.call_log.jobs import Job, JobQueue
from callapp.logs import call_logger

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
# Longer than any attempt takes: a job that is out for so long was left by a process that died.
LEASE_S = 300.0
RETRY_AFTER_S = (5, 30, 120, 600, 1800, 3600, 7200)
"""From one attempt to the next; the last one again and again."""
# A job that is older, and has failed once more, is given up.
GIVE_UP_AFTER_S = 24 * 3600.0


class TryLater(Exception):
    """An attempt failed, and another one may succeed.

    Args:
        why: what went wrong, for the log.
        after_s: when the other side says so; the usual wait if it does not.
    """

    def __init__(self, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.after_s = after_s


class GiveUp(Exception):
    """An attempt failed, and so would every other one."""


class Runner:
    """Does jobs. ``nudge`` and ``close`` may be called from any thread.

    Args:
        name: of the thread.
        kinds: of the jobs.
        work: does one; raises `TryLater` or `GiveUp` when it does not succeed.
        on_outcome: told of each attempt: the job's kind, and ``done``, ``failed`` or ``given_up``.
    """

    def __init__(
        self,
        name: str,
        queue: JobQueue,
        kinds: Collection[str],
        work: Callable[[Job], None],
        on_outcome: Callable[[str, str], None],
    ) -> None:
        self._queue = queue
        self._kinds = tuple(kinds)
        self._work = work
        self._on_outcome = on_outcome
        self._wake = Event()
        self._closing = False
        self._database_down = False
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def nudge(self) -> None:
        """A job was put: do not wait for the next look."""
        self._wake.set()

    def close(self, within_s: float) -> None:
        """Begin no more jobs; let the one that runs end within that time. It is done again if it does not."""
        self._closing = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)

    def _run(self) -> None:
        while not self._closing:
            while not self._closing and self._one():
                pass
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()

    def _one(self) -> bool:
        """Do one job; false when there is none, or no database."""
        try:
            job = self._queue.claim(self._kinds, LEASE_S)
            self._database_down = False
            if job is None:
                return False
            self._do(job)
        except StoreUnavailable as error:
            if not self._database_down:
                log.error("! jobs wait for the database: %s", error)
            self._database_down = True
            return False
        except Exception:  # the top of the thread: a bug of ours must not be the end of all jobs
            log.exception("! bug in the thread of %s", self._thread.name)
            return False
        return True

    def _do(self, job: Job) -> None:
        job_log = call_logger(job.call_sid, __name__)
        try:
            self._work(job)
        except StoreUnavailable as error:
            if job.age_s() <= GIVE_UP_AFTER_S:
                raise  # its lease runs out, and it is done then
            self._give_up(job, str(error))  # the database may be there, and will not take what comes of it
        except GiveUp as error:
            self._give_up(job, str(error))
        except TryLater as error:
            self._retry(job, str(error), error.after_s)
        except Exception:  # noqa: BLE001 - a bug with one job must not keep the others
            job_log.exception("! bug: %s", job.kind)
            self._retry(job, "a bug", None)
        else:
            job_log.info("> %s done, attempt %d", job.kind, job.attempts)
            self._queue.finish(job)
            self._on_outcome(job.kind, "done")

    def _retry(self, job: Job, why: str, after_s: float | None) -> None:
        job_log = call_logger(job.call_sid, __name__)
        if after_s is None:
            after_s = RETRY_AFTER_S[min(job.attempts, len(RETRY_AFTER_S)) - 1]
        if job.age_s() + after_s > GIVE_UP_AFTER_S:
            self._give_up(job, why)
            return
        job_log.warning("! %s failed, next attempt in %g s: %s", job.kind, after_s, why)
        self._queue.put_off(job, after_s)
        self._on_outcome(job.kind, "failed")

    def _give_up(self, job: Job, why: str) -> None:
        call_logger(job.call_sid, __name__).error(
            "! %s given up after %d attempts: %s", job.kind, job.attempts, why
        )
        self._queue.finish(job, done=False)
        self._on_outcome(job.kind, "given_up")
