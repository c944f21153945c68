"""Where the phone sent nothing, the model hears silence; what it did send is never touched."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from itertools import count

import pytest

from callapp.telephony.gaps import Gaps
from callapp.telephony.leg import CallerLeg
from callapp.telephony.media_streams import CallerAudio

CHUNK = b64encode(b"\x55" * 160)


def chunk(at_ms: int | None) -> CallerAudio:
    return CallerAudio(CHUNK, at_ms)


def silence_ms(audio: CallerAudio | None) -> float:
    if audio is None:
        return 0
    decoded = b64decode(audio.payload, validate=True)
    assert set(decoded) <= {0xFF}
    return len(decoded) / 8


def filled(*stamps: int | None) -> list[float]:
    gaps = Gaps()
    return [silence_ms(gaps.before(chunk(stamp))) for stamp in stamps]


@pytest.mark.parametrize(
    ("stamps", "silences"),
    [
        ((25, 45, 65), [0, 0, 0]),
        ((0, 20, 420, 440), [0, 0, pytest.approx(380, abs=3), 0]),
        ((0, 20, 10_040, 10_060), [0, 0, pytest.approx(1_000, abs=3), 0]),  # a second says it all
        ((0, 20, 90, 95, 130), [0, 0, 0, 0, 0]),  # jitter
        ((5, 5, 5), [0, 0, 0]),
        ((5_000, 0, 20), [0, 0, 0]),  # a clock that begins again
        ((0, None, 5_000), [0, 0, 0]),  # a clock that is not told
    ],
)
def test_a_gap_in_the_timestamps_is_filled(stamps, silences):
    assert filled(*stamps) == silences


def test_a_phone_that_mutes_is_heard_to_be_silent_before_it_sends_again():
    gaps = Gaps()
    gaps.before(chunk(0))
    assert [silence_ms(gaps.quiet(500)) for _ in range(6)] == [0, 0, pytest.approx(1_000, abs=3), 0, 0, 0]
    assert gaps.before(chunk(1_520)) is None  # filled already
    assert silence_ms(gaps.before(chunk(2_000))) > 400


def test_audio_that_is_only_late_is_not_followed_by_more_silence():
    gaps = Gaps()
    gaps.before(chunk(0))
    assert gaps.quiet(500) is None
    assert gaps.before(chunk(20)) is None
    assert gaps.quiet(500) is None
    assert gaps.quiet(500) is None


def test_before_the_first_chunk_there_is_no_gap():
    gaps = Gaps()
    assert all(gaps.quiet(500) is None for _ in range(10))


# -- in the leg ---------------------------------------------------------------------------------


class Wire:
    """A connection that has its messages already."""

    heard_s = 0.0

    def __init__(self, *batches: list[int]) -> None:
        self._batches = [[media(stamp) for stamp in batch] for batch in batches]

    def receive(self) -> list[bytes]:
        return self._batches.pop(0)


def media(stamp: int) -> bytes:
    inner = {"track": "inbound", "chunk": "2", "timestamp": str(stamp), "payload": CHUNK.decode()}
    return json.dumps({"event": "media", "sequenceNumber": "4", "media": inner}).encode()


def test_the_leg_gives_the_silence_first_and_the_chunk_as_it_came():
    leg = CallerLeg(Wire([0], [320]))
    assert leg.receive() == [chunk(0)]
    silence, real = leg.receive()
    assert silence_ms(silence) == pytest.approx(300, abs=3)
    assert real == chunk(320)


def test_chunks_that_wait_together_have_the_silence_between_them():
    [joined] = CallerLeg(Wire([0, 20, 340, 360])).receive()
    decoded = b64decode(joined.payload)
    real = b"\x55" * 320
    assert decoded.startswith(real)
    assert decoded.endswith(real)
    assert len(decoded) / 8 == pytest.approx(380, abs=3)


def test_a_leg_that_is_quiet_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often somebody looks."""
    clock_s = count(0.25, 0.25)
    monkeypatch.setattr("callapp.telephony.leg.monotonic", lambda: next(clock_s))
    leg = CallerLeg(Wire([0], *([] for _ in range(7))))
    heard = [leg.receive() for _ in range(8)]
    silences = [silence_ms(h[0]) if h else 0 for h in heard[1:]]
    assert silences == [0, 0, 0, 0, 0, pytest.approx(1_000, abs=3), 0]
