"""The caller's audio on its way to the model: a lane of its own, beside the conversation.

It comes 50 times a second a call and needs no decision, so while the lane is open a chunk is handed
on by the thread that read it, and nothing else is touched. While it is closed, because the model is
not there yet or not any more, the newest seconds are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Protocol

from callapp.conversation.flow import BYTES_PER_MS, audio_bytes
from callapp.conversation.hearing import KEPT_MS
from callapp.errors import LegLost

Tap = Callable[[bytes], None]


class Model(Protocol):
    """Whom the caller is to be heard by."""

    def send_audio(self, payload: bytes) -> None:
        """Take audio, base64 of mu-law; raises `LegLost` when it is gone."""


class AudioLane:
    """Caller audio, in order, none twice. It begins closed."""

    __slots__ = ("_kept", "_kept_bytes", "_lock", "_model", "_tap", "_to", "dropped_ms")

    def __init__(self) -> None:
        self._lock = Lock()
        self._model: Model | None = None  # while it is open
        self._tap: Tap | None = None
        self._to: Model | None = None  # the model, or the tap and the model
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self.dropped_ms = 0

    def offer(self, payload: bytes) -> None:
        """Pass a chunk on, or keep it for later. Called by one thread at a time."""
        to = self._to
        if to is None:
            to = self._keep(payload)
        while to is not None:
            try:
                to.send_audio(payload)
            except LegLost:  # its successor will open the lane again, or has done so
                with self._lock:
                    if self._to is to:
                        self._to = self._model = None
                to = self._keep(payload)
            else:
                return

    def open(self, model: Model) -> None:
        """Send what was kept; from here on chunks go straight through, unless the model has gone already."""
        with self._lock, suppress(LegLost):
            to = _Tapped(self._tap, model) if self._tap is not None else model
            while self._kept:
                to.send_audio(self._kept[0])
                self._kept_bytes -= audio_bytes(self._kept.pop(0))
            self._model, self._to = model, to

    def close(self) -> None:
        """Keep what comes from here on."""
        with self._lock:
            self._to = self._model = None

    def tap(self, tap: Tap | None) -> None:
        """Let ``tap`` have what goes to the model as well; ``None`` for no more, which costs nothing."""
        with self._lock:
            self._tap = tap
            if self._model is not None:
                self._to = _Tapped(tap, self._model) if tap is not None else self._model

    def _keep(self, payload: bytes) -> Model | None:
        """Keep a chunk; when the lane has been opened meanwhile, return where it goes."""
        with self._lock:
            if self._to is not None:
                return self._to
            self._kept.append(payload)
            self._kept_bytes += audio_bytes(payload)
            while self._kept_bytes > KEPT_MS * BYTES_PER_MS:
                oldest = audio_bytes(self._kept.pop(0))
                self._kept_bytes -= oldest
                self.dropped_ms += oldest // BYTES_PER_MS
            return None


class _Tapped:
    """A model, and somebody who gets what goes to it as well."""

    __slots__ = ("_model", "_tap")

    def __init__(self, tap: Tap, model: Model) -> None:
        self._tap = tap
        self._model = model

    def send_audio(self, payload: bytes) -> None:
        self._tap(payload)
        self._model.send_audio(payload)
