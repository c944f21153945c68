"""An agent: who speaks on our side of a call, how, and what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from callapp.agents import templates
from callapp.agents.manners import Idle, Interruptions


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


_TEXT = "text, in quotes if it is a number or begins with a sign"

Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True)]
Line = Annotated[Text | None, BeforeValidator(_blank_is_none)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9._:-]{1,128}$")]


class Agent(BaseModel):
    """An agent as its file says it is.

    The fields but for ``name`` and ``instructions`` are the keys of the front matter; what each
    description says is what the operator is told to write there. ``instructions``, ``greeting``,
    ``opening`` and ``closing`` are templates: take them filled, from ``fill`` and ``line``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    instructions: str
    voice: Word = Field(default="marin", description="the name of a voice, e.g. coral or marin")
    model: Word | None = Field(
        default=None, description="the name of a realtime model, e.g. gpt-realtime-2.1-mini"
    )
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = Field(
        default="en-US", description="a language tag, e.g. ja-JP or en-US"
    )
    greeting: Line = Field(default=None, description=f"what the agent says first: {_TEXT}")
    opening: Line = Field(
        default=None, description=f"what is read out before the agent is connected: {_TEXT}"
    )
    closing: Line = Field(default=None, description=f"what is read out after the agent has left: {_TEXT}")
    tools: tuple[str, ...] = Field(
        default=(), strict=True, description="a list of tool names, e.g. [end_call]"
    )
    max_call_seconds: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="a whole number of seconds, 1 or more"
    )
    idle: Idle = Field(
        default=Idle(), description="nudge_seconds, a number of seconds, e.g. {nudge_seconds: 15}"
    )
    waiting: tuple[Annotated[Text, StringConstraints(min_length=1)], ...] = Field(
        default=(),
        strict=True,
        description='a list of lines, e.g. ["One moment, please.", "I am still looking."]',
    )
    interruptions: Interruptions = Field(
        default=Interruptions(),
        description="min_speech_ms, most_in_30_seconds and noise_line, e.g. {min_speech_ms: 400}",
    )

    def missing(self, parameters: Mapping[str, str]) -> list[str]:
        """The names that the agent's texts need and that the call does not give, sorted."""
        texts = (self.instructions, self.greeting, self.opening, self.closing)
        needed = {name for text in texts if text for name in templates.needed(text)}
        return sorted(needed - parameters.keys())

    def fill(self, parameters: Mapping[str, str], *, strict: bool) -> str:
        """The instructions for one call; the same parameters always give the same bytes.

        Args:
            strict: whether a missing value is an error; if not, it is left empty.

        Raises:
            CannotFill: a value is missing, or the instructions cannot be filled at all.
        """
        return templates.fill(self.instructions, parameters, strict=strict)

    def line(
        self, which: Literal["greeting", "opening", "closing"], parameters: Mapping[str, str]
    ) -> str | None:
        """A line to be spoken on one call, what is missing left empty; ``None`` for nothing to say.

        Raises:
            CannotFill: the line cannot be filled at all.
        """
        text: str | None = getattr(self, which)
        if text is None:
            return None
        return templates.fill(text, parameters, strict=False).strip() or None
