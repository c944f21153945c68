"""A tool takes its time: the caller is not left in silence meanwhile."""

from __future__ import annotations

# A silence of a second is felt; the model needs a moment to begin, so it is asked that much earlier.
SILENCE_MS = 800.0
# From one line to the next.
BETWEEN_MS = 6_000.0


class Patience:
    """When a line is due that asks for patience."""

    def __init__(self) -> None:
        self._next_ms = 0.0
        self.lines = 0

    def spoken(self, at_ms: float) -> None:
        """A line was asked for."""
        self.lines += 1
        self._next_ms = at_ms + BETWEEN_MS

    def deadline_ms(self, running_since_ms: float, heard_ms: float) -> float:
        """When the next line is due, while nobody speaks.

        Args:
            running_since_ms: since when a tool has been at work; infinite if none is.
            heard_ms: when the agent will have been heard out, what it said before the tool included.
        """
        return max(max(running_since_ms, heard_ms) + SILENCE_MS, self._next_ms)
