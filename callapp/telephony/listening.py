"""A Twilio media stream to which we only listen: what both people on a call say, and not a word of ours.

https://www.twilio.com/docs/voice/twiml/stream (``<Start>``, ``track="both_tracks"``)
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from callapp.conversation.events import CallerHungUp
from callapp.conversation.flow import BYTES_PER_MS
from callapp.telephony.gaps import SMALLEST_GAP_MS
from callapp.telephony.media_streams import CallerAudio, Decoded, OtherAudio, Started
from callapp.websocket.connection import Connection
from callapp.websocket.framing import Binary


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of what one of the two says: mu-law, and where in the stream it begins."""

    speaker: Literal["caller", "other"]
    ulaw: bytes = field(repr=False)
    at_ms: float


class ListeningLeg:
    """Twilio's end of a call between two people.

    Args:
        waiting: messages that came with the stream's start.
        decode: reads a message; ``None`` for one that makes no sense, which is told.
        odd: is told what makes no sense here.
    """

    def __init__(
        self,
        connection: Connection,
        waiting: list[bytes | Binary],
        decode: Callable[[bytes | Binary], Decoded | None],
        odd: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._waiting = waiting
        self._decode = decode
        self._odd = odd
        self._until_ms: dict[type[CallerAudio | OtherAudio], float] = {CallerAudio: 0.0, OtherAudio: 0.0}

    def receive(self) -> list[Sound | CallerHungUp]:
        """Wait for what comes next; ``[]`` when nothing came for a while.

        Raises:
            LegLost: the socket is gone.
        """
        messages, self._waiting = self._waiting or self._connection.receive(), []
        heard: list[Sound | CallerHungUp] = []
        for message in messages:
            match self._decode(message):
                case None:
                    pass
                case CallerAudio() | OtherAudio() as audio:
                    heard.append(self._sound(audio))
                case CallerHungUp() as hung_up:
                    heard.append(hung_up)
                case Started():
                    self._odd("a second start")
                case _:
                    self._odd("a message of an unknown kind")
        return heard

    def close(self) -> None:
        """End the stream; wakes whoever reads it. The call goes on. Safe from any thread, and twice."""
        self._connection.close(1000, "")

    def _sound(self, audio: CallerAudio | OtherAudio) -> Sound:
        """A chunk in its place: after the one before it, but where Twilio's clock tells of a gap."""
        ulaw = a2b_base64(audio.payload)
        at_ms = self._until_ms[type(audio)]
        if audio.at_ms is not None and audio.at_ms - at_ms >= SMALLEST_GAP_MS:
            at_ms = audio.at_ms
        self._until_ms[type(audio)] = at_ms + len(ulaw) / BYTES_PER_MS
        return Sound("caller" if isinstance(audio, CallerAudio) else "other", ulaw, at_ms)
