"""The thread that does jobs: what it does with those that fail, and how it ends."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from callapp.call_log import StoreUnavailable
from callapp.call_log.jobs import Job, JobQueue, put_job
from callapp.call_log.models import JobRow
from callapp.call_log.store import Store
from callapp.jobs.runner import RETRY_AFTER_S, GiveUp, Runner, TryLater

KIND = "analyze"
WAIT_S = 20.0

Start = Callable[..., Runner]


@pytest.fixture
def start(store: Store) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(work: Callable[[Job], None]) -> Runner:
            runner = Runner("jobs", JobQueue(store), [KIND], work, lambda kind, outcome: None)
            stack.callback(runner.close, WAIT_S)
            runner.start()
            return runner

        yield begin


def put(store: Store, call_sid: str) -> None:
    with store.transaction() as session:
        put_job(session, KIND, call_sid)


def row(store: Store, call_sid: str) -> JobRow:
    with store.transaction() as session:
        found = session.query(JobRow).filter_by(call_sid=call_sid).one()
        session.expunge(found)
        return found


def settled(store: Store, call_sid: str, holds: Callable[[JobRow], bool]) -> JobRow:
    pause = threading.Event()
    for _ in range(2000):
        found = row(store, call_sid)
        if holds(found):
            return found
        pause.wait(0.01)
    raise AssertionError(found.__dict__)


def test_jobs_are_done_in_order_and_what_was_left_over_is_too(store: Store, start: Start) -> None:
    """Those that were there before it began were left by a process that died."""
    done: queue.Queue[str] = queue.Queue()
    put(store, "CA1")
    runner = start(lambda job: done.put(job.call_sid))
    assert done.get(timeout=WAIT_S) == "CA1"
    put(store, "CA2")
    runner.nudge()
    assert done.get(timeout=WAIT_S) == "CA2"
    assert settled(store, "CA2", lambda job: job.due_at is None).outcome == "done"


def test_a_failure_is_tried_again_after_a_while(store: Store, start: Start) -> None:
    def fails(job: Job) -> None:
        raise TryLater("no answer")

    put(store, "CA1")
    before = datetime.now(UTC)
    start(fails)
    job = settled(store, "CA1", lambda job: job.attempts == 1 and job.due_at < before + timedelta(seconds=60))
    assert job.due_at is not None
    assert job.due_at >= before + timedelta(seconds=RETRY_AFTER_S[0])
    assert job.outcome is None


@pytest.mark.parametrize(
    "error", [GiveUp("gone"), TryLater("too old by now"), StoreUnavailable("cannot hold it, too old by now")]
)
def test_what_cannot_succeed_is_given_up_and_said(
    error: Exception,
    store: Store,
    start: Start,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callapp.jobs.runner.GIVE_UP_AFTER_S", 0.0)

    def fails(job: Job) -> None:
        raise error

    put(store, "CA1")
    start(fails)
    job = settled(store, "CA1", lambda job: job.due_at is None)
    assert job.outcome == "failed"
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert str(error) in record.getMessage()
    assert record.call_sid == "CA1"  # type: ignore[attr-defined]


def test_a_bug_with_one_job_does_not_keep_the_others(store: Store, start: Start) -> None:
    done: queue.Queue[str] = queue.Queue()

    def work(job: Job) -> None:
        if job.call_sid == "CA1":
            raise ZeroDivisionError
        done.put(job.call_sid)

    put(store, "CA1")
    put(store, "CA2")
    start(work)
    assert done.get(timeout=WAIT_S) == "CA2"
    assert settled(store, "CA1", lambda job: job.attempts == 1).outcome is None


def test_a_database_that_is_away_is_waited_for(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("callapp.jobs.runner.LOOK_EVERY_S", 0.01)
    done: queue.Queue[str] = queue.Queue()
    claim, tries = JobQueue.claim, iter(range(3))

    def unavailable(self: JobQueue, *args: object) -> Job | None:
        if next(tries, None) is not None:
            raise StoreUnavailable("connection refused")
        return claim(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(JobQueue, "claim", unavailable)
    put(store, "CA1")
    start(lambda job: done.put(job.call_sid))
    assert done.get(timeout=WAIT_S) == "CA1"
    assert [r.getMessage() for r in caplog.records if "database" in r.getMessage()] == [
        "! jobs wait for the database: connection refused"
    ]


def test_each_time_that_the_database_is_away_is_told(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where there was nothing to do in between."""
    monkeypatch.setattr("callapp.jobs.runner.LOOK_EVERY_S", 0.01)
    over, away = threading.Event(), iter([True, True, False, True, True])

    def unavailable(_: JobQueue, *args: object) -> None:
        if (is_away := next(away, None)) is None:
            over.set()
        elif is_away:
            raise StoreUnavailable("connection refused")

    monkeypatch.setattr(JobQueue, "claim", unavailable)
    start(lambda job: None)
    assert over.wait(WAIT_S)
    assert caplog.text.count("! jobs wait for the database") == 2


def test_one_that_is_closed_begins_no_job_any_more(store: Store, start: Start) -> None:
    begun, end = threading.Event(), threading.Event()

    def slow(job: Job) -> None:
        begun.set()
        assert end.wait(WAIT_S)

    put(store, "CA1")
    put(store, "CA2")
    runner = start(slow)
    assert begun.wait(WAIT_S)
    runner.close(0.0)
    end.set()
    runner.close(WAIT_S)
    assert settled(store, "CA1", lambda job: job.due_at is None).outcome == "done"
    assert row(store, "CA2").attempts == 0
