"""What the call log hands out and takes in: plain data, free of any database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

# A browser call comes from the desk: no phone company has a part in it.
Direction = Literal["incoming", "outgoing", "browser"]

# Twilio's call statuses after which nothing more happens to a call.
TERMINAL_STATUSES = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})


def end_reason_of(status: str) -> str:
    """Why a call is over that somebody else than us has ended, by the carrier's last word."""
    return "caller.hung_up" if status == "completed" else f"twilio.{status}"


@dataclass(frozen=True)
class Admission:
    """What a one-time token stands for: the call that may open one media stream.

    ``slot_key`` is the name under which the registry holds the call's slot: the id of the placed
    call when we dialled, the call SID when we were rung.
    """

    slot_key: str
    call_sid: str
    agent: str
    parameters: Mapping[str, str]
    direction: Direction
    from_number: str
    to_number: str


@dataclass(frozen=True)
class AwayCall:
    """A call that has left its stream, and what it takes to bring it back in any process.

    Args:
        trip: what it left for.
        said: what was said so far: ``[role, text, interrupted]`` each.
        elapsed_ms: how long the call had lasted when it left.
        spent_usd: what it had cost by then, where that is limited.
        room: of a warm transfer, the conference in which the caller waits.
        colleague_sid: of a warm transfer, the call to the colleague, once it is placed.
        why: why the caller is on the way back, in words.
        outcome: the end reason, if the call is over for us.
    """

    admission: Admission
    trip: Mapping[str, Any]
    said: Sequence[Sequence[Any]]
    elapsed_ms: int = 0
    spent_usd: float = 0.0
    room: str | None = None
    colleague_sid: str | None = None
    why: str = ""
    outcome: str | None = None


@dataclass(frozen=True)
class PlacedCall:
    """A call we dial. ``call_sid`` is ``None`` until Twilio has named it."""

    id: str
    agent: str
    parameters: Mapping[str, str]
    from_number: str
    to_number: str
    call_sid: str | None = None
    status: str = "dialling"
    answered: bool = False

    @property
    def over(self) -> bool:
        """Whether the carrier has said that it is."""
        return self.status in TERMINAL_STATUSES


class ClaimOutcome(Enum):
    """What became of a request's attempt to be the first with its idempotency key."""

    NEW = "new"  # it is the first: carry it out, then remember or release
    REPLAY = "replay"  # it has been answered: give the same answer
    OTHER_BODY = "other_body"  # the key belongs to a different request
    IN_PROGRESS = "in_progress"  # the first one is being carried out right now


@dataclass(frozen=True)
class Claim:
    """An idempotency key as one request found it.

    ``id`` names this very claim, so that a request that was presumed dead cannot answer for the one
    that took over its key. ``status`` and ``body`` are the remembered answer of a ``REPLAY``.
    """

    outcome: ClaimOutcome
    id: str = ""
    status: int = 0
    body: Mapping[str, Any] | None = None
