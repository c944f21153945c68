"""What holds for every test: however it ends, no thread remains; and what measures time runs alone."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from callapp.websocket.reader import shared_reader
from tests.databases import (  # noqa: F401 - the fixtures of whoever needs a database
    database,
    empty_database,
    postgres,
    postgres_template,
    spare_databases,
    store,
)

pytest.register_assert_rewrite("tests.stage", "tests.faults.lab")  # before anybody imports them

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
    shared_reader()  # one for the whole process, whichever test is the first to need it
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + THREADS_END_S
    for thread in set(threading.enumerate()) - before:
        thread._started.wait(THREADS_END_S)  # type: ignore[attr-defined]  # before that, join() raises
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert not left, f"threads left behind: {left}"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: says how long something takes; nothing else may run meanwhile")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what is there for good: tests that look for what is left behind call it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what has to run alone where it would not."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    beside = pytest.mark.skip(reason="says how long something takes: run it without -n")
    for item in items:
        if item.get_closest_marker("alone"):
            item.add_marker(beside)
