"""The socket of a session with OpenAI, of whatever kind: how it is watched, ended and given back.

Dialled and received by one thread; any may send.
"""

from __future__ import annotations

from time import monotonic

from callapp.errors import LegLost
from callapp.realtime.dialling import Dialling
from callapp.realtime.session import FATAL_CODES
from callapp.websocket.connection import Connection


class SocketLeg:
    """What the legs of all kinds of sessions have in common."""

    __slots__ = ("_connection", "_dialling", "_last_code")

    def __init__(self) -> None:
        self._dialling = Dialling()
        self._connection: Connection | None = None
        self._last_code = ""  # of the newest error: what the close that follows is about

    def close(self) -> None:
        """End the session, or the dial under way; wakes whoever reads. Safe from any thread, and twice."""
        if self._connection is not None:
            self._connection.close(1000, "")
        else:
            self._dialling.break_off()

    def release(self) -> None:
        """Give the socket back to the system, once nobody reads it any more."""
        if self._connection is not None:
            self._connection.release()

    def rouse(self, after_s: float) -> None:
        """Have ``receive`` come back after so long, if with ``[]``. Of several times the last one counts."""
        self._open_connection.rouse(monotonic() + after_s)

    @property
    def _open_connection(self) -> Connection:
        assert self._connection is not None, "dial() comes first"
        return self._connection

    def _is_refusal(self, loss: LegLost) -> bool:
        """Whether another dial would fare no better. What the service said weighs more than a close code."""
        words = f"{self._last_code} {loss.reason}"
        return any(code in words for code in FATAL_CODES)
