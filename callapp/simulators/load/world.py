"""What every call of a load shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from callapp.simulators.load.audio import AgentVoice, CallerSpeech
from callapp.simulators.load.loop import Loop
from callapp.simulators.load.tally import Tally

if TYPE_CHECKING:
    from callapp.simulators.load.model import Session
    from callapp.simulators.load.phone import Phone

ACCOUNT_SID = "AC" + "5e" * 16
AUTH_TOKEN = "load-auth-token"  # noqa: S105  signs for a server that is told so
API_KEY = "sk-load"
FROM_NUMBER = "+14155550100"


@dataclass(frozen=True)
class Target:
    """The server under load.

    Args:
        url: its origin, ``http://host:port``.
        stream_path: where its media socket is, if it is to be opened without asking for TwiML first.
        converses: whether it clears the phone when the caller speaks, and ends calls; a mere forwarder
            does neither.
    """

    url: str
    stream_path: str | None = None
    converses: bool = True


@dataclass
class World:
    """The loop and all that is in it."""

    loop: Loop
    target: Target
    speech: CallerSpeech
    voice: AgentVoice
    speed: float  # of the model's voice, in times of real time
    tally: Tally = field(default_factory=Tally)
    phones: dict[int, Phone] = field(default_factory=dict)  # by their number
    phones_by_sid: dict[str, Phone] = field(default_factory=dict)
    sessions: set[Session] = field(default_factory=set)
