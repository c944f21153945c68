"""Threads for requests, where the system has none left."""

from __future__ import annotations

import logging
from threading import Event

import pytest

from callapp.web.worker import _Pool
from tests.stage import no_thread_left

DEADLINE_S = 10


def test_a_request_waits_for_a_thread_that_is_there_already(caplog: pytest.LogCaptureFixture) -> None:
    """The worker would end instead, with all its calls."""
    with _Pool(2) as pool:
        over = Event()
        call = pool.submit(over.wait, DEADLINE_S)
        with no_thread_left(), caplog.at_level(logging.ERROR):
            request = pool.submit(str, "answered")
        assert "can't start new thread" in caplog.text
        assert not request.done()
        over.set()
        assert call.result(DEADLINE_S)
        assert request.result(DEADLINE_S) == "answered"


def test_without_any_thread_nothing_is_promised() -> None:
    with _Pool(2) as pool, no_thread_left(), pytest.raises(RuntimeError):
        pool.submit(str, "answered")
