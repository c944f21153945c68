"""What we have the model say of our own accord, in moments in which nobody else speaks.

A line while a tool takes its time, a word when the call is nearly over, a question into a silence.
Each is a response with instructions of its own; the tools stay out of it. An aside is said now or
not at all: an answer always goes first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from callapp.conversation.commands import TimeSilence
from callapp.conversation.patience import Patience
from callapp.conversation.responses import ASIDE, GOODBYE, LAST_MINUTE, NOISE, NUDGE, Request
from callapp.conversation.service_timer import ServiceTimer
from callapp.conversation.silence import Silence

# The caller is told when so much is left of a call that may be at least so long, if there is a quiet
# moment before it is nearly over.
WARNING_MS = 60_000.0
LONG_CALL_MS = 180_000.0
TOO_LATE_MS = 15_000.0
# One that was not said, because the service failed or somebody else spoke, is tried again after so long.
AGAIN_MS = 5_000.0
# A breath after the agent's last word.
BREATH_MS = 500.0


@dataclass(frozen=True)
class Manners:
    """How an agent behaves when the model alone would not know to.

    Args:
        language: of the call until the caller has spoken, e.g. ``ja-JP``.
        nudge_ms: how long nobody may speak before the caller is asked whether they are there;
            ``None`` for ever.
        waiting_lines: said in turn while a tool takes its time; empty leaves the words to the model.
        shortest_speech_ms: shorter speech does not interrupt the agent.
        most_interruptions: more than that within 30 s are taken for noise; ``None`` sets no limit.
        noise_line: said then; ``None`` leaves the words to the model.
    """

    language: str = "en-US"
    nudge_ms: float | None = None
    waiting_lines: Sequence[str] = ()
    shortest_speech_ms: float = 0
    most_interruptions: int | None = None
    noise_line: str | None = None


class Scene(NamedTuple):
    """How things stand at a moment.

    Args:
        up: the model is there.
        ordinary: it talks with a person, who is on the line, and nobody is saying goodbye.
        busy: something of it is under way, or wanted.
        heard_ms: when the agent will have been heard out.
        tool_since_ms: since when a tool has been at work; infinite if none is.
        awaiting_keys: the caller is about to press keys.
    """

    at_ms: float
    up: bool
    ordinary: bool
    busy: bool
    caller_speaking: bool
    heard_ms: float
    tool_since_ms: float
    awaiting_keys: bool

    @property
    def free(self) -> bool:
        """Whether somebody could say something now."""
        return self.up and self.ordinary and not (self.busy or self.caller_speaking)

    @property
    def awaiting(self) -> bool:
        """Whether something is to come that is waited for in silence."""
        return self.awaiting_keys or self.tool_since_ms < math.inf


class Asides:
    """What is due to be said, and when.

    Args:
        most_ms: how long the call may last.
    """

    def __init__(self, manners: Manners, most_ms: float) -> None:
        self._manners = manners
        self.silence = Silence(manners.nudge_ms)
        self.service_timer = ServiceTimer()
        self._patience = Patience()
        self._end_ms = most_ms
        self._warn_from_ms = most_ms - WARNING_MS
        self._warned = most_ms < LONG_CALL_MS

    def next(self, scene: Scene) -> Request | None:
        """What is due now. A goodbye among it ends the call."""
        self.silence.observe(scene.at_ms, silent=scene.free and not scene.awaiting)
        if not scene.free:
            return None
        if scene.at_ms >= self._patience.deadline_ms(scene.tool_since_ms, scene.heard_ms):
            return self._ask_for_patience(scene.at_ms)
        if scene.at_ms >= self._warning_ms(scene):
            self._warn_from_ms = scene.at_ms + AGAIN_MS
            return self._request("about one minute is left of this call", LAST_MINUTE)
        if scene.at_ms >= self._silence_ms(scene):
            return self._break_the_silence()
        return None

    def deadline_ms(self, scene: Scene) -> float:
        """When ``next`` has something to say, if nothing happens before."""
        if not scene.free:
            return math.inf
        return min(
            self._patience.deadline_ms(scene.tool_since_ms, scene.heard_ms),
            self._warning_ms(scene),
            self._silence_ms(scene),
        )

    def time_silence(self, scene: Scene) -> list[TimeSilence]:
        """Let the service's timer run while nobody would be in the way of what the model then says."""
        if not scene.up:
            self.service_timer.session(has_timer=False)
        if scene.caller_speaking:
            return []  # nothing is changed about who listens to them just now
        silent = scene.ordinary and not scene.awaiting
        return self.service_timer.switch(on=silent and self.silence.may_be_broken(scene.at_ms))

    def said(self, tag: str | None) -> None:
        """Something was heard of a response that was asked for by this tag."""
        self._warned = self._warned or tag == LAST_MINUTE
        if tag == NUDGE:
            self.silence.nudged()

    def refused(self, tag: str | None) -> None:
        """What was asked for by this tag was refused: if something began, it was another response."""
        self._warned = self._warned and tag != LAST_MINUTE

    def about_the_noise(self) -> Request:
        """What is said when the agent is interrupted all the time."""
        if self._manners.noise_line is not None:
            return _exactly(self._manners.noise_line, NOISE)
        return self._request(
            "it is noisy on the line and you do not hear the caller well, and ask them to speak from a "
            "quieter place, or closer to the phone",
            NOISE,
        )

    def _ask_for_patience(self, at_ms: float) -> Request:
        lines, count = self._manners.waiting_lines, self._patience.lines
        self._patience.spoken(at_ms)
        if lines:
            return _exactly(lines[count % len(lines)], ASIDE)
        return self._request(
            "you are looking it up and it takes a moment. Answer nothing yet, and use other words than before"
        )

    def _warning_ms(self, scene: Scene) -> float:
        if self._warned or scene.awaiting or scene.at_ms >= self._end_ms - TOO_LATE_MS:
            return math.inf
        return max(self._warn_from_ms, scene.heard_ms + BREATH_MS)

    def _silence_ms(self, scene: Scene) -> float:
        return self.silence.deadline_ms(scene.heard_ms, service_timed=self.service_timer.runs)

    def _break_the_silence(self) -> Request:
        if self.silence.for_the_last_time:
            return self._request(
                "you do not hear the caller any more, that you end the call for now, and goodbye", GOODBYE
            )
        self.silence.asked()
        if not self.silence.nudges:
            return self._request("you are still there, and ask whether the caller is, too", NUDGE)
        return self._request(
            "you cannot hear the caller, and ask again whether they are there. Use other words than before",
            NUDGE,
        )

    def _request(self, what: str, tag: str = ASIDE) -> Request:
        instructions = (
            f"In the language of the conversation ({self._manners.language} if nobody has spoken yet), say "
            f"in one short, friendly sentence that {what}. Say nothing else."
        )
        return Request(tag, instructions, tools_allowed=False)


def _exactly(line: str, tag: str) -> Request:
    return Request(tag, f"Say exactly this and nothing else: {line}", tools_allowed=False)
