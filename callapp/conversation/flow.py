"""The agent's audio while it flows: more of the part that is being played, with nothing to be decided. Pure.

Nearly all audio is that, fifty times a second a call. Of it only the position is noted, here; whatever else
is to be known of parts, `Playback` catches up with when somebody asks.
"""

from __future__ import annotations

from callapp.conversation.events import Part

BYTES_PER_MS = 8


class Flow:
    """How far the audio that was sent has come, and how far it may go on without a thought.

    Attributes:
        sent_bytes: the position up to which there is audio, of all that was sent on the call.
        began_ms: when the first byte would have been heard, were there no gap before this audio.
    """

    __slots__ = ("_part", "_until_bytes", "began_ms", "sent_bytes")

    def __init__(self) -> None:
        self.sent_bytes = 0
        self._part: Part | None = None
        self._until_bytes = 0
        self.began_ms = 0.0

    def open(self, part: Part, until_bytes: int, began_ms: float) -> None:
        """Let more of a part go on, if it is this very object.

        Args:
            until_bytes: where a mark is due.
            began_ms: see above.
        """
        self._part = part
        self._until_bytes = until_bytes
        self.began_ms = began_ms

    def close(self) -> None:
        """Something is about to be decided on the call: nothing goes on by itself."""
        self._part = None

    def go_on(self, part: Part, payload: bytes, at_ms: float) -> bool:
        """Queue more of the part, to be sent as it is: base64.

        Returns:
            False, and nothing is queued, if it is another part, or empty, or there is more to it: a mark has
            to follow, or the queue has run dry.
        """
        if part is not self._part:
            return False
        sent = self.sent_bytes
        end = sent + len(payload) // 4 * 3 - payload.count(b"=", -2)  # as audio_bytes
        if end == sent or end >= self._until_bytes or at_ms >= self.began_ms + sent / BYTES_PER_MS:
            return False
        self.sent_bytes = end
        return True


def audio_bytes(payload: bytes) -> int:
    """Return how much audio there is in this base64."""
    return len(payload) // 4 * 3 - payload.count(b"=", -2)
