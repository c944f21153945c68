"""One WAV of a call whose recording has several parts: it went on in another process. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from shutil import copyfileobj
from typing import IO

from callapp.conversation.flow import BYTES_PER_MS
from callapp.recording.reel import HEADER_BYTES, wav_header, write_silence


def join(parts: Iterable[tuple[int, IO[bytes]]], whole: IO[bytes]) -> int:
    """Lay each part down in its place, silence where there is none; return the size in bytes.

    Args:
        parts: recordings of ours, each after the millisecond of the call at which it begins, in order.
            Where two overlap, the later one counts: the earlier one has only waited there for the caller.
    """
    length = 0  # in bytes of both sides
    for from_ms, part in parts:
        at = 2 * from_ms * BYTES_PER_MS
        whole.seek(HEADER_BYTES + length)
        write_silence(whole, at - length)
        whole.seek(HEADER_BYTES + at)
        part.seek(HEADER_BYTES)
        copyfileobj(part, whole)
        length = max(length, whole.tell() - HEADER_BYTES)
    whole.seek(0)
    whole.write(wav_header(length // 2))
    whole.seek(0)
    return HEADER_BYTES + length
