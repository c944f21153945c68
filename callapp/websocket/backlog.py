"""Frames that the system did not take at once, each with the time by which it has to be out. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Backlog:
    """What waits to be written on one connection."""

    __slots__ = ("_frames", "size_bytes")

    def __init__(self) -> None:
        self._frames: deque[tuple[memoryview, float]] = deque()
        self.size_bytes = 0

    def add(self, frame: bytes | memoryview, until_s: float) -> None:
        """Put a frame, or the rest of one, behind the others."""
        self._frames.append((memoryview(frame), until_s))
        self.size_bytes += len(frame)

    def write(self, write: Callable[[memoryview], int]) -> None:
        """Write what goes; ``write`` returns how many bytes of a frame did, or raises `BlockingIOError`."""
        while self._frames:
            frame, until_s = self._frames[0]
            try:
                written = write(frame)
            except BlockingIOError:
                return
            self.size_bytes -= written
            if written < len(frame):
                self._frames[0] = frame[written:], until_s
                return
            self._frames.popleft()

    @property
    def until_s(self) -> float:
        """By when the first of them has to be out."""
        return self._frames[0][1]
