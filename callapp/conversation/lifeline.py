"""Whether the model is there; and if it is not, when to try again and what the caller hears.

Pure: it is told when the model is lost and found, and says when something is due.
"""

from __future__ import annotations

import math

# Waits before the tries that follow a loss, and when no further one is made.
BACKOFF_MS = (0.0, 500.0, 1_000.0, 2_000.0, 4_000.0)
GIVE_UP_MS = 10_000.0
# From a loss to the first spoken line, and at the beginning of a call, when connecting takes a
# moment anyway; from the end of a line to the next one. Nobody sits in silence for longer.
FIRST_LINE_MS = 1_000.0
FIRST_LINE_AT_START_MS = 2_500.0
NEXT_LINE_MS = 3_000.0
# A session that is lost sooner than this was never really there: its loss belongs to the one before,
# or a service that accepts and drops would be dialled without end, and no line ever be due.
STEADY_MS = 5_000.0
# A session is renewed so long before the service would end it, and looked at so often until there is
# a quiet moment to do it in.
RENEW_EARLY_MS = 300_000.0
LOOK_AGAIN_MS = 1_000.0


class Lifeline:
    """The connection to the model, as the conversation sees it. A call begins without one.

    Args:
        session_ms: how old a session may become before it is renewed.
    """

    def __init__(self, session_ms: float) -> None:
        self.up = False
        self._session_ms = session_ms
        self._renew_ms = math.inf
        self._since_ms = 0.0  # when it was lost, or the call began
        self._steady_from_ms = 0.0
        self._tries = 0
        self._quiet_until_ms = FIRST_LINE_AT_START_MS
        self._pause_ms = 0.0  # from the last sound to the next line

    def line_ms(self, dry_ms: float) -> float:
        """When the caller is due to hear something; ``dry_ms`` is until when there is something to hear."""
        return max(self._quiet_until_ms, dry_ms + self._pause_ms)

    @property
    def renew_ms(self) -> float:
        """When a session that is up should be renewed, if the moment is quiet."""
        return self._renew_ms if self.up else math.inf

    def restored(self, at_ms: float, lasts_ms: float | None) -> None:
        """The session stands; the service keeps it for ``lasts_ms``, if it said so."""
        self.up = True
        self._steady_from_ms = at_ms + STEADY_MS if self._tries else at_ms
        self._renew_ms = at_ms + self._session_ms
        if lasts_ms is not None:
            # Of a session that is short-lived anyway, half is used.
            self._renew_ms = min(self._renew_ms, at_ms + max(lasts_ms - RENEW_EARLY_MS, lasts_ms / 2))

    def not_now(self, at_ms: float) -> None:
        """It is no moment to renew the session."""
        self._renew_ms = at_ms + LOOK_AGAIN_MS

    def renewing(self, at_ms: float) -> None:
        """The session is about to be given up by us: nothing is wrong with it, however young it is."""
        self._steady_from_ms = at_ms

    def lost(self, at_ms: float) -> float | None:
        """The model is gone, or was not to be had; return after how long to try again, or ``None``."""
        if self.up:
            self.up = False
            if at_ms >= self._steady_from_ms:
                self.tried_anew(at_ms)
            else:
                self._pause_ms = max(self._pause_ms, FIRST_LINE_MS)
        if self._tries == len(BACKOFF_MS):
            return None
        after_ms = BACKOFF_MS[self._tries]
        self._tries += 1
        return after_ms if at_ms + after_ms < self._since_ms + GIVE_UP_MS else None

    def tried_anew(self, at_ms: float) -> None:
        """Tries are counted from now on."""
        self._tries = 0
        self._since_ms = at_ms
        self.wait_begins(at_ms)

    def wait_begins(self, at_ms: float) -> None:
        """From now on the caller waits for the model."""
        self.no_silence(at_ms)
        self._pause_ms = 0.0

    def no_silence(self, at_ms: float) -> None:
        """Somebody is heard, or was until now."""
        self._quiet_until_ms = at_ms + FIRST_LINE_MS

    def line_spoken(self) -> None:
        """The caller hears a line."""
        self._pause_ms = NEXT_LINE_MS
