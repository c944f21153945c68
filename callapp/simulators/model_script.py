"""What a pretend model answers: said by whoever sets the scene, read by the responses.

    Script(
        Say("もしもし、こんにちは。"),
        [Say("Let me look.", phase="commentary"), Call("opening_hours", {"day": "Monday"})],
        lambda ask: Say(f"You said: {ask.heard}"),
        [Say("Goodbye."), Call("end_call", {"reason": "done"})],
    )

The first answer goes to the first response of a session, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from callapp.simulators.clips import Clip
from callapp.simulators.model_faults import Fault

if TYPE_CHECKING:
    from callapp.simulators.model_session import Session


@dataclass(frozen=True)
class Pace:
    """How a response comes out.

    Args:
        delta_ms: audio in one delta.
        speed: audio seconds produced in a second; ``math.inf`` sends all at once.
        created_after_ms: from the request to ``response.created``. A cancel in between does
            nothing, as on the real service.
        first_delta_after_ms: from ``response.created`` to the first output, and before each item.
        late_deltas: audio deltas still sent after a cancel, as if they had been on their way.
        late_done: the item's ``done`` events come after the first delta of the next item.
    """

    delta_ms: int = 240
    speed: float = 6.0
    created_after_ms: int = 0
    first_delta_after_ms: int = 0
    late_deltas: int = 0
    late_done: bool = False


INSTANT = Pace(speed=math.inf)


@dataclass(frozen=True)
class Say:
    """A spoken message.

    Args:
        words: a recording; or the name of one in the model's library; or any text, which is
            then spoken as tones, in about the time a person would take.
        pace: other than the model's.
        phase: as the 2.x models put it on their message items.
        duration_ms: length of text spoken as tones.
    """

    words: Clip | str
    pace: Pace | None = None
    phase: Literal["commentary", "final_answer"] | None = None
    duration_ms: int | None = None


@dataclass(frozen=True)
class Call:
    """A function call; ``arguments`` as a string goes out as it is, valid JSON or not."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    pace: Pace | None = None


@dataclass(frozen=True)
class McpCall:
    """A call of a remote tool, which the service makes by itself, or asks the client to approve."""

    server_label: str
    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    pace: Pace | None = None


@dataclass(frozen=True)
class Fail:
    """The response ends here, ``failed``."""

    code: str = "server_error"
    message: str = "The server had an error while processing your request. Sorry about that!"
    type: str = "server_error"


RATE_LIMITED = Fail(
    "rate_limit_exceeded",
    "Rate limit reached for gpt-realtime on tokens per min (TPM). Please try again in 1.5s.",
    "invalid_request_error",
)


@dataclass(frozen=True)
class CutOff:
    """The response ends here, ``incomplete``."""

    reason: Literal["max_output_tokens", "content_filter"] = "max_output_tokens"


Output: TypeAlias = Say | Call | McpCall | Fail | CutOff | Fault
"""One thing a response does; a fault strikes when everything before it has been sent."""


@dataclass(frozen=True)
class Ask:
    """What a response is asked for.

    Args:
        number: the how-manieth response of the session, from 1; those outside the default
            conversation are counted by themselves.
        heard: what the caller said since the last response, as far as it was recognised.
        clips: names of the recordings in it.
        tool_outputs: what tools answered since the last response, by ``call_id``.
        remote_outputs: what remote tools answered, or how they failed, by their names.
        payload: the ``response`` of the ``response.create``; empty when voice detection asked.
    """

    number: int
    heard: str
    clips: tuple[str, ...]
    tool_outputs: Mapping[str, str]
    remote_outputs: Mapping[str, str]
    payload: Mapping[str, Any]
    session: Session


Outputs: TypeAlias = Output | Sequence[Output]
Answer: TypeAlias = Outputs | Callable[[Ask], Outputs]


class Script:
    """The answers of a session, in order.

    Args:
        answers: the first is for the first response, and so on.
        otherwise: for the responses after those.
        aside: for responses outside the default conversation (``conversation: "none"``).
    """

    def __init__(
        self,
        *answers: Answer,
        otherwise: Answer = Say("I have nothing more to say."),
        aside: Answer = Say("Aside."),
    ) -> None:
        self._answers = answers
        self._otherwise = otherwise
        self._aside = aside

    def answer(self, ask: Ask) -> list[Output]:
        """What to do for this response, in order."""
        if ask.payload.get("conversation") == "none":
            answer = self._aside
        elif ask.number <= len(self._answers):
            answer = self._answers[ask.number - 1]
        else:
            answer = self._otherwise
        outputs = answer(ask) if callable(answer) else answer
        return list(outputs) if isinstance(outputs, Sequence) else [outputs]
