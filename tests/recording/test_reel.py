"""Each sound in its place in time: chunks, runs and cuts, and the WAV that comes of them."""

from __future__ import annotations

import io
import struct
from base64 import b64encode

import pytest

from callapp.conversation.commands import PlayAudio
from callapp.conversation.events import Part
from callapp.conversation.flow import BYTES_PER_MS
from callapp.conversation.playback import Playback
from callapp.recording.reel import RATE_HZ, Reel
from callapp.recording.tape import Tape
from callapp.telephony.media_streams import CallerAudio

SILENT = 0xFF


class Call:
    """A tape, what writes to it, and a clock."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.playback = Playback()
        self.tape = Tape()
        self.reel = Reel(io.BytesIO(), io.BytesIO())
        self.tape.begin(self.playback, lambda: self.now_ms)

    def says(self, sound: int, ms: int, *, at_ms: int | None, late_ms: float = 0) -> None:
        """The phone sends a chunk, which comes so late."""
        self.now_ms = (at_ms or 0) + ms + late_ms
        payload = b64encode(bytes([sound]) * (ms * BYTES_PER_MS))
        self.tape.hear(CallerAudio(payload, at_ms))

    def plays(self, sound: int, ms: int, *, at_ms: float, item: str = "i") -> None:
        payload = b64encode(bytes([sound]) * (ms * BYTES_PER_MS))
        for command in self.playback.play("r", Part(item, 0), payload, at_ms):
            if isinstance(command, PlayAudio):
                self.tape.agent.append(command)

    def sides(self, until_ms: float = 0, round_trip_ms: float = 0) -> tuple[bytes, bytes]:
        """What the WAV holds: the caller's side, and the agent's."""
        self.reel.take_from(self.tape)
        file = io.BytesIO()
        self.reel.write_wav(file, until_ms, round_trip_ms)
        data = file.getvalue()[58:]
        return data[0::2], data[1::2]


@pytest.fixture
def call() -> Call:
    return Call()


def sounds(side: bytes) -> list[tuple[int, float, float]]:
    """The stretches of a side that are no silence: what, and from when to when in milliseconds."""
    found: list[tuple[int, float, float]] = []
    for position, byte in enumerate(side):
        at_ms = position / BYTES_PER_MS
        if byte == SILENT:
            continue
        if found and found[-1][0] == byte and found[-1][2] == at_ms:
            found[-1] = (byte, found[-1][1], at_ms + 1 / BYTES_PER_MS)
        else:
            found.append((byte, at_ms, at_ms + 1 / BYTES_PER_MS))
    return found


def test_the_caller_lies_where_twilios_clock_says_on_ours(call: Call) -> None:
    """Chunks come with jitter: the promptest tells how the clocks lie to each other."""
    for number, late_ms in enumerate((25.0, 7.0, 40.0)):
        call.says(0x20 + number, 20, at_ms=number * 20, late_ms=late_ms)
    assert sounds(call.sides()[0]) == [(0x20, 7, 27), (0x21, 27, 47), (0x22, 47, 67)]


def test_where_the_phone_sent_nothing_is_silence(call: Call) -> None:
    call.says(0x20, 20, at_ms=0)
    call.says(0x21, 20, at_ms=3_000)
    assert sounds(call.sides()[0]) == [(0x20, 0, 20), (0x21, 3_000, 3_020)]


def test_chunks_without_a_time_follow_those_before(call: Call) -> None:
    call.says(0x20, 20, at_ms=0)
    call.says(0x21, 40, at_ms=None)
    assert sounds(call.sides()[0]) == [(0x20, 0, 20), (0x21, 20, 60)]


def test_the_next_stream_counts_from_its_own_beginning(call: Call) -> None:
    call.says(0x20, 20, at_ms=0)
    call.tape.begin(call.playback, lambda: call.now_ms)
    call.says(0x21, 20, at_ms=0, late_ms=5_000)
    assert sounds(call.sides()[0]) == [(0x20, 0, 20), (0x21, 5_000, 5_020)]


def test_the_agent_lies_where_it_was_heard_not_where_it_was_sent(call: Call) -> None:
    call.plays(0x30, 100, at_ms=1_000)
    call.plays(0x31, 100, at_ms=1_001)  # waits in the phone
    call.plays(0x32, 100, at_ms=2_000)
    assert sounds(call.sides(3_000)[1]) == [
        (0x30, 1_000, 1_100),
        (0x31, 1_100, 1_200),
        (0x32, 2_000, 2_100),
    ]


def test_what_was_cleared_was_not_heard(call: Call) -> None:
    call.plays(0x30, 500, at_ms=1_000)
    call.plays(0x31, 500, at_ms=1_010, item="j")
    call.playback.cut(1_200)
    call.plays(0x32, 100, at_ms=1_300, item="k")
    (first, _, heard_ms), answer = sounds(call.sides(3_000)[1])
    assert first == 0x30
    assert heard_ms == pytest.approx(1_200, abs=1)
    assert answer == (0x32, 1_300, 1_400)


def test_a_tape_may_be_emptied_at_any_time(call: Call) -> None:
    """The recorder comes once a second, whatever goes on."""
    call.plays(0x30, 500, at_ms=1_000)
    call.says(0x20, 20, at_ms=0)
    call.reel.take_from(call.tape)
    assert call.tape.caller == call.tape.agent == []
    call.playback.cut(1_200)
    call.reel.take_from(call.tape)
    call.plays(0x31, 100, at_ms=1_250, item="j")
    caller, agent = call.sides(2_000)
    assert sounds(caller) == [(0x20, 0, 20)]
    assert sounds(agent)[-1] == (0x31, 1_250, 1_350)
    assert sounds(agent)[0][2] == pytest.approx(1_200, abs=1)


def test_the_agent_is_a_round_trip_later_than_it_was_sent(call: Call) -> None:
    """The phone hears it after a trip there, and we hear what the caller said then after a trip back."""
    call.plays(0x30, 100, at_ms=1_000)
    assert sounds(call.sides(3_000, round_trip_ms=80)[1]) == [(0x30, 1_080, 1_180)]


def test_the_wav_is_stereo_mu_law(call: Call) -> None:
    call.says(0x20, 20, at_ms=0)
    call.reel.take_from(call.tape)
    file = io.BytesIO()
    assert call.reel.write_wav(file, 100, 0) == 0.1
    wav = file.getvalue()
    assert struct.unpack("<4sI4s4sIHHIIHHH", wav[:38]) == (
        b"RIFF",
        len(wav) - 8,
        b"WAVE",
        b"fmt ",
        18,
        7,
        2,
        RATE_HZ,
        2 * RATE_HZ,
        2,
        8,
        0,
    )
    assert struct.unpack("<4sII4sI", wav[38:58]) == (b"fact", 4, 800, b"data", 1_600)
    assert len(wav) == 58 + 1_600
