"""What a call leaves behind for its recording: lists to which its threads append, and nothing else.

The call's threads append objects that are there anyway; the recorder takes them away. A list's ``append``
and the deletion of its beginning are each one step for Python, so neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from callapp.conversation.commands import PlayAudio
from callapp.conversation.playback import Playback, Span
from callapp.telephony.media_streams import CallerAudio

# So many chunks at the beginning of a stream tell how late the phone's audio comes: a second of them.
ANCHORS = 50


class StreamBegan(NamedTuple):
    """A stream brings the caller: its timestamps count from 0."""


class Anchor(NamedTuple):
    """A chunk, and when it came by the call's clock."""

    audio: CallerAudio
    came_ms: float


Taken = CallerAudio | Anchor | StreamBegan


class Tape:
    """One call's."""

    def __init__(self) -> None:
        self.caller: list[Taken] = []
        self.agent: list[PlayAudio] = []
        self._playback: Playback | None = None
        self._now_ms: Callable[[], float] = lambda: 0.0
        self._anchors = 0

    def begin(self, playback: Playback, now_ms: Callable[[], float]) -> None:
        """A stream begins, the call's first or the next one."""
        self._playback, self._now_ms = playback, now_ms
        self.caller.append(StreamBegan())
        self._anchors = ANCHORS

    @property
    def spans(self) -> Sequence[Span]:
        """Where in time the agent's audio was heard."""
        return self._playback.spans if self._playback is not None else ()

    @property
    def round_trip_ms(self) -> float:
        """How much later than we send the phone plays, and the phone's audio of that moment comes."""
        return self._playback.round_trip_ms if self._playback is not None else 0.0

    def hear(self, audio: CallerAudio) -> None:
        """Keep a chunk of the caller's. Called by the uplink alone."""
        if self._anchors:
            self._anchors -= 1
            self.caller.append(Anchor(audio, self._now_ms()))
        else:
            self.caller.append(audio)
