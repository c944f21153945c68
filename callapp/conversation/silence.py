"""Nobody speaks: ask whether the caller is still there, ask again, and then say goodbye.

Where the service times silences itself (`ServiceTimer`), the model asks by itself, and that is counted here;
our clock is there for all else, for the goodbye, and for when the service does not do it.
"""

from __future__ import annotations

import math

MOST_NUDGES = 2
# Where the service lets none be heard, so many are asked for: nobody's line is kept for ever.
MOST_ASKED = 4
# Where the model chose to wait, the caller said something like "one moment".
WAITING_MS = 60_000.0
# When the service is to break a silence and has not done it by then, we do.
SERVICE_LATE_MS = 3_000.0


class Silence:
    """How long nobody has spoken, and what follows.

    Args:
        nudge_ms: so long a silence is broken; ``None`` breaks none.
    """

    def __init__(self, nudge_ms: float | None) -> None:
        self._nudge_ms = nudge_ms
        self._since_ms = math.inf  # while somebody speaks
        self._not_before_ms = 0.0
        self.nudges = 0
        self._asked = 0

    def observe(self, at_ms: float, *, silent: bool) -> None:
        """Take note of whether the caller is silent and the agent has nothing more to say."""
        self._since_ms = min(self._since_ms, at_ms) if silent else math.inf

    def caller_heard(self) -> None:
        """The caller is there after all."""
        self.nudges = self._asked = 0
        self._not_before_ms = 0.0

    def wait(self, at_ms: float) -> None:
        """The model keeps silent on purpose: give the caller more time."""
        self._not_before_ms = at_ms + WAITING_MS

    def may_be_broken(self, at_ms: float) -> bool:
        """Whether a long silence is one to ask into, rather than one that was asked for, or the last."""
        return not self.for_the_last_time and at_ms >= self._not_before_ms

    @property
    def for_the_last_time(self) -> bool:
        """Whether the caller has been asked often enough."""
        return self.nudges >= MOST_NUDGES or self._asked >= MOST_ASKED

    def asked(self) -> None:
        """The model is to ask the caller whether they are there."""
        self._asked += 1
        self._since_ms = math.inf

    def nudged(self) -> None:
        """The caller was asked, or is just about to be, by a model that the service has woken."""
        self.nudges += 1
        self._since_ms = math.inf

    def deadline_ms(self, heard_ms: float, *, service_timed: bool) -> float:
        """When this has lasted too long.

        Args:
            heard_ms: when the agent will have been heard out, for a silence begins then.
            service_timed: the service is about to break it.
        """
        if self._nudge_ms is None:
            return math.inf
        if self.nudges > MOST_NUDGES:  # the service has asked once too often
            return max(self._since_ms, heard_ms)
        late_ms = SERVICE_LATE_MS if service_timed else 0.0
        return max(max(self._since_ms, heard_ms) + self._nudge_ms + late_ms, self._not_before_ms)
