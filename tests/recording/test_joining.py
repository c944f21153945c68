"""A recording in several parts, as one."""

from __future__ import annotations

import io

import pytest

from callapp.recording.joining import join
from callapp.recording.reel import wav_header

MS = 8


def part(caller: int, agent: int, ms: int) -> io.BytesIO:
    return io.BytesIO(wav_header(ms * MS) + bytes([caller, agent]) * (ms * MS))


@pytest.mark.parametrize(
    ("ms", "gap_ms"),
    [(1, 5), (9_000, 5), (1, 9_000)],
    ids=["short", "longer than is copied at once", "more silence than is written at once"],
)
def test_each_part_lies_where_it_belongs_with_silence_between(ms: int, gap_ms: int) -> None:
    whole = io.BytesIO()
    size = join([(0, part(1, 2, ms)), (ms + gap_ms, part(3, 4, ms))], whole)
    data = whole.getvalue()
    assert whole.tell() == 0
    assert len(data) == size
    assert data[:58] == wav_header((2 * ms + gap_ms) * MS)
    assert data[58:] == b"\1\2" * ms * MS + b"\xff\xff" * gap_ms * MS + b"\3\4" * ms * MS


def test_where_two_overlap_the_later_one_counts() -> None:
    """The earlier one has waited there for a caller who was on their way to another process."""
    whole = io.BytesIO()
    join([(0, part(1, 1, 10)), (6, part(2, 2, 2))], whole)
    assert whole.getvalue()[58::2] == b"\1" * 6 * MS + b"\2" * 2 * MS + b"\1" * 2 * MS


def test_the_first_part_may_be_missing() -> None:
    """Its process was lost with its disk."""
    whole = io.BytesIO()
    join([(4, part(1, 1, 1))], whole)
    assert whole.getvalue()[58::2] == b"\xff" * 4 * MS + b"\1" * MS
