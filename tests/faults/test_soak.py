"""Many calls for long: memory, threads and descriptors stay where they are.

In CI twenty calls at a time for half a minute. For the long one::

    SOAK_CALLS=50 SOAK_SECONDS=600 pytest -s tests/faults/test_soak.py

A straight line is fitted through what was measured (least squares), after a first part in which
everything comes into being; what counts is by how much the line rises from its beginning to its end."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression
from threading import Event

import pytest

from tests.faults.lab import Caller, Lab, Lane
from tests.stage import eventually

SECONDS = float(os.environ.get("SOAK_SECONDS", "32"))
CALLS = int(os.environ.get("SOAK_CALLS", "20"))
WARM_UP_S = min(60.0, SECONDS / 3)
SAMPLE_S = 0.5

# By how much the fitted line may rise over what was measured. A call that leaves its audio behind costs
# 50 KB, one that leaves a thread or a socket costs one each; at least a hundred calls pass in the shortest
# soak. The pool of tools has more threads whenever more of them run at once, up to 16.
MOST_MEMORY_KB = 6_000
MOST_THREADS = 16.0
MOST_DESCRIPTORS = 8.0


@dataclass(frozen=True)
class Sample:
    """What the worker holds at a moment, in seconds of the soak."""

    at_s: float
    memory_kb: int  # PSS: what it shares with others counts in part
    threads: int
    descriptors: int


def look(worker: int, at_s: float) -> Sample:
    folder = Path(f"/proc/{worker}")
    rollup = (folder / "smaps_rollup").read_text()
    memory_kb = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    threads = len(list((folder / "task").iterdir()))
    return Sample(at_s, memory_kb, threads, len(list((folder / "fd").iterdir())))


def slope(samples: list[Sample], value: Callable[[Sample], float]) -> float:
    """By how much a value rises in a second, by the line of least squares."""
    return linear_regression([one.at_s for one in samples], [float(value(one)) for one in samples]).slope


@pytest.mark.timeout(SECONDS + 120)
def test_nothing_grows_while_calls_come_and_go(tmp_path: Path) -> None:
    with Lab(tmp_path, CALLS) as lab:
        worker = lab.server.workers[0]
        lab.server._start_all_threads()  # gunicorn starts its threads one by one, and keeps them
        began_s = time.monotonic()
        ends_s = began_s + SECONDS
        reasons: Counter[str] = Counter()

        def carry_calls(lane: Lane) -> None:
            while time.monotonic() < ends_s:
                lane.begin(None)
                call = lab.ring(lane, Caller(lambda: None))
                ending = lab.ending(call)
                reasons[ending.reason] += 1
                lab.forget(call)

        samples: list[Sample] = []
        with ThreadPoolExecutor(CALLS) as threads:
            running = [threads.submit(carry_calls, lane) for lane in lab.lanes.values()]
            pause = Event()
            while time.monotonic() < ends_s:
                samples.append(look(worker, time.monotonic() - began_s))
                pause.wait(SAMPLE_S)

        steady = [one for one in samples if one.at_s >= WARM_UP_S]
        span_s = steady[-1].at_s - steady[0].at_s
        rises = {
            "memory, KB": slope(steady, lambda one: one.memory_kb) * span_s,
            "threads": slope(steady, lambda one: one.threads) * span_s,
            "descriptors": slope(steady, lambda one: one.descriptors) * span_s,
        }
        print(
            f"\n{CALLS} calls at a time for {SECONDS:.0f} s: {sum(reasons.values())} calls, {dict(reasons)}\n"
            f"first, last of {len(steady)} samples after {WARM_UP_S:.0f} s: {steady[0]}, {steady[-1]}\n"
            "rise of the fitted line: " + ", ".join(f"{name} {rise:+.1f}" for name, rise in rises.items())
        )
        for one in running:
            one.result()
        assert lab.server.workers == [worker]
        assert set(reasons) == {"agent.ended"}, reasons
        assert rises["memory, KB"] < MOST_MEMORY_KB, samples
        assert rises["threads"] < MOST_THREADS, samples
        assert rises["descriptors"] < MOST_DESCRIPTORS, samples
        assert eventually(lambda: lab.open_sockets() == 0)
