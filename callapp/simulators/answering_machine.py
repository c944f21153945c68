"""Machines that pick up a phone: one that takes messages, and one that asks who is calling. Pure.

machine = AnsweringMachine(clip("greeting"))
...
assert message.audio in machine.recorded
"""

from __future__ import annotations

from collections.abc import Sequence

from callapp.simulators.callee import Callee, Deed, HangUp, HearPause, Pause, Say, Step
from callapp.simulators.clips import Clip
from callapp.simulators.ulaw import tone

BEEP = Clip("beep", tone(1000, 400), "(beep)")


class _Machine(Callee):
    """Keeps what it hears after its last word."""

    def __init__(self, said: Sequence[Clip], then: Sequence[Step], *, rings_ms: int) -> None:
        steps = [step for clip in said for step in (Pause(300), Say(clip))]
        super().__init__([*steps, *then], rings_ms=rings_ms)
        self.recorded = bytearray()
        self._to_say_first = len(said)

    def live(self, heard: bytes) -> Deed:
        records = len(self.spoken) == self._to_say_first and not self.speaking
        if records:
            self.recorded += heard
        return super().live(heard)


class AnsweringMachine(_Machine):
    """Says its greeting, beeps, and records until its tape is full; then it hangs up.

    Args:
        greeting: what it says.
        beeps: some do not.
        tape_s: for how long it records.
    """

    def __init__(self, greeting: Clip, *, beeps: bool = True, tape_s: float = 60, rings_ms: int = 50) -> None:
        said = [greeting, BEEP] if beeps else [greeting]
        super().__init__(said, [Pause(round(1000 * tape_s)), HangUp()], rings_ms=rings_ms)


class CallScreener(_Machine):
    """Asks who is calling and why, keeps what is answered until somebody else speaks, and goes on.

    Args:
        question: what it asks.
        then: what the person does who has heard the answer, e.g. takes the call, or hangs up.
        pause_ms: so long a silence ends the answer.
    """

    def __init__(
        self, question: Clip, then: Sequence[Step] = (HangUp(),), *, pause_ms: int = 700, rings_ms: int = 50
    ) -> None:
        super().__init__([question], [HearPause(pause_ms), *then], rings_ms=rings_ms)
