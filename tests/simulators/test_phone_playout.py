"""The play-out clock against a naive one that plays byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from callapp.simulators.playout import BYTE_NS, Playout

MS = 1_000_000


@dataclass
class NaivePlayout:
    """The rules of the documentation, one byte at a time."""

    queue: list[int | tuple[str, int]] = field(default_factory=list)  # a byte, or a mark and when
    cursor: int = 0
    heard: list[tuple[int, int]] = field(default_factory=list)
    echoes: list[tuple[str, int, bool]] = field(default_factory=list)

    def advance(self, now: int) -> None:
        while self.queue:
            head = self.queue[0]
            if isinstance(head, tuple):
                self.echoes.append((head[0], max(self.cursor, head[1]), False))
            elif self.cursor + BYTE_NS <= now:
                self.heard.append((self.cursor, head))
                self.cursor += BYTE_NS
            else:
                return
            self.queue.pop(0)

    def media(self, now: int, audio: bytes) -> None:
        self.advance(now)
        if not self.queue:
            self.cursor = max(self.cursor, now)
        self.queue += audio

    def mark(self, now: int, name: str) -> None:
        self.advance(now)
        self.queue.append((name, now))
        self.advance(now)

    def clear(self, now: int) -> None:
        self.advance(now)
        self.echoes += [(item[0], now, True) for item in self.queue if isinstance(item, tuple)]
        self.queue.clear()
        self.cursor = min(self.cursor, now)


OPERATIONS = st.lists(
    st.tuples(
        st.integers(0, 5 * MS) | st.integers(0, 40).map(lambda count: count * BYTE_NS),
        st.binary(max_size=40) | st.sampled_from(["mark", "clear", "due"]),
    ),
    max_size=40,
)


def play(operations: list[tuple[int, bytes | str]]) -> tuple[Playout, NaivePlayout, int]:
    playout, naive, now = Playout(), NaivePlayout(), 0
    for number, (pause, what) in enumerate(operations):
        now += pause
        if isinstance(what, bytes):
            playout.media(now, what)
            naive.media(now, what)
        elif what == "mark":
            playout.mark(now, f"m{number}")
            naive.mark(now, f"m{number}")
        elif what == "clear":
            playout.clear(now)
            naive.clear(now)
        else:
            playout.due(now)
    return playout, naive, now


@given(OPERATIONS)
def test_it_plays_and_echoes_what_a_byte_by_byte_clock_does(operations) -> None:
    playout, naive, now = play(operations)
    end = now + 10_000 * BYTE_NS
    playout.due(end)
    naive.advance(end)
    heard = [
        (chunk.starts_ns + index * BYTE_NS, chunk.audio[index])
        for chunk in playout.chunks
        for index in range(chunk.kept)
    ]
    assert heard == naive.heard
    assert [(echo.name, echo.due_ns, echo.cleared) for echo in playout.echoes] == naive.echoes


@given(OPERATIONS, st.integers(0, 60 * MS))
def test_what_was_heard_by_a_time_is_what_a_byte_by_byte_clock_had_played(operations, after) -> None:
    playout, naive, now = play(operations)
    naive.advance(now + after)
    assert playout.heard_bytes(now + after) == len(naive.heard)


@given(OPERATIONS, st.integers(1, 30))
def test_listening_piece_by_piece_gives_the_same_track_as_all_at_once(operations, step) -> None:
    playout, naive, now = play(operations)
    last = now // BYTE_NS + 2000
    naive.advance(last * BYTE_NS)
    track = bytearray(b"\xff" * last)
    for starts, byte in naive.heard:
        track[(starts + BYTE_NS // 2) // BYTE_NS] = byte
    assert playout.heard(0, last * BYTE_NS) == track
    bounds = [*range(0, last, step), last]
    pieces = [playout.heard(since * BYTE_NS, until * BYTE_NS) for since, until in pairwise(bounds)]
    assert b"".join(pieces) == track


def test_a_mark_comes_back_when_all_before_it_has_played() -> None:
    playout = Playout()
    playout.media(5 * MS, bytes(800))
    playout.mark(6 * MS, "end")
    assert playout.next_due_ns == 105 * MS
    assert playout.due(105 * MS - 1) == []
    assert playout.due(105 * MS) == ["end"]
    assert playout.next_due_ns is None


def test_a_mark_comes_back_at_once_when_nothing_is_queued() -> None:
    playout = Playout()
    playout.mark(7 * MS, "now")
    assert playout.due(7 * MS) == ["now"]


def test_clear_returns_marks_in_order_those_that_were_played_first() -> None:
    playout = Playout()
    playout.media(0, bytes(80))
    playout.mark(0, "played")
    playout.media(0, bytes(800))
    playout.mark(0, "cut")
    assert playout.clear(20 * MS) == ["played", "cut"]
    assert [(echo.name, echo.cleared) for echo in playout.echoes] == [("played", False), ("cut", True)]
    assert playout.clears[0].dropped_bytes == 720


def test_audio_after_a_clear_plays_at_once() -> None:
    playout = Playout()
    playout.media(0, b"a" * 8000)
    playout.clear(100 * MS)
    playout.media(150 * MS, b"b" * 80)
    assert playout.heard(90 * MS, 170 * MS) == b"a" * 80 + b"\xff" * 400 + b"b" * 80 + b"\xff" * 80


def test_how_much_of_a_recording_was_heard_counts_from_its_beginning() -> None:
    first, second = bytes(range(200)) * 4, bytes(reversed(range(200))) * 8
    playout = Playout()
    playout.media(0, first)
    for at in range(0, 1200, 160):  # the rest of it was never sent
        playout.media(0, second[at : at + 160])
    playout.clear(150 * MS)
    assert playout.heard_bytes_of(first, 50 * MS) == 400
    assert playout.heard_bytes_of(first, 150 * MS) == 800
    assert playout.heard_bytes_of(second, 150 * MS) == 400
    assert playout.heard_bytes_of(second, 900 * MS) == 400
    assert playout.heard_bytes_of(b"never sent" * 20, 900 * MS) == 0
