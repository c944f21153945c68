"""When the caller spoke: what the model says of its input, put on the call's clock.

The model tells where speech begins and ends in the audio that it was sent, some time after it did.
That audio is the phone's, without a gap, so a position in it is a moment of the call. Where positions
and clock have drifted apart, because a muted phone sent nothing for a while, the moment at which we
were told has to do.
"""

from __future__ import annotations

from dataclasses import dataclass

# Of what the phone says while the model is not there, the newest is kept, and sent first.
KEPT_MS = 5_000
# Nobody tells us later than that: a position so far off is not to be trusted.
MOST_DELAY_MS = 1_500.0


@dataclass(frozen=True)
class Ears:
    """How the model's voice detection was set up.

    Args:
        padding_ms: what it puts before the first sound of a turn.
        silence_ms: how long it waits after the last sound until it calls the turn over.
    """

    padding_ms: float = 0.0
    silence_ms: float = 0.0


class Hearing:
    """The clock of the audio that a session of the model has been sent."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._closed_ms = 0.0  # since when audio is kept
        self._origin_ms = 0.0  # of the session's first byte

    def opened(self, at_ms: float) -> None:
        """Audio flows to a new session, what was kept first."""
        self._origin_ms = max(self._closed_ms, at_ms - KEPT_MS)

    def closed(self, at_ms: float) -> None:
        """The session is gone: audio is kept."""
        self._closed_ms = at_ms

    def began_ms(self, position_ms: float | None, at_ms: float) -> float:
        """When a turn began of which we are told now."""
        return self._moment(position_ms, self._ears.padding_ms, at_ms)

    def ended_ms(self, position_ms: float | None, at_ms: float) -> float:
        """When the last sound was of a turn whose end we are told now."""
        silence_ms = self._ears.silence_ms
        return self._moment(position_ms, -silence_ms, at_ms - silence_ms)

    def _moment(self, position_ms: float | None, shift_ms: float, otherwise_ms: float) -> float:
        if position_ms is None:
            return otherwise_ms
        moment_ms = self._origin_ms + position_ms + shift_ms
        believable = otherwise_ms - MOST_DELAY_MS <= moment_ms <= otherwise_ms
        return moment_ms if believable else otherwise_ms
