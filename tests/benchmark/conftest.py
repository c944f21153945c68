"""Benchmarks measure, so they have the machine to themselves."""

from __future__ import annotations

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: measures; nothing else may run meanwhile")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what has to run alone where it would not, or where it would share a core with its own load."""
    reason = ""
    if "PYTEST_XDIST_WORKER" in os.environ:
        reason = "measures, so it cannot run beside other tests: run it without -n"
    elif not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        reason = "needs a core for the server and one for the load"
    for item in items:
        if reason and item.get_closest_marker("alone"):
            item.add_marker(pytest.mark.skip(reason=reason))
