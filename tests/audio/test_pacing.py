"""What a phone is sent of a sound that comes unevenly."""

from __future__ import annotations

import numpy as np

from callapp.audio.g711 import SILENCE, encode
from callapp.audio.pacing import CUSHION_MS, MOST_AHEAD_MS, Pacing
from callapp.simulators.ulaw import tone

CHUNK = tone(300, 20)
QUIET = SILENCE * 160


def gaps_ms(arrivals_ms: list[float]) -> float:
    """How long a phone that is sent a chunk at these times has nothing to play after the first one."""
    pacing, played_at_ms, gaps = Pacing(), arrivals_ms[0], 0.0
    for now_ms in arrivals_ms:
        gaps += max(0.0, now_ms - played_at_ms)
        played_at_ms = max(played_at_ms, now_ms) + len(pacing.next(CHUNK, now_ms)) / 8
    return gaps


def test_a_phone_is_kept_a_little_ahead() -> None:
    pacing = Pacing()
    assert pacing.next(CHUNK, 1000) == SILENCE * 8 * CUSHION_MS + CHUNK
    assert pacing.next(CHUNK, 1020) == CHUNK
    assert pacing.unheard_ms(1020) == CUSHION_MS + 20


def test_chunks_that_come_late_leave_no_gap() -> None:
    """Without a cushion each of them would be heard as a click."""
    late = [20.0 * number + (45 if number % 3 == 0 else 0) for number in range(1, 200)]
    assert gaps_ms(sorted(late)) == 0


def test_after_a_real_gap_there_is_a_cushion_again() -> None:
    pacing = Pacing()
    pacing.next(CHUNK, 0)
    assert pacing.next(CHUNK, 500) == SILENCE * 8 * CUSHION_MS + CHUNK


def test_what_came_at_once_is_made_up_for_in_the_pauses() -> None:
    """A second that was held up on the way must not stay a second for the rest of the call."""
    pacing = Pacing()
    for _ in range(50):
        assert pacing.next(CHUNK, 0)  # no word of it is lost
    assert pacing.unheard_ms(0) == 1000 + CUSHION_MS
    sent = [pacing.next(QUIET, 20.0 * number) for number in range(100)]
    assert b"" in sent
    assert pacing.unheard_ms(2000) <= MOST_AHEAD_MS + 20


def test_soft_noise_is_a_pause() -> None:
    hiss = encode(np.random.default_rng(0).integers(-100, 100, 160).astype(np.int16))
    pacing = Pacing()
    pacing.next(CHUNK * 50, 0)
    assert pacing.next(hiss, 1) == b""
