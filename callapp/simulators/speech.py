"""A library of recordings that the pretend model speaks from and recognises by their bytes.

It cannot understand speech, but it need not guess: audio that passed through the call unchanged
still holds the recording's own bytes, so finding runs of them is proof of what was heard. Speech
that is not in the library is reported as just that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from callapp.simulators.clips import Clip, load_clips
from callapp.simulators.ulaw import BYTES_PER_MS, babble, level_dbfs, tone

_RUN_BYTES = 80
_RUNS = 24
_VARIETY = 8
"""A run must hold this many different bytes: silence and hum occur in every recording."""
_WHOLE = 0.8
"""A recording of which this share was heard counts as heard to its ends."""
_SILENT_DBFS = -50


def tone_clip(name: str, text: str, hz: float, duration_ms: int) -> Clip:
    """A synthetic recording: one tone. Different pitches are told apart."""
    return Clip(name=name, audio=tone(hz, duration_ms), text=text, language="en")


def babble_clip(name: str, text: str, duration_ms: int) -> Clip:
    """A synthetic recording that sounds like syllables. Different texts are told apart."""
    return Clip(name=name, audio=babble(text, duration_ms), text=text, language="en")


@dataclass(frozen=True)
class Heard:
    """A recording that was heard: from which byte on, and the words of it that were."""

    clip: Clip
    at: int
    text: str


class Speech:
    """Recordings by name."""

    def __init__(self, clips: Iterable[Clip] = ()) -> None:
        self._clips: dict[str, Clip] = {clip.name: clip for clip in clips}

    @classmethod
    def bundled(cls) -> Speech:
        """The recordings that come with callapp."""
        return cls(load_clips().values())

    def get(self, name: str) -> Clip | None:
        """The recording of this name, if there is one."""
        return self._clips.get(name)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self._clips.values())

    def recognise(self, heard: bytes) -> list[Heard]:
        """The recordings that were heard, in the order they were spoken."""
        found = [part for clip in self if (part := _heard_of(clip, heard)) is not None]
        return sorted(found, key=lambda part: part.at)


def words_of(heard: Sequence[Heard], audio: bytes) -> str:
    """What was said; speech in which nothing was heard is given as its length, silence as nothing."""
    if heard:
        return " ".join(part.text for part in heard)
    if level_dbfs(audio) < _SILENT_DBFS:
        return ""
    return f"(speech, {len(audio) / BYTES_PER_MS / 1000:.1f} s)"


def _heard_of(clip: Clip, heard: bytes) -> Heard | None:
    """What of a recording is in ``heard``; ``None`` if less than a quarter of it is."""
    runs = _telling_runs(clip.audio)
    places = {index: place for index, run in enumerate(runs) if (place := heard.find(run)) >= 0}
    if not places or len(places) * 4 < len(runs):
        return None
    at = min(places.values())
    if len(places) >= _WHOLE * len(runs):
        return Heard(clip, at, clip.text)
    return Heard(clip, at, _part(clip.text, min(places) / len(runs), (max(places) + 1) / len(runs)))


def _part(text: str, start: float, end: float) -> str:
    """About the words between two shares of a recording, taking them to be spoken evenly."""
    gap = " " if " " in text else ""
    words = text.split(gap) if gap else list(text)
    first, last = int(len(words) * start), -int(-len(words) * end // 1)
    return ("… " if first else "") + gap.join(words[first:last]) + (" …" if last < len(words) else "")


@lru_cache(maxsize=256)
def _telling_runs(audio: bytes) -> tuple[bytes, ...]:
    """Some runs of bytes, spread over a recording, by which it can be told from others."""
    step = max(_RUN_BYTES, len(audio) // _RUNS)
    runs = (audio[at : at + _RUN_BYTES] for at in range(0, len(audio) - _RUN_BYTES + 1, step))
    return tuple(run for run in runs if len(set(run)) >= _VARIETY)
