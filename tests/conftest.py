"""What holds for every test: however it ends, no thread remains."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes examples slowly; that says nothing of what is tested.
settings.register_profile(
    "patient",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
settings.load_profile("patient")

THREADS_END_S = 5.0


@pytest.fixture(autouse=True)
def no_thread_remains() -> Iterator[None]:
    """Threads that a test started are over when it is; those of wider fixtures were there before."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + THREADS_END_S
    for thread in set(threading.enumerate()) - before:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert not left, f"threads left behind: {left}"
