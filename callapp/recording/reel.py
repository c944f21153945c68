"""Both sides of a call, each sound in its place in time. No thread in here; two files.

Time is the call's clock, as it runs here. The caller's chunks say where in Twilio's stream they belong;
how the stream lies on our clock is told by the chunk that came with the least delay. The agent's audio
lies where the playback says that the phone played it, and ends where it was cut. The phone plays what
we send, and we hear what it heard meanwhile, a round trip apart: by so much the agent is put later.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterable
from os import SEEK_END
from typing import IO

from callapp.conversation.commands import PlayAudio
from callapp.conversation.flow import BYTES_PER_MS
from callapp.conversation.playback import CutOff, Run, Span
from callapp.recording.tape import Anchor, StreamBegan, Taken, Tape
from callapp.telephony.media_streams import CallerAudio

SILENCE = b"\xff"
RATE_HZ = 8000
PIECE_BYTES = 1 << 16
MULAW_FORMAT = 7
HEADER_BYTES = 58


class Track:
    """One side: mu-law from the call's beginning on, silence where nothing was.

    Args:
        file: what it is kept in, with what was laid down before.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.length = file.seek(0, SEEK_END)

    def put(self, at: int, audio: bytes) -> None:
        """Lay audio down at a place; what is there already gives way."""
        if at < 0:
            audio, at = audio[-at:], 0
        if at > self.length:
            self._file.seek(self.length)
            write_silence(self._file, at - self.length)
        self._file.seek(at)
        self._file.write(audio)
        self.length = max(self.length, at + len(audio))

    def cut(self, at: int) -> None:
        """Let nothing be heard from here on."""
        if 0 <= at < self.length:
            self._file.truncate(at)
            self.length = at

    def read(self, at: int, size: int) -> bytes:
        """A stretch of it, with silence before its beginning and after its end."""
        before = min(size, max(0, -at))
        self._file.seek(max(0, at))
        found = self._file.read(size - before)
        return (SILENCE * before + found).ljust(size, SILENCE)


class Reel:
    """A recording in the making, in a file for each side."""

    def __init__(self, caller: IO[bytes], agent: IO[bytes]) -> None:
        self.caller, self.agent = Track(caller), Track(agent)
        self._late_ms: float | None = None  # how late the stream's audio comes, at least
        self._position = 0  # how much of the agent's audio was laid down, of all that was sent
        self._spans_used = 0
        self._run: Run | None = None

    def take_from(self, tape: Tape) -> None:
        """Lay down what has been added to a tape, and take it from there."""
        caller, agent = tape.caller[:], tape.agent[:]
        del tape.caller[: len(caller)]
        del tape.agent[: len(agent)]
        self._lay_caller(caller)
        self._lay_agent(agent, tape.spans)

    # -- the caller -----------------------------------------------------------------------------

    def _lay_caller(self, taken: list[Taken]) -> None:
        for position, one in enumerate(taken):
            if isinstance(one, StreamBegan):
                self._late_ms = _least_delay(taken[position + 1 :])
                continue
            audio = one.audio if isinstance(one, Anchor) else one
            if self._late_ms is None:
                self._late_ms = _least_delay(taken[position:])
            at = self.caller.length
            if audio.at_ms is not None and self._late_ms is not None:
                at = round((audio.at_ms + self._late_ms) * BYTES_PER_MS)
            self.caller.put(at, binascii.a2b_base64(audio.payload))

    # -- the agent ------------------------------------------------------------------------------

    def _lay_agent(self, played: Iterable[PlayAudio], spans: Iterable[Span]) -> None:
        ahead = list(spans)[self._spans_used :]
        for command in played:
            self._follow(ahead)
            audio = binascii.a2b_base64(command.payload)
            self.agent.put(self._place(self._position), audio)
            self._position += len(audio)
        self._follow(ahead)

    def _follow(self, ahead: list[Span]) -> None:
        """Take the spans that begin, or end, where we are."""
        while ahead:
            span = ahead[0]
            if (span.sent if isinstance(span, CutOff) else span.position) > self._position:
                break
            ahead.pop(0)
            self._spans_used += 1
            if isinstance(span, Run):
                self._run = span
            else:
                self.agent.cut(self._place(span.heard))

    def _place(self, position: int) -> int:
        if self._run is None:
            return self.agent.length
        return round(self._run.at_ms * BYTES_PER_MS) + position - self._run.position

    # -- the end --------------------------------------------------------------------------------

    def write_wav(self, file: IO[bytes], until_ms: float, round_trip_ms: float) -> float:
        """Write both sides, the caller left; return how many seconds they are."""
        shift = round(round_trip_ms * BYTES_PER_MS)
        length = max(self.caller.length, round(until_ms * BYTES_PER_MS))
        file.write(wav_header(length))
        for at in range(0, length, PIECE_BYTES):
            size = min(PIECE_BYTES, length - at)
            both = bytearray(2 * size)
            both[0::2] = self.caller.read(at, size)
            both[1::2] = self.agent.read(at - shift, size)
            file.write(both)
        return length / RATE_HZ


def _least_delay(taken: Iterable[Taken]) -> float | None:
    """How late the first stream in this brings its audio, judged by its promptest chunk."""
    delays = []
    for one in taken:
        if isinstance(one, StreamBegan):
            break
        if isinstance(one, Anchor) and one.audio.at_ms is not None:
            delays.append(one.came_ms - one.audio.at_ms - _length_ms(one.audio))
    return min(delays, default=None)


def _length_ms(audio: CallerAudio) -> float:
    return len(binascii.a2b_base64(audio.payload)) / BYTES_PER_MS


def write_silence(file: IO[bytes], size_bytes: int) -> None:
    """Write so much silence, if any; a long one in pieces."""
    for at in range(0, size_bytes, PIECE_BYTES):
        file.write(SILENCE * min(PIECE_BYTES, size_bytes - at))


def wav_header(length: int) -> bytes:
    """The head of a stereo mu-law WAV of so many bytes a side (RIFF; WAVE_FORMAT_MULAW)."""
    data_bytes = 2 * length
    return b"".join(
        (
            struct.pack("<4sI4s", b"RIFF", 4 + 26 + 12 + 8 + data_bytes, b"WAVE"),
            struct.pack("<4sIHHIIHHH", b"fmt ", 18, MULAW_FORMAT, 2, RATE_HZ, 2 * RATE_HZ, 2, 8, 0),
            struct.pack("<4sII", b"fact", 4, length),
            struct.pack("<4sI", b"data", data_bytes),
        )
    )
