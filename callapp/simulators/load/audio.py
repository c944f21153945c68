"""The audio of the load: recorded speech, a number in each chunk to know it by, frames built once.

The first 12 bytes of a chunk, 1.5 ms, are its number: as base64 they are 16 characters that can be found in
any message, whatever else is in it: ``callapp+``, four for the chunk, four for the call or the response.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache

from callapp.simulators.clips import clip, load_clips
from callapp.simulators.load.wire import head, mask
from callapp.simulators.ulaw import BYTES_PER_MS, silence

CHUNK_MS = 20
CHUNK_BYTES = CHUNK_MS * BYTES_PER_MS
MAGIC = b"callapp+"
MAGIC_BYTES = 6
NUMBERED_BYTES = 12
# How many numbers there are; chunks 20 ms long, that is eleven minutes.
COUNT = 1 << 15

CODES: list[bytes] = [b64encode(number.to_bytes(3, "big")) for number in range(COUNT)]
"""A number as four characters of base64."""
NUMBERS: dict[bytes, int] = {code: number for number, code in enumerate(CODES)}

OWN_EVERY = 50
"""Every so many chunks, one carries its call's number."""

_GAP_MS = 800


class CallerSpeech:
    """What all callers say: the n-th ``media`` message of a call, masked, up to the call's own part."""

    def __init__(self) -> None:
        gap = silence(_GAP_MS)
        audio = b"".join(clip.audio + gap for clip in load_clips().values() if clip.speaker == "caller")
        self._chunks = [
            b64encode(audio[at : at + CHUNK_BYTES])
            for at in range(0, len(audio) - CHUNK_BYTES + 1, CHUNK_BYTES)
        ]
        self._shared: dict[int, tuple[bytes, int]] = {}

    @staticmethod
    def tails(stream_sid: str) -> tuple[bytes, ...]:
        """What ends each ``media`` message of a call, masked for each of the four places it can be at."""
        tail = _tail(stream_sid)
        return tuple(mask(tail, at) for at in range(4))

    def shared(self, number: int, tail_bytes: int) -> tuple[bytes, int]:
        """Return a chunk's frame without its tail, and which of the four tails completes it."""
        frame = self._shared.get(number)
        if frame is None:
            body = self._body(number, b"")
            frame = head(len(body) + tail_bytes, masked=True) + mask(body), len(body) & 3
            self._shared[number] = frame
        return frame

    def own(self, number: int, call: int, stream_sid: str) -> bytes:
        """Return the whole frame of a chunk that carries its call's number."""
        payload = self._body(number, CODES[call % COUNT]) + _tail(stream_sid)
        return head(len(payload), masked=True) + mask(payload)

    def _body(self, number: int, mark: bytes) -> bytes:
        chunk = self._chunks[number % len(self._chunks)]
        numbered = MAGIC + CODES[number % COUNT] + mark
        # Of Twilio's counters all but the chunk's are taken as if nothing but media had been sent.
        return (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d",'
            b'"timestamp":"%d","payload":"%b%b'
            % (number + 1, number, (number - 1) * CHUNK_MS, numbered, chunk[len(numbered) :])
        )


def _tail(stream_sid: str) -> bytes:
    return b'"},"streamSid":"%b"}' % stream_sid.encode()


class AgentVoice:
    """What the model says, cut into deltas: the base64 of each, without the characters of its number."""

    def __init__(self, delta_ms: int) -> None:
        self.delta_ms = delta_ms
        self.delta_bytes = delta_ms * BYTES_PER_MS

    @cache  # noqa: B019  one voice a run
    def deltas(self, name: str) -> list[bytes]:
        """Return a clip's deltas; what is left at its end is left out."""
        audio = clip(name).audio
        size = self.delta_bytes
        return [
            b64encode(audio[at : at + size])[NUMBERED_BYTES // 3 * 4 :]
            for at in range(0, len(audio) - size + 1, size)
        ]

    def duration_s(self, name: str) -> float:
        """How long it takes to hear a clip's deltas."""
        return len(self.deltas(name)) * self.delta_ms / 1000


def payload_bytes(payload_chars: int, end: bytes) -> int:
    """How many bytes so many characters of base64 are; ``end`` is the last two of them."""
    return payload_chars // 4 * 3 - end.count(b"=")
