"""That somebody has hung up, as the carrier tells it, beside the stream, which tells it too.

The carrier's word comes in a request of its own, sooner than the stream's end or later. What was said last is
then still to be read; why the call is over, the carrier knows better, and its first word stays.
"""

from __future__ import annotations

from time import monotonic

from callapp.telephony.leg import STOP_WITHIN_S

_OF_THE_PHONE = ("caller.", "other.", "twilio.")


class HangUp:
    """Of one stream: not told, until it is."""

    def __init__(self) -> None:
        self._told: tuple[str, float] | None = None  # why, and from when on without the stream's word

    def told(self, reason: str) -> bool:
        """Take the carrier's word, from any thread; false if it is none, but a wish of ours."""
        if not reason.startswith(_OF_THE_PHONE):
            return False
        self._told = self._told or (reason, monotonic() + STOP_WITHIN_S)
        return True

    @property
    def overdue(self) -> bool:
        """Whether the stream should have ended by now."""
        return self._told is not None and monotonic() >= self._told[1]

    def reason(self, of_the_stream: str) -> str:
        """Why the call is over whose stream has ended, or should have."""
        return of_the_stream if self._told is None else self._told[0]
