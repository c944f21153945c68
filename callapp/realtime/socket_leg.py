"""The socket of a session with OpenAI, of whatever kind: how it is watched, ended and given back.

Dialled and received by one thread, written by any.
"""

from __future__ import annotations

from callapp.errors import LegLost
from callapp.realtime.dialling import Dialling
from callapp.realtime.session import FATAL_CODES
from callapp.websocket.connection import Connection

NO_SIGN_OF_LIFE = 1006


class SocketLeg:
    """What the legs of all kinds of sessions have in common."""

    __slots__ = ("_alive_s", "_connection", "_dialling", "_last_code")

    def __init__(self) -> None:
        self._dialling = Dialling()
        self._connection: Connection | None = None
        self._alive_s = 0.0  # when it had last said anything as it was asked for a sign of life
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

    @property
    def _open_connection(self) -> Connection:
        assert self._connection is not None, "dial() comes first"
        return self._connection

    def _look_for_life(self) -> None:
        """It was quiet: ask the peer for a sign of life.

        Raises:
            LegLost: it has not answered the last time.
        """
        connection = self._open_connection
        if connection.alive_s == self._alive_s:
            raise LegLost("model", NO_SIGN_OF_LIFE, "no sign of life")
        self._alive_s = connection.alive_s
        connection.ping()

    def _is_refusal(self, loss: LegLost) -> bool:
        """Whether another dial would fare no better. What the service said weighs more than a close code."""
        words = f"{self._last_code} {loss.reason}"
        return any(code in words for code in FATAL_CODES)
