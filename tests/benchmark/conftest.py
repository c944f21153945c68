"""Benchmarks need a core for the server and one for the load."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        return
    too_small = pytest.mark.skip(reason="needs a core for the server and one for the load")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(too_small)
