"""Frames that the system did not take at once, and by when the first of them has to be out. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Backlog:
    """What waits to be written on one connection.

    Args:
        frame_s: how long one frame may take. The time of each begins when those before it are out: a
            minute of speech that was made at once may well take longer than one frame may.

    Attributes:
        until_s: by when the first of them has to be out.
    """

    __slots__ = ("_frame_s", "_frames", "size_bytes", "until_s")

    def __init__(self, frame_s: float) -> None:
        self._frame_s = frame_s
        self._frames: deque[memoryview] = deque()
        self.size_bytes = 0
        self.until_s = 0.0

    def add(self, frame: bytes | memoryview, now_s: float) -> None:
        """Put a frame, or the rest of one, behind the others."""
        if not self._frames:
            self.until_s = now_s + self._frame_s
        self._frames.append(memoryview(frame))
        self.size_bytes += len(frame)

    def write(self, write: Callable[[memoryview], int], now_s: float) -> None:
        """Write what goes; ``write`` returns how many bytes of a frame did, or raises `BlockingIOError`."""
        while self._frames:
            frame = self._frames[0]
            try:
                written = write(frame)
            except BlockingIOError:
                return
            self.size_bytes -= written
            if written < len(frame):
                self._frames[0] = frame[written:]
                return
            self._frames.popleft()
            self.until_s = now_s + self._frame_s
