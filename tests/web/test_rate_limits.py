from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from callapp.web.rate_limits import RateLimits


def test_callers_and_callees_are_counted_apart() -> None:
    limits = RateLimits("1/minute", "1/minute")
    assert limits.count_key("a") is None
    assert limits.count_key("b") is None
    assert limits.count_callee("a") is None
    assert limits.count_key("a") is not None


def test_who_waits_as_told_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    limits = RateLimits("2/minute", "1/minute")
    limits.count_key("a")
    now += 20
    limits.count_key("a")
    now += 10
    assert limits.count_key("a") == 30
    assert limits.count_key("a") == 30, "an attempt in between costs nothing"
    now += 29
    assert limits.count_key("a") == 1
    now += 1.1
    assert limits.count_key("a") is None


def test_several_limits_hold_together() -> None:
    limits = RateLimits("2/second;3/hour", "1/minute")
    assert [limits.count_key("a") is None for _ in range(3)] == [True, True, False]


def test_of_many_at_once_no_more_than_the_limit_pass() -> None:
    limits = RateLimits("5/minute", "1/minute")
    barrier = threading.Barrier(16)

    def hit() -> bool:
        barrier.wait(10)
        return limits.count_key("a") is None

    with ThreadPoolExecutor(16) as pool:
        passed = [future.result(10) for future in [pool.submit(hit) for _ in range(16)]]
    assert sum(passed) == 5
