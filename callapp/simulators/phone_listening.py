"""The phone's side of a Media Stream that only listens, as ``<Start><Stream>`` opens it. Pure.

https://www.twilio.com/docs/voice/twiml/stream
"""

from __future__ import annotations

from typing import Any

from callapp.simulators.phone_stream import FRAME_NS, PhoneStream, Received
from callapp.simulators.sound import FRAME_BYTES, SILENCE

_NO_WORD = "on a stream that only listens"


class ListeningStream(PhoneStream):
    """A stream on which the application hears a call, and may not say a word (error 31924).

    It hears what the person lives through elsewhere: while a phone is rung, in a room, with others.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._heard = bytearray()
        self._lived: list[tuple[bytes, bytes]] = []
        self._ticks = 0

    def listen(self, voice: bytes, heard: bytes) -> None:
        """Take 20 ms: what the phone said, and what it was given to hear."""
        self._lived.append((voice, heard))

    @property
    def next_frame_ns(self) -> int:
        return (self._ticks + 1) * FRAME_NS

    def frame(self) -> tuple[list[str], bool]:
        """Return what was lived through since the last time; nobody hangs up here."""
        self._ticks += 1
        self.advance(self._ticks * FRAME_NS)
        return self.rest(), False

    def rest(self) -> list[str]:
        texts = []
        for frame in self._lived:
            voice, heard = (sound.ljust(FRAME_BYTES, SILENCE) for sound in frame)
            for track, sound in (("inbound", voice), ("outbound", heard)):
                if track in self.tracks:
                    texts.append(self._media(track, self._chunks, sound))
            self.voice += voice
            self._heard += heard
            self._chunks += 1
        self._lived.clear()
        return texts

    def receive(self, now_ns: int, text: str) -> list[str]:
        """Take a message of the application, which must not send any."""
        self.received.append(Received(now_ns / 1_000_000, text))
        return self._violation(f"{text[:80]} {_NO_WORD}")

    def heard_track(self) -> bytes:
        """Return what the phone was given to hear, beside ``voice`` byte for byte."""
        return bytes(self._heard)
