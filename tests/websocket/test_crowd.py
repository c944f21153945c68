"""How soon threads give up the interpreter, by how many of them are busy."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from threading import Event
from time import monotonic

import pytest

from callapp.errors import LegLost
from callapp.websocket.connection import Connection
from callapp.websocket.crowd import LOOKS_A_SECOND, WAITS_AFTER_S, Crowd
from callapp.websocket.framing import TEXT, Encoder
from callapp.websocket.reader import shared_reader
from tests.websocket.peers import DEADLINE_S

ALONE_S = 0.0005

masked = Encoder(masked=True).encode


class Member:
    """Is busy or not."""

    def __init__(self, *, busy: bool = True) -> None:
        self.busy = busy


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    """One in a process whose threads switch as those of a worker."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(ALONE_S)
    yield Crowd()
    sys.setswitchinterval(before_s)


def test_a_few_switch_as_they_always_do(crowd: Crowd) -> None:
    for _ in range(int(ALONE_S * LOOKS_A_SECOND)):
        crowd.join(Member())
    crowd.settle(0.0)
    assert sys.getswitchinterval() == pytest.approx(ALONE_S)


def test_the_more_are_busy_the_later_they_switch(crowd: Crowd) -> None:
    members = [Member() for _ in range(200)]
    for member in members:
        crowd.join(member)
        crowd.join(member)  # who has come back for more meanwhile, and got it, is no second one
    crowd.settle(0.0)
    assert sys.getswitchinterval() == pytest.approx(200 / LOOKS_A_SECOND)
    for member in members[:100]:
        member.busy = False
    crowd.settle(0.0)
    assert sys.getswitchinterval() == pytest.approx(100 / LOOKS_A_SECOND)
    for member in members:
        member.busy = False
    crowd.settle(0.0)
    assert sys.getswitchinterval() == pytest.approx(ALONE_S)


def test_others_may_join_while_it_is_seen_who_is_busy(crowd: Crowd) -> None:
    late = [Member() for _ in range(50)]

    class Inviting(Member):
        @property
        def busy(self) -> bool:
            for member in late:
                crowd.join(member)
            return True

        @busy.setter
        def busy(self, _: bool) -> None:
            pass

    for one in Inviting(), Inviting():
        crowd.join(one)
    crowd.settle(0.0)
    crowd.settle(0.0)
    assert sys.getswitchinterval() == pytest.approx(52 / LOOKS_A_SECOND)


def test_who_does_not_come_back_for_long_is_not_busy_but_waits(crowd: Crowd) -> None:
    waiting, working = [Member() for _ in range(100)], [Member() for _ in range(40)]
    for member in waiting + working:
        crowd.join(member)
    crowd.settle(7.0)
    for member in working:  # they have come back, and got more
        crowd.join(member)
    crowd.settle(8.0)
    crowd.settle(7.0 + WAITS_AFTER_S - 0.01)
    assert sys.getswitchinterval() == pytest.approx(140 / LOOKS_A_SECOND)
    crowd.settle(7.0 + WAITS_AFTER_S)
    assert sys.getswitchinterval() == pytest.approx(40 / LOOKS_A_SECOND)
    crowd.settle(8.0 + WAITS_AFTER_S)
    assert sys.getswitchinterval() == pytest.approx(ALONE_S)


def wait_for(interval_s: float) -> None:
    """Wait until the reader has had threads switch so; it looks 20 times a second, at least."""
    until_s = monotonic() + DEADLINE_S
    while sys.getswitchinterval() != pytest.approx(interval_s):
        assert monotonic() < until_s, sys.getswitchinterval()
        Event().wait(0.005)  # nothing tells of it


def test_who_has_not_come_back_for_more_is_busy(
    crowd: Crowd, make: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over sockets: a hundred threads are given a message each, and then come back, or are let go."""
    monkeypatch.setattr(shared_reader(), "crowd", crowd)
    pairs = []
    for _ in range(100):
        near, far = socket.socketpair()
        pairs.append((make(near), far))
    for _, far in pairs:
        far.sendall(masked(TEXT, b"think"))
    for ours, _ in pairs:
        assert ours.receive() == [b"think"]
    wait_for(100 / LOOKS_A_SECOND)
    for ours, far in pairs[:50]:
        far.close()
        ours.release()
    wait_for(50 / LOOKS_A_SECOND)
    for ours, far in pairs[50:]:
        far.close()
        with pytest.raises(LegLost):
            ours.receive()
    wait_for(ALONE_S)
