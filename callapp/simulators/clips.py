"""The recorded speech that comes with callapp: what the callee and the model say in the demo."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from callapp.simulators.ulaw import BYTES_PER_MS

SPEECH_DIR = Path(__file__).parent / "speech"


@dataclass(frozen=True)
class Clip:
    """A recording: G.711 mu-law, 8 kHz, mono, and the words in it as people would read them."""

    name: str
    audio: bytes
    text: str = ""
    speaker: str = "caller"
    language: str = "ja"

    def __repr__(self) -> str:
        return f"Clip({self.name!r}, {self.duration_ms} ms)"

    @property
    def duration_ms(self) -> int:
        """How long it is, with the silence around it."""
        return len(self.audio) // BYTES_PER_MS


@cache
def load_clips() -> dict[str, Clip]:
    """Read every clip of ``speech/index.json``, by name."""
    index = json.loads((SPEECH_DIR / "index.json").read_text(encoding="utf-8"))
    return {
        name: Clip(
            name=name,
            audio=(SPEECH_DIR / entry["file"]).read_bytes(),
            text=entry["text"],
            speaker=entry["speaker"],
            language=entry["language"],
        )
        for name, entry in index["clips"].items()
    }


def clip(name: str) -> Clip:
    """Return the clip of that name.

    Raises:
        KeyError: there is none.
    """
    return load_clips()[name]
