"""The socket of a session with OpenAI, of whatever kind: how it is watched, ended and given back.

Dialled and received by one thread; any may send.
"""

from __future__ import annotations

import logging
from time import monotonic

from callapp.errors import LegLost
from callapp.logs import Log
from callapp.realtime.dialling import Dialling, Endpoint
from callapp.realtime.messages import Complaint
from callapp.realtime.session import FATAL_CODES
from callapp.websocket.connection import Connection


class SocketLeg:
    """What the legs of all kinds of sessions have in common.

    Args:
        name: of the leg, in the log.
    """

    __slots__ = ("_connection", "_dialling", "_endpoint", "_last_code", "_log", "_name")

    def __init__(self, endpoint: Endpoint, name: str, log: Log) -> None:
        self._endpoint = endpoint
        self._name = name
        self._log = log
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

    def _note(self, complaint: Complaint, level: int = logging.WARNING) -> None:
        """Log what the service complains of, and remember it for the close that may follow."""
        self._last_code = complaint.code
        self._log.log(
            level,
            "! %s: %s: %s (param %s, answers %s)",
            self._name,
            complaint.code,
            complaint.message,
            complaint.param,
            complaint.event_id,
        )

    def _is_refusal(self, loss: LegLost) -> bool:
        """Whether another dial would fare no better. What the service said weighs more than a close code."""
        words = f"{self._last_code} {loss.reason}"
        return any(code in words for code in FATAL_CODES)
