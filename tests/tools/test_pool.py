from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from typing import NoReturn

import pytest

from callapp.tools import CallContext, EndCall
from callapp.tools.pool import BUSY, CLOSING, ToolPool
from callapp.tools.running import Result

CONTEXT = CallContext("CA1", "operator", {}, "+15005550006", "+819012345678", "incoming")
WAIT_S = 10


@dataclass
class Fake:
    """A tool that runs this function."""

    act: Callable[[], Result]
    name: str = "fake"

    def run(self, arguments_json: str, context: CallContext) -> Result:
        return self.act()


class Gate:
    """A tool that waits until it is let go; tells when it began."""

    name = "gate"

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.open = threading.Event()

    def run(self, arguments_json: str, context: CallContext) -> Result:
        self.began.release()
        assert self.open.wait(WAIT_S)
        return f"through with {arguments_json}"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def pools() -> Iterator[list[ToolPool]]:
    """What is put in here is closed."""
    pools: list[ToolPool] = []
    yield pools
    for pool in pools:
        pool.close(WAIT_S)


def test_the_result_comes_from_a_daemon_thread_once(pools: list[ToolPool]) -> None:
    pools.append(pool := ToolPool())
    results: Queue[tuple[Result, bool]] = Queue()
    pool.submit(
        Fake(lambda: EndCall("done")),
        "{}",
        CONTEXT,
        lambda result: results.put((result, threading.current_thread().daemon)),
    )
    assert results.get(timeout=WAIT_S) == (EndCall("done"), True)
    with pytest.raises(Empty):
        results.get_nowait()
    assert threading.current_thread() not in pool._threads


def test_no_thread_is_started_before_there_is_work(pools: list[ToolPool]) -> None:
    """A worker process that is forked from one with threads would find none of them."""
    pools.append(pool := ToolPool())
    assert not pool._threads


def test_one_thread_serves_one_tool_after_another(pools: list[ToolPool]) -> None:
    pools.append(pool := ToolPool())
    results: Queue[Result] = Queue()
    for n in range(20):
        pool.submit(Fake(lambda n=n: str(n)), "", CONTEXT, results.put)  # type: ignore[misc]
        assert results.get(timeout=WAIT_S) == str(n)
    # `done` is called before the thread is free again, so now and then a second one is needed.
    assert len(pool._threads) <= 2


def test_no_more_tools_run_at_a_time_than_there_are_workers(pools: list[ToolPool], gate: Gate) -> None:
    pools.append(pool := ToolPool(3))
    results: Queue[Result] = Queue()
    for n in range(7):
        pool.submit(gate, str(n), CONTEXT, results.put)
    for _ in range(3):
        assert gate.began.acquire(timeout=WAIT_S)
    assert not gate.began.acquire(blocking=False)
    assert len(pool._threads) == 3
    gate.open.set()
    assert {results.get(timeout=WAIT_S) for _ in range(7)} == {f"through with {n}" for n in range(7)}
    assert results.empty()


def test_a_full_pool_refuses_at_once(pools: list[ToolPool], gate: Gate) -> None:
    pools.append(pool := ToolPool(1, waiting=2))
    results: Queue[Result] = Queue()
    pool.submit(gate, "0", CONTEXT, results.put)
    assert gate.began.acquire(timeout=WAIT_S)
    for n in (1, 2):
        pool.submit(gate, str(n), CONTEXT, results.put)
    pool.submit(gate, "3", CONTEXT, results.put)
    assert results.get_nowait() == BUSY
    assert "try later" in json.loads(BUSY)["error"]
    gate.open.set()
    assert sorted(str(results.get(timeout=WAIT_S)) for _ in range(3)) == [
        f"through with {n}" for n in range(3)
    ]


def test_a_stuck_tool_is_replaced_by_another_thread(pools: list[ToolPool], gate: Gate) -> None:
    """Also when nothing more is submitted that would make the pool look."""
    pools.append(pool := ToolPool(2, stuck_after_s=0.05))
    results: Queue[Result] = Queue()
    for n in range(2):
        pool.submit(gate, str(n), CONTEXT, results.put)
        assert gate.began.acquire(timeout=WAIT_S)
    pool.submit(Fake(lambda: "free"), "", CONTEXT, results.put)
    assert results.get(timeout=WAIT_S) == "free"


def test_without_a_thread_to_watch_for_stuck_tools_the_next_tool_has_one(
    pools: list[ToolPool], gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended the call that wanted the tool, and no stuck tool was replaced any more."""

    def none_left(_timer: threading.Timer) -> NoReturn:
        raise RuntimeError("can't start new thread")

    pools.append(pool := ToolPool(1, stuck_after_s=0.05))
    answers: Queue[Result] = Queue()
    pool.submit(gate, "{}", CONTEXT, answers.put)
    assert gate.began.acquire(timeout=WAIT_S)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Timer, "start", none_left)
        pool.submit(Fake(lambda: "first"), "{}", CONTEXT, answers.put)
    pool.submit(Fake(lambda: "second"), "{}", CONTEXT, answers.put)
    assert [answers.get(timeout=WAIT_S) for _ in range(2)] == ["first", "second"]


def test_no_more_than_so_many_stuck_tools_are_replaced(pools: list[ToolPool], gate: Gate) -> None:
    pools.append(pool := ToolPool(1, stuck_after_s=0.0, stuck_at_most=2, waiting=1))
    results: Queue[Result] = Queue()
    for n in range(3):
        pool.submit(gate, str(n), CONTEXT, results.put)
        assert gate.began.acquire(timeout=WAIT_S)
    pool.submit(Fake(lambda: "late"), "", CONTEXT, results.put)
    pool.submit(Fake(lambda: "refused"), "", CONTEXT, results.put)
    assert results.get_nowait() == BUSY
    assert len(pool._threads) == 3
    gate.open.set()
    assert "late" in {results.get(timeout=WAIT_S) for _ in range(4)}


def test_when_nothing_waits_nobody_watches_for_stuck_tools(pools: list[ToolPool], gate: Gate) -> None:
    """A timer is a thread, and outlives the calls of a busy moment by all of its time."""
    pools.append(pool := ToolPool(1, stuck_after_s=WAIT_S * 10))
    done = threading.Semaphore(0)
    pool.submit(gate, "{}", CONTEXT, lambda _: done.release())
    assert gate.began.acquire(timeout=WAIT_S)
    pool.submit(gate, "{}", CONTEXT, lambda _: done.release())
    (watching,) = [thread for thread in threading.enumerate() if thread.name == "tool-recount"]
    gate.open.set()
    assert done.acquire(timeout=WAIT_S)
    assert done.acquire(timeout=WAIT_S)
    watching.join(WAIT_S)
    assert not watching.is_alive()


def test_idle_threads_end(pools: list[ToolPool]) -> None:
    pools.append(pool := ToolPool(idle_s=0.01))
    threads: Queue[threading.Thread] = Queue()
    pool.submit(Fake(lambda: "ok"), "", CONTEXT, lambda _: threads.put(threading.current_thread()))
    thread = threads.get(timeout=WAIT_S)
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert not pool._threads
    pool.submit(Fake(lambda: "ok"), "", CONTEXT, lambda _: threads.put(threading.current_thread()))
    assert threads.get(timeout=WAIT_S) is not thread


def test_a_result_that_is_not_taken_costs_no_thread(
    pools: list[ToolPool], caplog: pytest.LogCaptureFixture
) -> None:
    pools.append(pool := ToolPool(1))

    def refuse(_: Result) -> None:
        raise RuntimeError("the call is over")

    results: Queue[Result] = Queue()
    pool.submit(Fake(lambda: "one"), "", CONTEXT, refuse)
    pool.submit(Fake(lambda: "two"), "", CONTEXT, results.put)
    assert results.get(timeout=WAIT_S) == "two"
    assert "the result of tool fake was not taken" in caplog.text


def test_closing_answers_what_waits_and_lets_what_runs_finish(pools: list[ToolPool], gate: Gate) -> None:
    pools.append(pool := ToolPool(1))
    results: Queue[Result] = Queue()
    pool.submit(gate, "0", CONTEXT, results.put)
    assert gate.began.acquire(timeout=WAIT_S)
    pool.submit(gate, "1", CONTEXT, results.put)
    pool.close(wait_s=0)
    assert results.get_nowait() == CLOSING
    pool.submit(gate, "2", CONTEXT, results.put)
    assert results.get_nowait() == CLOSING
    gate.open.set()
    assert results.get(timeout=WAIT_S) == "through with 0"
    pool.close()


def test_closing_waits_for_what_runs(pools: list[ToolPool], gate: Gate) -> None:
    pools.append(pool := ToolPool(1))
    results: Queue[Result] = Queue()
    pool.submit(gate, "0", CONTEXT, results.put)
    assert gate.began.acquire(timeout=WAIT_S)
    pool.submit(gate, "1", CONTEXT, lambda _: gate.open.set())
    pool.close(WAIT_S)
    assert results.get_nowait() == "through with 0"


def test_many_threads_submit_and_each_job_is_answered_once(pools: list[ToolPool]) -> None:
    pools.append(pool := ToolPool(4, waiting=50, idle_s=0.001))
    results: Queue[tuple[int, Result]] = Queue()

    def submit_many(first: int) -> None:
        for n in range(first, first + 100):
            pool.submit(Fake(lambda: "ok"), "", CONTEXT, lambda result, n=n: results.put((n, result)))  # type: ignore[misc]

    callers = [threading.Thread(target=submit_many, args=(first,)) for first in range(0, 800, 100)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(WAIT_S)
    answered = [results.get(timeout=WAIT_S) for _ in range(800)]
    assert sorted(n for n, _ in answered) == list(range(800))
    assert {result for _, result in answered} <= {"ok", BUSY}
    assert results.empty()
