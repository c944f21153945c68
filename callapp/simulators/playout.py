"""The pretend phone's play-out clock: what of the agent's audio is heard, and when. Pure.

Audio plays in the order it came, at 8,000 bytes a second, from the moment it arrives when nothing
is playing. A mark comes back when all before it has played, ``clear`` empties the buffer and gives
the pending marks back at once
(https://www.twilio.com/docs/voice/media-streams/websocket-messages#send-websocket-messages-to-twilio).

Time comes in as data: integer nanoseconds since the stream began, never running backwards. A byte
lasts exactly 125,000 ns, so nothing here is ever rounded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from operator import attrgetter

from callapp.simulators.sound import SILENCE

BYTE_NS = 125_000


@dataclass(slots=True)
class Chunk:
    """The audio of one ``media`` message.

    ``starts_ns`` is when its first byte is played. ``kept`` counts its bytes that no ``clear``
    took away; a chunk of which nothing was heard has none.
    """

    arrived_ns: int
    starts_ns: int
    audio: bytes
    kept: int

    @property
    def ends_ns(self) -> int:
        """When its last byte has been played."""
        return self.starts_ns + self.kept * BYTE_NS

    def heard_bytes(self, at_ns: int) -> int:
        """How many of its bytes had been heard to their end at a time."""
        return min(self.kept, max(0, (at_ns - self.starts_ns) // BYTE_NS))


@dataclass(frozen=True, slots=True)
class Echo:
    """A mark that came back: asked for, due (all before it played or cleared), given back."""

    name: str
    asked_ns: int
    due_ns: int
    returned_ns: int
    cleared: bool


@dataclass(frozen=True, slots=True)
class Cleared:
    """One ``clear``: when it took effect, and how many queued bytes will never be heard."""

    at_ns: int
    dropped_bytes: int


class Playout:
    """The buffer between the socket and the ear."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.echoes: list[Echo] = []
        self.clears: list[Cleared] = []
        self._pending: deque[tuple[str, int, int]] = deque()  # name, asked_ns, due_ns
        self._free_ns = 0  # when everything queued will have been played

    def media(self, now_ns: int, audio: bytes) -> None:
        """Queue audio; it plays at once when nothing else does."""
        chunk = Chunk(now_ns, max(now_ns, self._free_ns), audio, len(audio))
        self.chunks.append(chunk)
        self._free_ns = chunk.ends_ns

    def mark(self, now_ns: int, name: str) -> None:
        """Ask for an echo once everything queued by now has been heard."""
        self._pending.append((name, now_ns, max(now_ns, self._free_ns)))

    def clear(self, now_ns: int) -> list[str]:
        """Drop what has not been heard; return all marks still out, in order."""
        names = self.due(now_ns)
        dropped = 0
        for chunk in reversed(self.chunks):
            if chunk.ends_ns <= now_ns:
                break
            heard = chunk.heard_bytes(now_ns)
            dropped += chunk.kept - heard
            chunk.kept = heard
            # What was to play later now never does; this keeps the chunks in order of time.
            chunk.starts_ns = min(chunk.starts_ns, now_ns)
        self._free_ns = min(self._free_ns, now_ns)
        self.clears.append(Cleared(now_ns, dropped))
        while self._pending:
            name, asked_ns, _ = self._pending.popleft()
            self.echoes.append(Echo(name, asked_ns, now_ns, now_ns, cleared=True))
            names.append(name)
        return names

    def due(self, now_ns: int) -> list[str]:
        """Take out the marks whose audio has been heard to its end by now, in order."""
        names = []
        while self._pending and self._pending[0][2] <= now_ns:
            name, asked_ns, due_ns = self._pending.popleft()
            self.echoes.append(Echo(name, asked_ns, due_ns, now_ns, cleared=False))
            names.append(name)
        return names

    @property
    def next_due_ns(self) -> int | None:
        """When the next mark comes back if nothing else happens; None when there is none."""
        return self._pending[0][2] if self._pending else None

    def heard_bytes(self, at_ns: int) -> int:
        """How much had been heard at a time, silence not counted."""
        return sum(chunk.heard_bytes(at_ns) for chunk in self.chunks)

    def heard(self, since_ns: int, until_ns: int) -> bytes:
        """Return what the ear got between two times: mu-law, filled with silence, whole bytes.

        Bytes lie on the grid of the stream's clock, so that they can be laid beside the other
        track. ``until_ns`` may not lie in the future: what is still to come is not known.
        """
        first, last = since_ns // BYTE_NS, until_ns // BYTE_NS
        track = bytearray(SILENCE * (last - first))
        # Chunks do not overlap: only the one before the first that starts later can reach in.
        index = max(0, bisect_right(self.chunks, since_ns, key=attrgetter("starts_ns")) - 1)
        for chunk in self.chunks[index:]:
            # To the nearest byte of the grid; chunks played in one go stay joined.
            starts = (chunk.starts_ns + BYTE_NS // 2) // BYTE_NS
            if starts >= last:
                break
            begin, end = max(starts, first), min(starts + chunk.kept, last)
            if begin < end:
                track[begin - first : end - first] = chunk.audio[begin - starts : end - starts]
        return bytes(track)

    def heard_bytes_of(self, audio: bytes, at_ns: int) -> int:
        """How much of a recording had been heard at a time, counted from its beginning.

        The recording is looked for at every message, as far as it was received: a response that
        was cut off before all of it was sent counts by what there was. Of several places the one
        with most of it counts, and the latest among equals; silence alone could be anybody's.
        """
        best_length = best_heard = 0
        for index in range(len(self.chunks)):
            matched = heard = 0
            for chunk in self.chunks[index:]:
                piece = audio[matched : matched + len(chunk.audio)]
                if not piece or not chunk.audio.startswith(piece):
                    break
                matched += len(piece)
                heard += min(len(piece), chunk.heard_bytes(at_ns))
            if matched >= best_length and audio[:matched].strip(SILENCE):
                best_length, best_heard = matched, heard
        return best_heard
