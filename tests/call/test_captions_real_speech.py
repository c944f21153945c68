"""What is taken for speech, tried on recordings of people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from callapp.audio.g711 import Samples, decode, encode
from callapp.audio.levels import speech_dbfs
from callapp.conversation.dictation import Command, Dictation, EndPiece, SendSpeech
from callapp.simulators.ulaw import silence

RECORDINGS = sorted((Path(__file__).parents[3] / "shared" / "data" / "speech").glob("*.ulaw"))
# Of the energy of what is said, so much has to be sent; the rest is a breath before or after it.
MOST_OF_IT = 0.97
pytestmark = pytest.mark.skipif(not RECORDINGS, reason="there are no recordings of people here")


def line(recording: Path, noise_dbfs: float | None) -> tuple[Samples, Samples]:
    """A recording on a line, with what is heard of it, and without the line's noise."""
    voice = decode(silence(1000) + recording.read_bytes() + silence(1500))
    if noise_dbfs is None:
        return voice, voice
    noise = np.random.default_rng(7).normal(0, 32_768 * 10 ** (noise_dbfs / 20), len(voice))
    return np.clip(voice + noise, -32_768, 32_767).astype(np.int16), voice


@pytest.mark.parametrize("noise_dbfs", [None, -55.0, -45.0, -38.0])
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_nothing_that_is_said_is_left_out_and_silence_is(recording: Path, noise_dbfs: float | None) -> None:
    """On a quiet line as on a noisy one; a word that is not sent is written down by nobody."""
    heard, voice = line(recording, noise_dbfs)
    ulaw = encode(heard)
    dictation = Dictation("caller")
    dictation.session_ready(0)
    commands: list[Command] = []
    for at in range(0, len(ulaw) - 159, 160):
        frame = ulaw[at : at + 160]
        commands += dictation.hear(frame, speech_dbfs(frame), at / 8, at / 8)
    pieces = [b""]
    for command in commands:
        if isinstance(command, SendSpeech):
            pieces[-1] += command.ulaw
        elif isinstance(command, EndPiece):
            pieces.append(b"")
    assert pieces.pop() == b""
    assert 1 <= len(pieces) <= 3
    energy = voice.astype(np.float64) ** 2
    places = [(start := ulaw.index(piece), start + len(piece)) for piece in pieces]
    assert sum(energy[start:end].sum() for start, end in places) >= MOST_OF_IT * energy.sum()
    assert sum(map(len, pieces)) <= recording.stat().st_size + 8 * 1000
