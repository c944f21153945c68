"""Answering-machine detection, as the pretend Twilio does it: by ear. Pure.

It listens to the callee alone. A person says something short and waits; a machine talks on, beeps, and
then waits. https://www.twilio.com/docs/voice/answering-machine-detection
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from callapp.simulators.carrier_api import Form, Refusal, is_url, one
from callapp.simulators.sound import FRAME_MS, is_voiced
from callapp.simulators.ulaw import ENERGIES

INVALID = 21234
# A tone that does not waver for so long is a beep; no vowel is as steady.
_BEEP_MS = 240
_STEADY = 0.1
# So long a silence after a machine's words, and no beep: it records.
_AFTER_GREETING_MS = 2_000

_RANGES = {
    "MachineDetectionTimeout": (30, 3, 59),
    "MachineDetectionSpeechThreshold": (2400, 1000, 6000),
    "MachineDetectionSpeechEndThreshold": (1200, 500, 5000),
    "MachineDetectionSilenceTimeout": (5000, 2000, 10_000),
}
_OF_ASYNC = ("AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod")
PARAMETERS = frozenset({"MachineDetection", "AsyncAmd", *_OF_ASYNC, *_RANGES})


@dataclass(frozen=True)
class DetectionPlan:
    """What was ordered: ``callback`` is told; ``waits`` is for the end of a machine's words."""

    callback: str
    waits: bool
    timeout_ms: int
    speech_ms: int
    speech_end_ms: int
    silence_ms: int


def read_detection(form: Form) -> DetectionPlan | None:
    """Return the detection that a call is to have, if any.

    Raises:
        Refusal: as Twilio would; and for what it would take and then never tell of.
    """
    given = {name: value for name in PARAMETERS if (value := one(form, name))}
    mode = given.get("MachineDetection")
    if mode is None:
        if given:
            raise Refusal(400, INVALID, f"{sorted(given)} without MachineDetection")
        return None
    if mode not in ("Enable", "DetectMessageEnd"):
        raise Refusal(400, INVALID, f"Invalid MachineDetection: {mode}")
    numbers = [_number(name, given.get(name), *bounds) for name, bounds in _RANGES.items()]
    if given.get("AsyncAmd", "false") not in ("true", "false"):
        raise Refusal(400, INVALID, f"Invalid AsyncAmd: {given['AsyncAmd']}")
    if given.get("AsyncAmd") != "true":
        raise Refusal(400, INVALID, "AsyncAmd is not true: a detection that the call waits for is not played")
    callback = given.get("AsyncAmdStatusCallback", "")
    if not is_url(callback):
        raise Refusal(400, INVALID, f"AsyncAmdStatusCallback is not a URL: {callback!r}")
    if given.get("AsyncAmdStatusCallbackMethod", "POST") != "POST":
        raise Refusal(400, INVALID, "AsyncAmdStatusCallbackMethod is POST")
    timeout_s, *rest = numbers
    return DetectionPlan(callback, mode == "DetectMessageEnd", 1000 * timeout_s, *rest)


def _number(name: str, given: str | None, default: int, least: int, most: int) -> int:
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and least <= int(given) <= most):
        raise Refusal(400, INVALID, f"Invalid {name}: {given}, not from {least} to {most}")
    return int(given)


class MachineDetection:
    """One call's detection: given what the callee says, 20 ms at a time, it says once who that is."""

    def __init__(self, plan: DetectionPlan) -> None:
        self.heard_ms = 0
        self._plan = plan
        self._done = False
        self._machine = False
        self._speech_ms = 0  # since the first word, pauses included
        self._quiet_ms = 0
        self._steady_ms = 0
        self._last: tuple[int, int] = (0, 0)

    def hear(self, voice: bytes) -> str | None:
        """Take a frame; return Twilio's ``AnsweredBy`` once it is known."""
        if self._done:
            return None
        self.heard_ms += FRAME_MS
        beeped = self._listen(voice)
        verdict = self._of_machine(beeped) if self._machine else self._first_impression()
        self._done = verdict is not None
        return verdict

    def _listen(self, voice: bytes) -> bool:
        """Take account of a frame; true when a beep is over."""
        voiced = is_voiced(voice)
        beeped = not voiced and self._steady_ms >= _BEEP_MS
        crossings = sum((a ^ b) >> 7 for a, b in pairwise(voice))
        energy = sum(map(ENERGIES.__getitem__, voice))
        before_crossings, before_energy = self._last
        alike = abs(crossings - before_crossings) <= 1 and abs(energy - before_energy) <= _STEADY * energy
        self._steady_ms = self._steady_ms + FRAME_MS if voiced and alike else 0
        self._last = crossings, energy
        self._quiet_ms = 0 if voiced else self._quiet_ms + FRAME_MS
        if voiced or self._speech_ms:
            self._speech_ms += FRAME_MS
        return beeped

    def _first_impression(self) -> str | None:
        plan = self._plan
        spoken_ms = self._speech_ms - self._quiet_ms
        if not self._speech_ms:
            return "unknown" if self._quiet_ms >= plan.silence_ms else None
        if spoken_ms > plan.speech_ms:
            self._machine = True
            return None if plan.waits else "machine_start"
        return "human" if self._quiet_ms >= plan.speech_end_ms else None

    def _of_machine(self, beeped: bool) -> str | None:
        if beeped:
            return "machine_end_beep"
        if self._quiet_ms >= _AFTER_GREETING_MS:
            return "machine_end_silence"
        return "machine_end_other" if self.heard_ms >= self._plan.timeout_ms else None
