"""What a tool may want of the conversation, which it returns instead of an answer for the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EndCall:
    """What ``end_call`` hands to the conversation instead of an answer to the model."""

    reason: str


@dataclass(frozen=True, slots=True)
class CollectDigits:
    """What ``collect_digits`` asks for: its answer is what the caller presses.

    ``sensitive`` digits reach the model and nobody else.
    """

    count: int
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class StaySilent:
    """What ``wait`` asks for: no response follows."""


@dataclass(frozen=True, slots=True)
class VoicemailReached:
    """What ``report_voicemail`` tells: a machine has answered."""


@dataclass(frozen=True, slots=True)
class SendDigits:
    """What ``send_digits`` asks for: keys for the other side, ``0-9 * #``; ``w`` waits half a second."""

    digits: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """What ``transfer_call`` asks for: another person is to have the caller.

    Args:
        destination: a name that the agent's file gives a number.
        warm: the other person hears ``summary`` first, and may decline.
    """

    destination: str
    warm: bool = False
    summary: str = ""


Trip = SendDigits | Transfer
"""What takes the call off its stream for a while."""

Wish = EndCall | CollectDigits | StaySilent | VoicemailReached | Trip
"""What a tool may want of the conversation instead of giving an answer."""
