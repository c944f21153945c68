"""What waits to be written, and for how long it may."""

from __future__ import annotations

from collections.abc import Callable

from callapp.websocket.backlog import Backlog


def room_for(most: int) -> Callable[[memoryview], int]:
    """Write so much, and then no more."""

    def write(frame: memoryview) -> int:
        nonlocal most
        written = min(most, len(frame))
        most -= written
        if not written:
            raise BlockingIOError
        return written

    return write


def test_the_time_of_a_frame_begins_when_those_before_it_are_out() -> None:
    """A minute of speech is made at once; on a slow line it is longer on its way than one frame may be."""
    backlog = Backlog(5.0)
    for _ in range(3):
        backlog.add(b"x" * 100, 0.0)
    for now_s in (4.0, 8.0, 12.0):
        assert now_s < backlog.until_s
        backlog.write(room_for(100), now_s)
    assert backlog.size_bytes == 0


def test_it_does_not_begin_anew_with_each_byte_that_goes_out() -> None:
    backlog = Backlog(5.0)
    backlog.add(b"x" * 100, 1.0)
    backlog.write(room_for(10), 4.0)
    assert (backlog.size_bytes, backlog.until_s) == (90, 6.0)
