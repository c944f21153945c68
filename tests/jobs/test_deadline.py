"""What waits on a socket goes on when its time is over."""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

import pytest

from callapp.jobs.deadline import Deadline

LONG_S = 60.0


def within(within_s: float, work: Callable[[Deadline], None]) -> None:
    with Deadline(within_s) as deadline:
        work(deadline)


def wait_on(waiting: socket.socket, deadline: Deadline) -> None:
    """Read for as long as a byte comes within a minute, as libraries do."""
    waiting.settimeout(LONG_S)
    deadline.watch(waiting)
    while waiting.recv(1):
        pass
    raise ConnectionError("the other side has closed")


def test_bytes_that_drip_do_not_put_it_off() -> None:
    begun_s, over = monotonic(), Event()
    waiting, other = socket.socketpair()

    def drip() -> None:
        while not over.wait(0.02):
            other.send(b".")

    dripping = Thread(target=drip)
    with waiting, other:
        dripping.start()
        try:
            with pytest.raises(TimeoutError, match=r"not done within 0\.2 s"):
                within(0.2, lambda deadline: wait_on(waiting, deadline))
        finally:
            over.set()
            dripping.join()
    assert monotonic() - begun_s < LONG_S / 2


def test_a_connection_that_comes_too_late_is_shut_at_once() -> None:
    before, other_before = socket.socketpair()
    waiting, other = socket.socketpair()

    def work(deadline: Deadline) -> None:
        deadline.watch(before)
        assert before.recv(1) == b""  # the time is over
        wait_on(waiting, deadline)

    with before, other_before, waiting, other, pytest.raises(TimeoutError):
        within(0.05, work)


def test_only_the_last_connection_is_shut() -> None:
    """To a proxy at first, say, and then through it, by another object."""
    before, other_before = socket.socketpair()
    waiting, other = socket.socketpair()

    def work(deadline: Deadline) -> None:
        deadline.watch(before)
        wait_on(waiting, deadline)

    with before, other_before, waiting, other:
        with pytest.raises(TimeoutError):
            within(0.05, work)
        other_before.send(b"still here")
        assert before.recv(20) == b"still here"


def test_who_takes_the_end_for_an_answer_is_told() -> None:
    """http.client takes a head that breaks off for one that is complete."""
    waiting, other = socket.socketpair()

    def work(deadline: Deadline) -> None:
        deadline.watch(waiting)
        assert waiting.recv(1) == b""

    with waiting, other, pytest.raises(TimeoutError):
        within(0.05, work)


def test_what_is_done_in_time_keeps_its_connection_and_its_errors() -> None:
    waiting, other = socket.socketpair()

    def fail(deadline: Deadline) -> None:
        deadline.watch(waiting)
        raise KeyError

    with waiting, other:
        within(LONG_S, lambda deadline: deadline.watch(waiting))
        with pytest.raises(KeyError):
            within(LONG_S, fail)
        other.send(b"still here")
        assert waiting.recv(20) == b"still here"
