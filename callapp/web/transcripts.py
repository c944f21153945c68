"""A call's transcript as text: for people, and for players of recordings (WebVTT).

https://www.w3.org/TR/webvtt1/
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from callapp.call_log.documents import Utterance

CUT = "—"
UNKNOWN = "(not transcribed)"


def as_text(utterances: Sequence[Utterance]) -> str:
    """One line an utterance: when, who, what."""
    return "".join(f"[{_clock(one.start_ms)}] {one.role:<6} {_words(one)}\n" for one in utterances)


def as_vtt(utterances: Sequence[Utterance]) -> str:
    """WebVTT, a cue an utterance, its speaker as its voice."""
    cues = [
        f"{_timestamp(one.start_ms)} --> {_timestamp(max(one.end_ms, one.start_ms + 1))}\n"
        f"<v {one.role}>{escape(_words(one), quote=False)}\n"
        for one in utterances
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _words(one: Utterance) -> str:
    if one.text is None:
        return UNKNOWN
    words = " ".join(one.text.split())  # a line of its own would begin another cue
    return words + CUT if one.interrupted else words


def _clock(ms: int) -> str:
    minutes, ms = divmod(ms, 60_000)
    return f"{minutes}:{ms // 1000:02}.{ms % 1000 // 100}"


def _timestamp(ms: int) -> str:
    hours, ms = divmod(ms, 3_600_000)
    minutes, ms = divmod(ms, 60_000)
    return f"{hours:02}:{minutes:02}:{ms // 1000:02}.{ms % 1000:03}"
