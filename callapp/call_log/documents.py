"""A call as JSON, for those who ask: the HTTP API, exports, webhooks.

Names are camelCase there. Times are RFC 3339 in UTC; offsets are milliseconds of the call, of which 0
is the stream's start; money is in USD. What is not known is ``null``, never a guess.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from callapp.call_log.records import TERMINAL_STATUSES, Direction


class Document(BaseModel):
    """The base of all that is handed out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    def as_json(self) -> dict[str, Any]:
        """What JSON is made of."""
        return self.model_dump(mode="json", by_alias=True)


class Utterance(Document):
    """What somebody said. Of the agent, what was heard."""

    role: Literal["agent", "caller", "other"] = Field(
        description="other is whom the caller talks to where no agent does"
    )
    text: str | None = Field(description="null where the words are not known")
    start_ms: int
    end_ms: int
    interrupted: bool
    item_id: str
    growing: bool = Field(
        default=False, exclude_if=lambda growing: not growing, description="there if more of it is to come"
    )


class Turn(Document):
    """How soon the agent answered a turn of the caller's."""

    index: int
    voice_to_voice_ms: int = Field(
        description="from the caller's last sound to the first byte of the answer sent to the phone company"
    )
    audible_ms: int = Field(description="from there to the answer's first sound, as the phone plays it")
    barge_in: bool = Field(description="whether the turn interrupted the agent")


class ToolRun(Document):
    """A tool that the model called."""

    name: str
    arguments: Any = Field(description="as the model gave them; a string if they were not JSON")
    output: str | None = Field(description="what the model was told; null if nothing, or if it is secret")
    outcome: Literal["ok", "error", "timeout", "not_run", "abandoned"]
    start_ms: int
    duration_ms: int


class CallEvent(Document):
    """Something else that happened: barge_in, cut, connected, disconnected, reconnected, dtmf, error."""

    at_ms: int
    type: str
    detail: dict[str, Any]


class UsageTotals(Document):
    """What OpenAI reports to have used; cached tokens are among those read.

    Those of the analysis, once there is one, are counted by themselves.
    """

    input_audio_tokens: int
    input_text_tokens: int
    cached_tokens: int
    output_audio_tokens: int
    output_text_tokens: int
    transcription_seconds: float
    analysis_input_tokens: int
    analysis_output_tokens: int


class Cost(Document):
    """What a call cost. The carrier and the analysis are counted in as soon as they are known."""

    total_usd: float | None
    model_usd: float | None
    transcription_usd: float | None
    analysis_usd: float | None
    carrier_usd: float | None


class Recording(Document):
    """Where the call can be heard."""

    url: str
    seconds: float | None


class Call(Document):
    """A call, without what was said and done in it."""

    call_sid: str | None = Field(description="null for a call that was never placed")
    direction: Direction
    from_number: str = Field(alias="from")
    to_number: str = Field(alias="to")
    agent: str
    model: str | None
    parameters: dict[str, str]
    status: str
    answered_by: str | None
    end_reason: str | None
    created_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    duration_seconds: float | None
    first_audio_ms: int | None
    usage: UsageTotals
    cost: Cost
    recording: Recording | None
    summary: str | None = Field(description="what the call was about; null until it has been analysed")
    verdict: Literal["resolved", "unresolved", "unclear"] | None
    tags: list[str] | None
    extracted: dict[str, Any] | None = Field(description="the data that the agent's file asks for")

    @property
    def goes_on(self) -> bool:
        """Whether it does, as far as has been told."""
        return self.status not in TERMINAL_STATUSES and self.ended_at is None


class WholeCall(Call):
    """A call, with all that is known of it."""

    utterances: list[Utterance]
    turns: list[Turn]
    tool_runs: list[ToolRun]
    events: list[CallEvent]


class CallPage(Document):
    """Some calls, newest first."""

    calls: list[Call]
    next_cursor: str | None
