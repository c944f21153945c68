"""The caller's audio on its way to the model: a lane of its own, beside the conversation.

It comes 50 times a second a call and needs no decision, so while the lane is open a chunk is handed
on by the thread that read it, and nothing else is touched. While it is closed, because the model is
not there yet or not any more, the newest seconds are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from callapp.conversation.hearing import KEPT_MS
from callapp.errors import LegLost

_BYTES_PER_MS = 8


class AudioLane:
    """Caller audio, in order, none twice.

    Args:
        send: hands a payload (base64 of mu-law) to the model; raises `LegLost` when it is gone.
    """

    __slots__ = ("_kept", "_kept_bytes", "_lock", "_open", "_send", "_to_model", "dropped_ms")

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = self._to_model = send
        self._lock = Lock()
        self._open = False
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self.dropped_ms = 0

    def offer(self, payload: bytes) -> None:
        """Pass a chunk on, or keep it for later. Called by one thread at a time."""
        if self._open or not self._keep(payload):
            try:
                self._send(payload)
            except LegLost:  # its successor will open the lane again
                self.close()
                self._keep(payload)

    def open(self) -> None:
        """Send what was kept; from here on chunks go straight through, unless the model has gone already."""
        with self._lock, suppress(LegLost):
            while self._kept:
                self._send(self._kept[0])
                self._kept_bytes -= _length(self._kept.popleft())
            self._open = True

    def close(self) -> None:
        """Keep what comes from here on."""
        with self._lock:
            self._open = False

    def tap(self, keep: Callable[[bytes], None] | None) -> None:
        """Let ``keep`` have what goes to the model as well; ``None`` for no more, which costs nothing."""
        with self._lock:
            self._send = self._to_model if keep is None else _both(keep, self._to_model)

    def end(self) -> None:
        """Let go of the model. Two that hold each other would stay until the garbage collector comes by."""
        with self._lock:
            self._send = self._to_model = _to_nobody

    def _keep(self, payload: bytes) -> bool:
        """Keep a chunk; false when the lane has been opened meanwhile."""
        with self._lock:
            if self._open:
                return False
            self._kept.append(payload)
            self._kept_bytes += _length(payload)
            while self._kept_bytes > KEPT_MS * _BYTES_PER_MS:
                oldest = _length(self._kept.popleft())
                self._kept_bytes -= oldest
                self.dropped_ms += oldest // _BYTES_PER_MS
            return True


def _to_nobody(_payload: bytes) -> None:
    pass


def _both(first: Callable[[bytes], None], then: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def send(payload: bytes) -> None:
        first(payload)
        then(payload)

    return send


def _length(payload: bytes) -> int:
    return len(payload) // 4 * 3 - payload[-2:].count(b"=")
