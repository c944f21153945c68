"""How far a call has come, and why it ends.

A call moves forward through its phases and never back: LIVE, LEAVING (the carrier was asked to complete
the call), ENDED. The first reason to end it is the one that counts.
"""

from __future__ import annotations

import math
from enum import IntEnum

from callapp.conversation.commands import Command, CompleteCall, Finish

# After the carrier was asked to complete the call, its stream has to end by then.
LEAVING_MS = 5_000


class Phase(IntEnum):
    """How far a call has come."""

    LIVE = 0
    LEAVING = 1
    ENDED = 2


class Course:
    """The one place in which a call comes to its end."""

    def __init__(self) -> None:
        self.phase = Phase.LIVE
        self.end_reason: str | None = None
        self._leaving_until_ms = 0.0

    @property
    def deadline_ms(self) -> float:
        """Until when the carrier may take to complete the call that it was asked to."""
        return self._leaving_until_ms if self.phase is Phase.LEAVING else math.inf

    def leave(self, reason: str | None, at_ms: float) -> list[Command]:
        """All was said and heard: have the carrier complete the call."""
        self.phase = Phase.LEAVING
        self.end_reason = reason
        self._leaving_until_ms = at_ms + LEAVING_MS
        return [CompleteCall()]

    def overdue(self, at_ms: float) -> list[Command]:
        """What follows when the carrier takes too long."""
        return self.close_the_stream() if at_ms >= self._leaving_until_ms else []

    def close_the_stream(self) -> list[Command]:
        """The carrier did not complete the call: what the TwiML says after the stream will."""
        return self.finish("server.error")

    def finish(self, reason: str) -> list[Command]:
        """It is over."""
        self.phase = Phase.ENDED
        self.end_reason = self.end_reason or reason
        return [Finish(self.end_reason)]
