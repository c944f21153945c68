"""Leaving the stream and coming back: keys for the other side, a transfer that may fail.

The carrier can do neither while the call's audio is ours. So the call takes a *trip*: what is being
said is heard out, the carrier is told where to take the call, the stream ends, and in time another
one brings the caller back. The model's session is kept meanwhile. Where the keys may be sent as
sound, the call only falls silent for them and never leaves.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from callapp.conversation.farewell import SAY_IT_MS, UNHEARD_MARK_MS
from callapp.conversation.history import Line
from callapp.conversation.responses import HAND_OVER, Request
from callapp.conversation.wishes import SendDigits, Transfer, Trip

# The end reason of a call that a person has taken.
TRANSFERRED = "agent.transferred"
# So long a session is kept for a call that should be back by now.
KEPT_MS = 15_000.0
# A phone is let ring for so long; the carrier adds some seconds of its own.
RING_S = 30
_RING_MS = (RING_S + 5) * 1000.0
# A colleague hears what the call is about and makes up their mind.
_WHISPER_MS = 60_000.0
# The carrier sends a key in less than this.
_KEY_MS = 300.0
_WAIT_MS = 500.0

HAND_OVER_REQUEST = Request(
    HAND_OVER,
    instructions=(
        "In the language of the conversation, say in one short, friendly sentence that you are putting the "
        "caller through to a colleague now. Say nothing else."
    ),
    tools_allowed=False,
)

# Outputs of the tools, for the model to read.
ON_THE_WAY = '{"error": "Not done: another transfer, or other keys, are under way. Wait for those."}'
ENDING_ALREADY = '{"error": "Not done: the call is about to end."}'
CUT_OFF = (
    '{"error": "Not transferred: the caller interrupted. Listen, and call transfer_call again if they '
    'still want it."}'
)
TAKEN = '{"status": "transferred"}'
SENT = '{"status": "sent", "next": "Say nothing. Listen to what the line says now."}'
# While the carrier sends keys, nothing of the line reaches us.
UNHEARD = (
    "You could not hear the line while they were sent, and may have missed the beginning of what it says now."
)
_LISTEN = "Say nothing and listen; if you cannot tell what is asked for, wait until the menu is repeated."
SENT_UNHEARD = json.dumps({"status": "sent", "next": f"{UNHEARD} {_LISTEN}"})


@dataclass(frozen=True)
class Resumed:
    """What a call brings along that left its stream in one process and came back to another.

    Args:
        why: why a transfer did not come about, in words.
        spent_usd: what it has cost so far.
    """

    said: tuple[Line, ...]
    trip: Trip
    why: str = ""
    spent_usd: float = 0.0


class Away:
    """Whether the call is on a trip, or about to be, and until when it may take."""

    def __init__(self) -> None:
        self.trip: Trip | None = None
        self.tool_call_id: str | None = None  # that asked for it; nobody inside the call if there is none
        self.gone = False  # the carrier was asked to take the call away
        self.stream_over = False  # it has
        self.sounding = False  # the keys are being sent as sound
        self.recalled = False  # the carrier was asked to bring the caller back
        self._until_ms = 0.0

    @property
    def planned(self) -> bool:
        """Whether the call leaves, or falls silent, once the agent was heard out."""
        return self.trip is not None and not (self.gone or self.sounding)

    def plan(self, trip: Trip, tool_call_id: str | None, at_ms: float) -> None:
        """Leave when what is being said was heard."""
        self.trip, self.tool_call_id = trip, tool_call_id
        self._until_ms = at_ms + SAY_IT_MS

    @property
    def may_be_called_off(self) -> bool:
        """Whether the caller's speech keeps them here: keys are meant for a line that talks all the time."""
        return self.planned and self.tool_call_id is not None and isinstance(self.trip, Transfer)

    def go(self, at_ms: float) -> None:
        """The carrier is told to take the call away."""
        assert self.trip is not None
        self.gone = True
        self._until_ms = at_ms + _longest_ms(self.trip) + KEPT_MS

    def recall(self, at_ms: float) -> bool:
        """The time is up; return whether the carrier can still bring the caller back, which is tried once."""
        if self.recalled or not (isinstance(self.trip, Transfer) and self.trip.warm):
            return False
        self.recalled = True
        self._until_ms = at_ms + KEPT_MS
        return True

    def back(self) -> tuple[Trip, str | None]:
        """The trip is over, or does not take place; return it and the tool call that asked for it."""
        assert self.trip is not None
        over = self.trip, self.tool_call_id
        self.trip = self.tool_call_id = None
        self.gone = self.stream_over = self.sounding = self.recalled = False
        return over

    def deadline_ms(self, *, speaking: bool, dry_ms: float) -> float:
        """When the next step is due at the latest. Arguments as in ``Farewell.deadline_ms``."""
        if self.trip is None:
            return math.inf
        return self._until_ms if self.gone or (speaking and self.planned) else dry_ms + UNHEARD_MARK_MS


def news_of(trip: Trip, why: str) -> str:
    """What the model is told when the caller is back.

    Args:
        why: why a transfer did not come about, in words.
    """
    if isinstance(trip, SendDigits):
        return f"The keys {trip.digits} were sent. {UNHEARD} Listen."
    return (
        f"The transfer to {trip.destination} did not come about: {why}. The caller is back with you. Tell "
        "them, and offer to take a message or another way."
    )


def outcome(trip: Trip, why: str, *, heard: bool = False) -> str:
    """The same as the output of the tool that asked for the trip.

    Args:
        heard: the call never left: what the line said meanwhile was heard.
    """
    if isinstance(trip, SendDigits):
        return SENT if heard else SENT_UNHEARD
    return json.dumps({"status": "not transferred", "next": news_of(trip, why)})


def failure(trip: Trip, why: str) -> str:
    """The output when the carrier did not do it, and the caller never left."""
    what = "sent" if isinstance(trip, SendDigits) else "transferred"
    return json.dumps({"error": f"Not {what}: {why}. Tell the caller, and offer another way."})


def _longest_ms(trip: Trip) -> float:
    if isinstance(trip, SendDigits):
        return sum(_WAIT_MS if digit == "w" else _KEY_MS for digit in trip.digits)
    return _RING_MS + _WHISPER_MS if trip.warm else _RING_MS
