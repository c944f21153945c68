"""An answer over HTTP that has an end. httpx limits the time from one piece to the next, and no size."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import httpx2


class Bounded(httpx2.SyncByteStream):
    """A body that fails once it takes too long as a whole, or is too large.

    Args:
        within_s: from its first byte on.
    """

    def __init__(self, body: httpx2.SyncByteStream, within_s: float, most_bytes: int) -> None:
        self._body = body
        self._within_s = within_s
        self._most_bytes = most_bytes

    def __iter__(self) -> Iterator[bytes]:
        until_s, size = monotonic() + self._within_s, 0
        for piece in self._body:
            size += len(piece)
            if size > self._most_bytes:
                raise httpx2.ReadError(f"the answer is longer than {self._most_bytes} bytes")
            if monotonic() > until_s:
                raise httpx2.ReadTimeout(f"the answer takes longer than {self._within_s:g} s")
            yield piece

    def close(self) -> None:
        """Close what is behind it."""
        self._body.close()
