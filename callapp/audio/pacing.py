"""Sound that is passed on as it comes, to a phone that plays it at once: neither torn nor ever later.

A phone that has run out of sound plays silence until the next chunk comes, and chunks come now and
then late. So it is kept a little ahead; and where much came at once, pauses are left out until it is
no longer far ahead. Pure: time is a number.
"""

from __future__ import annotations

import numpy as np

from callapp.audio.g711 import SAMPLES_PER_MS, SILENCE, decode

# How late a chunk may come without a gap. It is heard by so much later, too.
CUSHION_MS = 60
# With more than this to be played, pauses are left out.
MOST_AHEAD_MS = 160
# The loudest sample of a chunk in which nobody speaks: -45 dBFS.
QUIET = 184


class Pacing:
    """What one phone has yet to play, by our own account."""

    def __init__(self) -> None:
        self._played_at_ms = 0.0  # when all that was sent will have been played

    def next(self, ulaw: bytes, now_ms: float) -> bytes:
        """What to send the phone for this chunk: it, with a cushion before it if need be; or nothing."""
        ahead_ms = self._played_at_ms - now_ms
        if ahead_ms <= 0:
            ulaw = SILENCE * (CUSHION_MS * SAMPLES_PER_MS) + ulaw
            self._played_at_ms = now_ms
        elif ahead_ms > MOST_AHEAD_MS and np.abs(decode(ulaw).astype(np.int32)).max(initial=0) <= QUIET:
            return b""
        self._played_at_ms += len(ulaw) / SAMPLES_PER_MS
        return ulaw

    def unheard_ms(self, now_ms: float) -> float:
        """How long what was sent will be heard yet."""
        return max(0.0, self._played_at_ms - now_ms)
