"""What a call needs of the world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callapp.call.switchboard import Extension
from callapp.conversation.facts import Fact
from callapp.conversation.wishes import Wish
from callapp.realtime.leg import ModelLeg
from callapp.recording.tape import Tape


@dataclass(frozen=True)
class Outside:
    """What a call needs of the world, as plain functions; each may be called from any thread.

    Args:
        new_model: makes a model leg, not dialled yet; a call may need several, one after another.
        run_tool: starts a tool: ``(name, arguments, done)``; ``done`` gets its result, once.
        complete_call: ends the phone call through the carrier. Blocks; raises `CallappError`.
        apologise: speaks a last line over the carrier when the model is gone and the TwiML after
            the stream has nothing to say; ``None`` when it has. Blocks; raises `CallappError`.
        extension: takes the call off its stream, and brings it back; without one it cannot leave.
        journal: is told each fact of the call, in order, and when that was, by the call's clock. An audio
            thread waits for it, and a lock is held: it hands over and returns.
        tape: keeps what is heard on both sides, if that is to be recorded.
    """

    new_model: Callable[[], ModelLeg]
    run_tool: Callable[[str, str, Callable[[str | Wish], None]], None]
    complete_call: Callable[[], None]
    apologise: Callable[[], None] | None = None
    extension: Extension | None = None
    journal: Callable[[Fact, float], None] = lambda _fact, _at_ms: None
    tape: Tape | None = None
