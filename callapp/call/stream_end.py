"""How a stream ends that is only listened to: by its own word, by the carrier's, or because nothing comes.

The carrier's word comes in a request of its own, sooner than the stream's end or later. What was said last is
then still to be read; why the call is over, the carrier knows better, and its first word stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeVar

from callapp.conversation.events import CallerHungUp
from callapp.errors import LegLost
from callapp.telephony.leg import NO_MEDIA_S, STOP_WITHIN_S, reason_of

E = TypeVar("E")

_OF_THE_PHONE = ("caller.", "other.", "twilio.")


class StreamEnd:
    """Of one stream. One thread reads."""

    def __init__(self) -> None:
        self._told: tuple[str, float] | None = None  # why, and from when on without the stream's word
        self._heard_s = monotonic()

    def told(self, reason: str) -> bool:
        """Take the carrier's word, from any thread; false if it is none, but a wish of ours."""
        if not reason.startswith(_OF_THE_PHONE):
            return False
        self._told = self._told or (reason, monotonic() + STOP_WITHIN_S)
        return True

    def read(self, receive: Callable[[], Sequence[E]]) -> tuple[Sequence[E], str | None]:
        """Read the stream once: what came, and why the call is over, if this was the last of it.

        Args:
            receive: waits for what comes next, returns nothing when nothing came for a while, and raises
                `LegLost` when the socket is gone.
        """
        heard, ended = self._read(receive)
        return heard, ended if ended is None or self._told is None else self._told[0]

    def _read(self, receive: Callable[[], Sequence[E]]) -> tuple[Sequence[E], str | None]:
        if self._told is not None and monotonic() >= self._told[1]:
            return (), "twilio.disconnected"
        try:
            heard = receive()
        except LegLost as loss:
            return (), reason_of(loss)
        now_s = monotonic()
        if heard:
            self._heard_s = now_s
        elif now_s - self._heard_s > NO_MEDIA_S:
            return (), "twilio.no_media"
        return heard, "caller.hung_up" if any(isinstance(event, CallerHungUp) for event in heard) else None
