"""The caller's audio on its way to the model: a lane of its own, beside the conversation.

It comes 50 times a second a call and needs no decision, so while the lane is open a chunk is handed
on by the thread that read it, and nothing else is touched. While it is closed, because the model is
not there yet or not any more, the newest seconds are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from callapp.conversation.hearing import KEPT_MS
from callapp.errors import LegLost

_BYTES_PER_MS = 8

Send = Callable[[bytes], None]


class AudioLane:
    """Caller audio, in order, none twice. It begins closed."""

    __slots__ = ("_kept", "_kept_bytes", "_lock", "_send", "_tap", "_to_model", "dropped_ms")

    def __init__(self) -> None:
        self._lock = Lock()
        self._to_model: Send | None = None  # while it is open
        self._tap: Send | None = None
        self._send: Send | None = None  # both
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self.dropped_ms = 0

    def offer(self, payload: bytes) -> None:
        """Pass a chunk on, or keep it for later. Called by one thread at a time."""
        send = self._send
        if send is None:
            send = self._keep(payload)
        while send is not None:
            try:
                send(payload)
            except LegLost:  # its successor will open the lane again, or has done so
                with self._lock:
                    if self._send is send:
                        self._send = self._to_model = None
                send = self._keep(payload)
            else:
                return

    def open(self, to_model: Send) -> None:
        """Send what was kept; from here on chunks go straight through, unless the model has gone already.

        Args:
            to_model: hands a payload (base64 of mu-law) to the model; raises `LegLost` when it is gone.
        """
        with self._lock, suppress(LegLost):
            send = _both(self._tap, to_model)
            while self._kept:
                send(self._kept[0])
                self._kept_bytes -= _length(self._kept.pop(0))
            self._to_model, self._send = to_model, send

    def close(self) -> None:
        """Keep what comes from here on."""
        with self._lock:
            self._send = self._to_model = None

    def tap(self, tap: Send | None) -> None:
        """Let ``tap`` have what goes to the model as well; ``None`` for no more, which costs nothing."""
        with self._lock:
            self._tap = tap
            if self._to_model is not None:
                self._send = _both(tap, self._to_model)

    def _keep(self, payload: bytes) -> Send | None:
        """Keep a chunk; when the lane has been opened meanwhile, return where it goes."""
        with self._lock:
            if self._send is not None:
                return self._send
            self._kept.append(payload)
            self._kept_bytes += _length(payload)
            while self._kept_bytes > KEPT_MS * _BYTES_PER_MS:
                oldest = _length(self._kept.pop(0))
                self._kept_bytes -= oldest
                self.dropped_ms += oldest // _BYTES_PER_MS
            return None


def _both(tap: Send | None, to_model: Send) -> Send:
    if tap is None:
        return to_model

    def send(payload: bytes) -> None:
        tap(payload)
        to_model(payload)

    return send


def _length(payload: bytes) -> int:
    return len(payload) // 4 * 3 - payload[-2:].count(b"=")
