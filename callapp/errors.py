"""What can go wrong, by who must act.

    CallappError
    ├── ConfigError            the operator: refuse to start, or say what to set
    ├── BadMessage             a peer sent something malformed: log it, skip it
    ├── LegLost                the network: a leg of the call is gone, the call ends
    ├── ToolError              a tool failed: the model is told, the call goes on
    └── CarrierError           Twilio's REST API
        ├── CarrierRefused     it said no, and why
        ├── CarrierUnreachable it could not be reached, or answered nonsense
        └── CarrierTimeout     it did not answer in time

Anything else that is raised is a bug of ours: the call ends, the traceback is logged.
"""

from __future__ import annotations

from collections.abc import Sequence


class CallappError(Exception):
    """The root of all errors raised on purpose."""


class ConfigError(CallappError):
    """Settings, agent files or tool files are wrong; ``faults`` has one line for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class BadMessage(CallappError):
    """A message of a known type lacks a field, or is not JSON at all."""


class LegLost(CallappError):
    """A leg's socket is gone.

    Args:
        leg: whose socket it was: ``"caller"`` or ``"model"``. A send can fail in the other leg's
            thread, so the error names its leg rather than the thread it surfaced in.
        code: the WebSocket close code; 1006 when there was no close frame.
        reason: the peer's words, or the system's.
    """

    def __init__(self, leg: str, code: int, reason: str) -> None:
        super().__init__(f"{leg} leg lost: {code} {reason}".rstrip())
        self.leg = leg
        self.code = code
        self.reason = reason


class ToolError(CallappError):
    """A tool says what went wrong; the model is told its words."""


class CarrierError(CallappError):
    """A request to Twilio's REST API failed."""


class CarrierRefused(CarrierError):
    """Twilio said no.

    Args:
        status: HTTP status of the answer.
        code: Twilio's own error code, e.g. 21211; ``None`` when it gave none.
        message: Twilio's words.
        more_info: a URL that explains the code, or ``None``.
    """

    def __init__(self, status: int, code: int | None, message: str, more_info: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.more_info = more_info


class CarrierUnreachable(CarrierError):
    """Twilio could not be reached, or what it answered makes no sense."""


class CarrierTimeout(CarrierError):
    """Twilio did not answer in time; the request may or may not have been carried out."""
