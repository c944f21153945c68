"""Threads for requests, where the system has none left."""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import NoReturn

import pytest

from callapp.web.worker import _Pool

DEADLINE_S = 10


def none_left(_thread: Thread) -> NoReturn:
    raise RuntimeError("can't start new thread")


def test_a_request_waits_for_a_thread_that_is_there_already(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker would end instead, with all its calls."""
    with _Pool(2) as pool:
        over = Event()
        call = pool.submit(over.wait, DEADLINE_S)
        with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
            patched.setattr(Thread, "start", none_left)
            request = pool.submit(str, "answered")
        assert "can't start new thread" in caplog.text
        assert not request.done()
        over.set()
        assert call.result(DEADLINE_S)
        assert request.result(DEADLINE_S) == "answered"


def test_without_any_thread_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    with _Pool(2) as pool, monkeypatch.context() as patched:
        patched.setattr(Thread, "start", none_left)
        with pytest.raises(RuntimeError):
            pool.submit(str, "answered")
