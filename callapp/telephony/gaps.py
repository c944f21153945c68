"""Gaps in the caller's audio, and the silence that fills them. Pure.

Some phones send nothing while they are muted. The model decides by the sound of it when a turn has
ended, so without any it would wait for the rest of a sentence. A gap shows in two ways: the next
chunk's timestamp is further on than it should be, and, as long as there is no next one, nothing
comes. Real audio is never touched: silence goes before it.
"""

from __future__ import annotations

from callapp.telephony.media_streams import CallerAudio

# Less is jitter, or a lost packet.
SMALLEST_GAP_MS = 100
# More than a second of silence tells the model nothing new.
MOST_SILENCE_MS = 1_000
# Audio that has been away for so long is not just late: a network's hiccup is shorter.
MUTED_MS = 1_500.0


class Gaps:
    """The gaps of one stream."""

    __slots__ = ("_filled_ms", "_quiet_ms", "_until_ms")

    def __init__(self) -> None:
        self._until_ms: int | None = None  # by Twilio's clock, where the newest chunk ends
        self._quiet_ms = 0.0
        self._filled_ms = 0  # of the present gap

    def follows(self, payload: bytes, at_ms: int | None) -> bool:
        """Whether a chunk comes right after the one before; then it is taken note of."""
        if at_ms is None or at_ms != self._until_ms or self._quiet_ms:
            return False
        self._until_ms = at_ms + len(payload) * 3 // 32  # base64, 8 bytes a millisecond
        return True

    def before(self, audio: CallerAudio) -> CallerAudio | None:
        """The silence that belongs before a chunk, if any. Called for every chunk but those that follow."""
        payload, at_ms = audio
        if self.follows(payload, at_ms):
            return None
        until_ms = self._until_ms
        self._until_ms = None if at_ms is None else at_ms + len(payload) * 3 // 32
        filled_ms, self._filled_ms = self._filled_ms, 0
        self._quiet_ms = 0.0
        if until_ms is None or at_ms is None or at_ms - until_ms < SMALLEST_GAP_MS:
            return None
        missing_ms = min(at_ms - until_ms, MOST_SILENCE_MS) - filled_ms
        return _silence(missing_ms) if missing_ms > 0 else None

    def quiet(self, for_ms: float) -> CallerAudio | None:
        """Nothing came for so long, again; the silence that fills this gap, once."""
        self._quiet_ms += for_ms
        if self._until_ms is None or self._filled_ms or self._quiet_ms < MUTED_MS:
            return None
        self._filled_ms = MOST_SILENCE_MS
        return _silence(MOST_SILENCE_MS)


def _silence(ms: int) -> CallerAudio:
    # 0xFF is silence in mu-law, and three bytes of it are "////" in base64: 3 ms are 32 characters.
    return CallerAudio(b"/" * (ms // 3 * 32), None)
