"""Nobody speaks: ask whether the caller is still there, ask again, and then say goodbye.

By our own clock, for every kind of turn detection. The service has one, too (``idle_timeout_ms``), but it
knows neither of a tool at work nor of keys that are awaited, bills the silence it commits, and stops at 30 s.
"""

from __future__ import annotations

MOST_NUDGES = 2
# Where the model chose to wait, the caller said something like "one moment".
WAITING_MS = 60_000.0


class Silence:
    """How long nobody has spoken, and what follows.

    Args:
        nudge_ms: so long a silence is broken; ``None`` breaks none.
    """

    def __init__(self, nudge_ms: float | None) -> None:
        self._nudge_ms = nudge_ms
        self._since_ms: float | None = None
        self._not_before_ms = 0.0
        self.nudges = 0

    def observe(self, at_ms: float, *, silent: bool) -> None:
        """Take note of whether the caller is silent and the agent has nothing more to say."""
        if not silent:
            self._since_ms = None
        elif self._since_ms is None:
            self._since_ms = at_ms

    def caller_heard(self) -> None:
        """The caller is there after all."""
        self.nudges = 0
        self._not_before_ms = 0.0

    def wait(self, at_ms: float) -> None:
        """The model keeps silent on purpose: give the caller more time."""
        self._not_before_ms = at_ms + WAITING_MS

    def nudged(self) -> None:
        """The caller was asked whether they are there."""
        self.nudges += 1

    def deadline_ms(self, heard_ms: float) -> float | None:
        """When this has lasted too long.

        Args:
            heard_ms: when the agent will have been heard out, for a silence begins then.
        """
        if self._nudge_ms is None or self._since_ms is None:
            return None
        return max(max(self._since_ms, heard_ms) + self._nudge_ms, self._not_before_ms)
