"""What is laid down for a call before it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from callapp.conversation.asides import Manners
from callapp.conversation.away import Resumed
from callapp.conversation.events import Usage
from callapp.conversation.hearing import Ears


@dataclass(frozen=True)
class Plan:
    """The agent's part in a call, and its limits.

    Args:
        greeting: instructions for the response that opens the call; ``None`` lets the caller
            speak first.
        most_ms: how long the call may last, from the start of the stream.
        hold_line: what the caller hears while the model is not there: base64 of mu-law.
        session_ms: how old a session of the model may become before it is renewed.
        manners: how the agent deals with silence, slow tools and noise.
        most_usd: what the call may cost at the model before it has to end; ``None`` for any amount.
        usd_of: prices what the model's service reports to have used.
        message: instructions for what is left on an answering machine; ``None`` leaves none there.
        detects_machines: whether the carrier listens for one.
        ears: how the model's voice detection is set up.
        transcribed: whether the model's service tells what the caller says.
        keys_as_sound: keys for the other side are tones in our audio, for which the call does not leave.
        resumed: what was before, if the call comes from another process.
    """

    greeting: str | None = None
    most_ms: float = 1_800_000
    hold_line: bytes | None = None
    session_ms: float = 3_300_000
    manners: Manners = field(default_factory=Manners)
    most_usd: float | None = None
    usd_of: Callable[[Usage], float] | None = None
    message: str | None = None
    detects_machines: bool = False
    ears: Ears = field(default_factory=Ears)
    transcribed: bool = False
    keys_as_sound: bool = False
    resumed: Resumed | None = None
