"""Lines that callapp speaks itself, for when there is no model to speak them.

Recordings stand beside this file, 8 kHz mu-law without a header; ``make.sh`` makes them.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def hold_line(language: str) -> bytes:
    """A moment's patience asked for in a language, else in English: base64 of mu-law."""
    file = _FOLDER / f"hold.{language.partition('-')[0].lower()}.ulaw"
    if not file.is_file():
        file = _FOLDER / "hold.en.ulaw"
    return b64encode(file.read_bytes())
