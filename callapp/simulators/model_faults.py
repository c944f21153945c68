"""What can go wrong with a model on demand: refused connections, and faults in mid-session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Close:
    """The server closes the WebSocket; code 1005 closes without a code."""

    code: int = 1011
    reason: str = ""


@dataclass(frozen=True)
class Reset:
    """The TCP connection is reset: no close frame, nothing unsent is delivered."""


@dataclass(frozen=True)
class Stall:
    """The server stops reading and answering, the connection stays open."""


@dataclass(frozen=True)
class Resume:
    """The end of a stall."""


@dataclass(frozen=True)
class Expire:
    """The session's lifetime is over: ``session_expired``, then close 1001."""


@dataclass(frozen=True)
class SendError:
    """An ``error`` event out of the blue; not counted among the client's violations."""

    code: str | None
    message: str = "An error on demand."
    type: str = "server_error"
    param: str | None = None
    event_id: str | None = None


@dataclass(frozen=True)
class SendRaw:
    """A frame as it is: text (malformed JSON, an event nobody knows) or, as bytes, binary."""

    payload: str | bytes


Fault: TypeAlias = Close | Reset | Stall | Resume | Expire | SendError | SendRaw


@dataclass(frozen=True)
class Refusal:
    """A connection that is upgraded, told an error and closed, as the real service does it."""

    close_code: int
    type: str
    code: str
    message: str

    @property
    def reason(self) -> str:
        """The close frame's reason."""
        return f"{self.type}.{self.code}"


INVALID_KEY = Refusal(3000, "invalid_request_error", "invalid_api_key", "Incorrect API key provided.")
MISSING_MODEL = Refusal(4000, "invalid_request_error", "missing_model", "You must provide a model parameter.")
INVALID_MODEL = Refusal(
    4000,
    "invalid_request_error",
    "invalid_model",
    "A transcription session takes no model parameter.",
)
BETA_SHAPE = Refusal(
    4000,
    "invalid_request_error",
    "beta_api_shape_disabled",
    "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.",
)
MODEL_NOT_FOUND = Refusal(
    4004,
    "invalid_request_error",
    "model_not_found",
    "The model does not exist or you do not have access to it.",
)
NO_CREDIT = Refusal(
    1013,
    "insufficient_quota",
    "credit_balance_exhausted",
    "You exceeded your current quota, please check your plan and billing details.",
)

MODELS = frozenset(
    {
        "gpt-realtime-2.1",
        "gpt-realtime-2.1-mini",
        "gpt-realtime-2",
        "gpt-realtime-1.5",
        "gpt-realtime",
        "gpt-realtime-2025-08-28",
        "gpt-realtime-mini",
        "gpt-realtime-mini-2025-12-15",
    }
)
"""Speech-to-speech models that can be connected to (state of 2026-11)."""
TRANSLATORS = frozenset({"gpt-realtime-translate"})
"""Models of translation sessions."""


def refusal_of(
    headers: Mapping[str, str],
    query: Mapping[str, list[str]],
    *,
    api_key: str | None,
    models: frozenset[str],
    credit: bool,
) -> Refusal | None:
    """Why a connection is refused, if it is. A transcription session names its model later, and none here.

    Args:
        headers: of the upgrade request, names in lower case.
        query: of its URL, parsed.
        api_key: the one that is valid; ``None`` takes any.
        models: those that can be connected to.
        credit: whether the account has any left.
    """
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key or (api_key is not None and key != api_key):
        return INVALID_KEY
    if "openai-beta" in headers:
        return BETA_SHAPE
    model = query.get("model", [""])[0]
    if query.get("intent") == ["transcription"]:
        if model:
            return INVALID_MODEL
    elif not model:
        return MISSING_MODEL
    elif model not in models:
        return MODEL_NOT_FOUND
    return None if credit else NO_CREDIT
