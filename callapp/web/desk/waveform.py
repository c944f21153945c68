"""The wave form of a recording: how loud each side was, from its mu-law, as SVG."""

from __future__ import annotations

from typing import IO

from markupsafe import Markup

COLUMNS = 600
_HALF = 30  # the height of one side, above and below its middle
_HEADER_BYTES = 58
_MULAW = b"\x07\x00"  # WAVE_FORMAT_MULAW
_FRAME_BYTES = 2  # the caller's byte, the agent's byte
# A peak is as well seen among every fourth sample: a long call is drawn in a tenth of a second.
_STRIDE = 4 * _FRAME_BYTES


def _loudness(code: int) -> int:
    """The size of a mu-law sample, from 0 to 255."""
    code = ~code & 0xFF
    return min(255, ((((code & 0x0F) << 3) + 132) << ((code >> 4) & 7)) - 132 >> 7)


_LOUDNESS = bytes(_loudness(code) for code in range(256))


def peaks(wav: IO[bytes], size: int) -> tuple[list[int], list[int]]:
    """How loud the caller and the agent were at most in each column, from 0 to 255.

    Args:
        wav: a recording of ours: stereo mu-law. Of any other format, as Twilio's, nothing is drawn.
        size: of the file, in bytes.
    """
    if wav.read(_HEADER_BYTES)[20:22] != _MULAW:
        return [], []
    frames = (size - _HEADER_BYTES) // _FRAME_BYTES
    caller: list[int] = []
    agent: list[int] = []
    wav.seek(_HEADER_BYTES)
    for column in range(min(COLUMNS, frames)):
        first, last = (frames * at // min(COLUMNS, frames) for at in (column, column + 1))
        piece = wav.read((last - first) * _FRAME_BYTES).translate(_LOUDNESS)
        caller.append(max(piece[0::_STRIDE], default=0))
        agent.append(max(piece[1::_STRIDE], default=0))
    return caller, agent


def draw(caller: list[int], agent: list[int]) -> Markup:
    """Both sides, the caller above the agent, and a line for where the listener is."""
    width = max(1, len(caller))
    sides = "".join(
        f'<path class="{name}" d="{_strokes(levels, middle)}"/>'
        for name, levels, middle in (("caller", caller, _HALF), ("agent", agent, 3 * _HALF))
    )
    return Markup(  # noqa: S704 - numbers and words of ours
        f'<svg class="wave" viewBox="0 0 {width} {4 * _HALF}" preserveAspectRatio="none" aria-hidden="true">'
        f'{sides}<line id="playhead" x1="0" x2="0" y1="0" y2="{4 * _HALF}"/></svg>'
    )


def _strokes(levels: list[int], middle: int) -> str:
    halves = (max(0.5, _HALF * level / 255) for level in levels)
    return "".join(f"M{n}.5 {middle - half:.1f}V{middle + half:.1f}" for n, half in enumerate(halves))
