"""Jobs in the database: put with what they follow from, and done by one process at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from callapp.call_log import Store
from callapp.call_log.jobs import Job, JobQueue, put_job
from tests.databases import jobs_waiting

KINDS = ("call.ended",)


def put(store: Store, call_sid: str, kind: str = "call.ended", after_s: float = 0.0) -> None:
    with store.transaction() as session:
        put_job(session, kind, call_sid, after_s=after_s)


def claimed(queue: JobQueue, lease_s: float = 60.0) -> Job:
    job = queue.claim(KINDS, lease_s)
    assert job is not None
    return job


def test_a_job_is_handed_out_once_until_its_lease_is_over(store: Store) -> None:
    queue = JobQueue(store)
    put(store, "CA1")
    first = claimed(queue, lease_s=0)
    again = claimed(queue)
    assert (first.id, first.attempts) == (again.id, 1)
    assert again.attempts == 2
    assert queue.claim(KINDS, 60) is None


def test_the_one_that_has_been_due_for_longest_comes_first_and_none_too_early(store: Store) -> None:
    queue = JobQueue(store)
    put(store, "CA1", after_s=3600)
    put(store, "CA2")
    put(store, "CA3")
    assert [claimed(queue).call_sid, claimed(queue).call_sid] == ["CA2", "CA3"]
    assert queue.claim(KINDS, 60) is None
    assert jobs_waiting(store, KINDS) == 3


def test_only_the_kinds_that_were_asked_for_are_handed_out(store: Store) -> None:
    put(store, "CA1", "analyze")
    assert JobQueue(store).claim(KINDS, 60) is None
    assert jobs_waiting(store, KINDS) == 0


def test_a_call_has_one_job_of_a_kind_which_a_second_one_makes_sooner(store: Store) -> None:
    """The end of a call is noted by its own process, and by Twilio's callback in another one."""
    queue = JobQueue(store)
    put(store, "CA1", after_s=3600)
    assert queue.claim(KINDS, 60) is None
    put(store, "CA1")
    put(store, "CA1", after_s=3600)
    job = claimed(queue)
    queue.finish(job)
    put(store, "CA1")
    assert queue.claim(KINDS, 60) is None
    assert jobs_waiting(store, KINDS) == 0


def test_a_job_that_was_put_off_comes_back_with_the_same_body(store: Store) -> None:
    queue = JobQueue(store)
    put(store, "CA1")
    job = claimed(queue)
    queue.keep_body(job, '{"a": 1}')
    queue.put_off(job, 0)
    assert claimed(queue).body == '{"a": 1}'


def test_nothing_is_put_when_the_transaction_fails(store: Store) -> None:
    def put_and_fail() -> None:
        with store.transaction() as session:
            put_job(session, "call.ended", "CA1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        put_and_fail()
    assert jobs_waiting(store, KINDS) == 0


def test_of_many_that_ask_at_once_each_job_goes_to_one(database: str) -> None:
    """Each has a store of its own, as each process does."""
    with closing(Store(database)) as store:
        for number in range(20):
            put(store, f"CA{number}")
    start = threading.Barrier(4)

    def take_all() -> list[str]:
        with closing(Store(database)) as own:
            start.wait(10)
            taken = []
            while (job := JobQueue(own).claim(KINDS, 60)) is not None:
                taken.append(job.call_sid)
            return taken

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(take_all) for _ in range(4)]
        taken = [call_sid for future in futures for call_sid in future.result()]
    assert sorted(taken) == sorted(f"CA{number}" for number in range(20))
