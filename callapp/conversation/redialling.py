"""How long a service that was lost is left alone before it is dialled again. Pure."""

from __future__ import annotations

# In milliseconds, before each dial since the service was there; the last one repeats.
REDIAL_MS = (0, 500, 1_000, 2_000, 5_000)


def pause_before(losses: int) -> float:
    """How long to wait after so many losses in a row, in milliseconds; nothing at the first dial."""
    return REDIAL_MS[min(losses, len(REDIAL_MS) - 1)]
