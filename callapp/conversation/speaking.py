"""Whether somebody speaks, by how loud it is. Pure.

For models that have no voice detection of their own. Speech is what rises above the noise of its line,
and a line's noise is what is left of it in its softest moments.
"""

from __future__ import annotations

from collections import deque

FRAME_MS = 20
# How far speech rises above the noise; and the softest that is taken for speech on a silent line.
ABOVE_NOISE_DB = 9.0
SOFTEST_DBFS = -46.0
# What is louder is no noise: a line may begin in the middle of a word.
LOUDEST_NOISE_DBFS = -38.0
# A sound is speech once it has lasted so long; a click is none.
SHORTEST_FRAMES = 3
# The softest moments of the last three seconds: nobody speaks for longer without one.
_BLOCK_FRAMES = 25
_BLOCKS = 6


class Speaking:
    """The ear for one line."""

    def __init__(self) -> None:
        self._softest: deque[float] = deque(maxlen=_BLOCKS)  # of each block, dBFS
        self._softest_now = 0.0
        self._frames = 0
        self._loud = 0  # frames in a row

    def hear(self, level_dbfs: float) -> bool:
        """Take the level of the next `FRAME_MS`; return whether somebody speaks in it."""
        self._note(level_dbfs)
        noise_dbfs = min([*self._softest, self._softest_now, LOUDEST_NOISE_DBFS])
        if level_dbfs < max(noise_dbfs + ABOVE_NOISE_DB, SOFTEST_DBFS):
            self._loud = 0
            return False
        self._loud += 1
        return self._loud >= SHORTEST_FRAMES

    def _note(self, level_dbfs: float) -> None:
        if self._frames % _BLOCK_FRAMES == 0:
            if self._frames:
                self._softest.append(self._softest_now)
            self._softest_now = level_dbfs
        self._softest_now = min(self._softest_now, level_dbfs)
        self._frames += 1
