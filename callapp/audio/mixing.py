"""What one listener is to hear of two voices: a translation, and the speaker's own underneath."""

from __future__ import annotations

from collections import deque
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from callapp.audio.g711 import SAMPLES_PER_MS, Samples, encode
from callapp.audio.pacing import QUIET

# The service gives out speech no faster than it hears, so some of it is kept in hand: what comes late
# would be heard as a gap within a word.
IN_HAND_MS = 80
# A translation that is further behind than this makes up for it in the pauses between its words.
MOST_BEHIND_MS = 3_000
_FRAME = 20 * SAMPLES_PER_MS


class Mixer:
    """Lays the translation over the speaker's voice; the voice, which never pauses, is the clock.

    Translations come in bursts and wait here. `add` and `frame` may be called by two threads.

    Args:
        level: of the speaker's own voice below the translation: 0 is off, 1 as loud as it came.
    """

    def __init__(self, level: float) -> None:
        self._ducked = level
        self._gain = 1.0
        self._translating = False
        self._waiting: deque[Samples] = deque()
        self._waiting_samples = 0
        self._lock = Lock()
        self.skipped_ms = 0

    def duck(self, *, translating: bool) -> None:
        """Whether there is a translation to be heard; without one the voice itself is let through whole."""
        self._translating = translating

    def add(self, translation: Samples) -> None:
        """Take a piece of translated speech."""
        if not len(translation):
            return
        with self._lock:
            if not self._waiting_samples:
                self._put(np.zeros(IN_HAND_MS * SAMPLES_PER_MS, np.int16))
            self._put(translation)

    def frame(self, voice: Samples) -> bytes:
        """Take what the speaker said; return as much for the listener, as mu-law."""
        with self._lock:
            self._catch_up()
            translation = self._next(len(voice))
        return encode(np.clip(self._under(voice) + translation, -32_768, 32_767).astype(np.int16))

    def rest(self) -> bytes:
        """All of the translation that has not been heard yet, for a speaker who is gone; as mu-law."""
        with self._lock:
            return encode(self._next(self._waiting_samples))

    def _under(self, voice: Samples) -> NDArray[np.float32]:
        gain = self._ducked if self._translating else 1.0
        if gain == self._gain:
            return voice * np.float32(gain)
        # From one level to the other within a frame: a step would be heard as a click.
        slope = np.linspace(self._gain, gain, len(voice), dtype=np.float32)
        self._gain = gain
        return voice * slope

    # -- with the lock held ---------------------------------------------------------------------

    def _put(self, translation: Samples) -> None:
        self._waiting.append(translation)
        self._waiting_samples += len(translation)

    def _catch_up(self) -> None:
        """Leave out a frame of silence: a pause then lasts half as long."""
        if self._waiting_samples <= MOST_BEHIND_MS * SAMPLES_PER_MS:
            return
        frame = self._next(_FRAME)
        if np.abs(frame.astype(np.int32)).max() > QUIET:
            self._waiting.appendleft(frame)
            self._waiting_samples += len(frame)
        else:
            self.skipped_ms += _FRAME // SAMPLES_PER_MS

    def _next(self, wanted: int) -> Samples:
        """The next samples of the translation, silence where it has none."""
        taken: list[Samples] = []
        missing = wanted
        while missing and self._waiting:
            piece = self._waiting.popleft()
            if len(piece) > missing:
                self._waiting.appendleft(piece[missing:])
                piece = piece[:missing]
            taken.append(piece)
            missing -= len(piece)
        self._waiting_samples -= wanted - missing
        return np.concatenate([*taken, np.zeros(missing, np.int16)])
