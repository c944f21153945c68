"""An agent: who speaks on our side of a call, how, and what it may do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from callapp.agents import templates
from callapp.agents.fields import (
    Destinations,
    Idle,
    Interruptions,
    Languages,
    McpServers,
    Parameters,
    PhoneNumber,
    PhoneNumbers,
    Recording,
    SomeText,
    Text,
    Transcription,
    TurnDetection,
    Voicemail,
    Word,
    check_extract,
    off_is_none,
    read_recording,
    read_switch,
    read_transcription,
    read_turn_detection,
    read_voicemail,
)
from callapp.agents.kinds import Kind, check_kind, live_transcription

# What callapp itself knows of each call; a call's parameter of the same name takes precedence.
PROVIDED = frozenset({"today", "now"})
SpokenLine = Literal["greeting", "opening", "closing", "voicemail"]
LINES: tuple[SpokenLine, ...] = get_args(SpokenLine)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEKDAYS_JA = "月火水木金土日"


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, LookupError, ValueError) as error:  # LookupError: ZoneInfoNotFoundError
        raise ValueError from error  # with no words of its own, which say nothing of what is expected
    return name


_TEXT = "text, in quotes if it is a number or begins with a sign"

Line = Annotated[Text | None, BeforeValidator(_blank_is_none)]


class Agent(BaseModel):
    """An agent as its file says it is.

    The fields but for ``name`` and ``instructions`` are the keys of the front matter; what each
    description says is what the operator is told to write there. ``instructions``, ``greeting``,
    ``opening``, ``closing`` and the ``voicemail`` message are templates: take them filled, from
    ``fill`` and ``line``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    instructions: str
    voice: Word = Field(default="marin", description="the name of a voice, e.g. coral or marin")
    speed: Annotated[float, Field(strict=True, ge=0.25, le=1.5)] | None = Field(
        default=None, description="a number from 0.25 to 1.5; 1 is the voice's own speed"
    )
    model: Word | None = Field(
        default=None, description="the name of a realtime model, e.g. gpt-realtime-2.1-mini"
    )
    reasoning: Literal["minimal", "low", "medium", "high", "xhigh"] | None = Field(
        default=None, description="minimal, low, medium, high or xhigh"
    )
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = Field(
        default="en-US", description="a language tag, e.g. ja-JP or en-US"
    )
    timezone: Annotated[str, AfterValidator(_time_zone)] = Field(
        default="UTC", description="the name of a time zone, e.g. Asia/Tokyo"
    )
    greeting: Line = Field(default=None, description=f"what the agent says first: {_TEXT}")
    opening: Line = Field(
        default=None, description=f"what is read out before the agent is connected: {_TEXT}"
    )
    closing: Line = Field(default=None, description=f"what is read out after the agent has left: {_TEXT}")
    parameters: Parameters = Field(
        default={},
        description="names of parameters, those that a call need not give with their values, e.g. "
        "{customerId: , shop: Shibuya}",
    )
    tools: tuple[str, ...] = Field(
        default=(), strict=True, description="a list of tool names, e.g. [end_call]"
    )
    mcp: McpServers = Field(
        default=(), description="a list of remote MCP servers, each with server_label and server_url"
    )
    transcription: Annotated[Transcription | None, BeforeValidator(read_transcription)] = Field(
        default=Transcription(),
        description="off, the name of a model, or the fields model, language and keywords",
    )
    turn_detection: Annotated[TurnDetection, BeforeValidator(read_turn_detection)] = Field(
        default=TurnDetection(), description="server_vad, semantic_vad, or the field type and its settings"
    )
    noise_reduction: Annotated[Literal["near_field", "far_field"] | None, BeforeValidator(off_is_none)] = (
        Field(default=None, description="near_field, far_field or off")
    )
    voicemail: Annotated[Voicemail | None, BeforeValidator(read_voicemail)] = Field(
        default=None,
        description="the text to leave on a machine, hang_up, or the fields message and timeout_seconds",
    )
    numbers: PhoneNumbers = Field(default=(), description="a list of phone numbers in E.164, e.g. [+8150…]")
    transfer_to: Destinations = Field(
        default={},
        description="names and their phone numbers in E.164, e.g. {sales: +8150…}",
    )
    dtmf: Literal["carrier", "inband"] = Field(default="carrier", description="carrier or inband")
    fallback_number: PhoneNumber | None = Field(
        default=None, description="a phone number in E.164, e.g. +8150…"
    )
    max_call_seconds: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="a whole number of seconds, 1 or more"
    )
    idle: Idle = Field(
        default=Idle(nudge_seconds=0),
        description="nudge_seconds, a number of seconds, e.g. {nudge_seconds: 15}",
    )
    waiting: tuple[SomeText, ...] = Field(
        default=(),
        strict=True,
        description='a list of lines, e.g. ["One moment, please.", "I am still looking."]',
    )
    record: Annotated[Recording, BeforeValidator(read_recording)] = Field(
        default=Recording(by="none"), description="none, ours, twilio, or the fields by and notice"
    )
    interruptions: Interruptions = Field(
        default=Interruptions(most_in_30_seconds=0),
        description="min_speech_ms, most_in_30_seconds and noise_line, e.g. {min_speech_ms: 400}",
    )
    analysis: Annotated[Word | None, BeforeValidator(read_switch)] = Field(
        default=None, description="off, or the name of a text model"
    )
    extract: Annotated[dict[str, Any] | None, AfterValidator(check_extract)] = Field(
        default=None, description="a JSON Schema with `type: object` and properties"
    )
    languages: Languages = Field(
        default=(), description="two language codes, whose speakers are to talk, e.g. [ja, en]"
    )
    other_party: PhoneNumber | None = Field(default=None, description="a phone number in E.164, e.g. +8150…")
    original_voice: Annotated[float, Field(strict=True, ge=0, le=1)] = Field(
        default=0.15, description="a number from 0 (off) to 1 (as loud as it came)"
    )
    engine: Literal["translation", "realtime"] = Field(
        default="translation", description="translation or realtime"
    )
    forward_to: PhoneNumber | None = Field(default=None, description="a phone number in E.164, e.g. +8150…")
    # The last one: what it is checked against has been read by then.
    kind: Kind = Field(
        default="assistant", validate_default=True, description="assistant, interpreter or captions"
    )

    @model_validator(mode="before")
    @classmethod
    def _transcribed_live(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or fields.get("kind") != "captions":
            return fields
        return {**fields, "transcription": live_transcription(fields.get("transcription"))}

    @field_validator("kind")
    @classmethod
    def _fits_the_rest(cls, kind: Kind, info: ValidationInfo) -> Kind:
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return check_kind(kind, info.data, defaults)

    @property
    def transcriber(self) -> str | None:
        """The model that writes down what the caller says; ``None`` if none does."""
        return self.transcription.model if self.transcription is not None else None

    @property
    def detection_s(self) -> int | None:
        """For how long the carrier is to listen for an answering machine; ``None`` not at all."""
        return self.voicemail.timeout_seconds if self.voicemail is not None else None

    def parameters_of(self, given: Mapping[str, str]) -> dict[str, str]:
        """The parameters of a call: those that it gives, and the file's own for others."""
        return {name: value for name, value in self.parameters.items() if value is not None} | dict(given)

    def missing(self, parameters: Mapping[str, str]) -> list[str]:
        """The names that the agent needs, or its texts, and that nobody gives, sorted."""
        texts = (self.instructions, *(self._written(which) for which in LINES))
        needed = {name for text in texts if text for name in templates.needed(text)} - PROVIDED
        return sorted((needed | self.parameters.keys()) - self.parameters_of(parameters).keys())

    def fill(self, parameters: Mapping[str, str], at: datetime | None = None) -> str:
        """The instructions for one call, what is missing left empty; the same values give the same bytes.

        Args:
            at: the moment for those that ask for ``today`` or ``now``; the present one if left out.
        """
        return templates.fill(self.instructions, self._known(parameters, at))

    def line(self, which: SpokenLine, parameters: Mapping[str, str]) -> str | None:
        """A line to be spoken on one call, what is missing left empty; ``None`` for nothing to say."""
        text = self._written(which)
        if text is None:
            return None
        return templates.fill(text, self._known(parameters, None)).strip() or None

    def _written(self, which: SpokenLine) -> str | None:
        """A line as the file has it."""
        if which == "voicemail":
            return self.voicemail.message if self.voicemail is not None else None
        text: str | None = getattr(self, which)
        return text

    def _known(self, parameters: Mapping[str, str], at: datetime | None) -> dict[str, str]:
        """The call's parameters, and what is known without them."""
        here = (at or datetime.now(UTC)).astimezone(ZoneInfo(self.timezone))
        if self.language.partition("-")[0].lower() == "ja":
            weekday = f"({_WEEKDAYS_JA[here.weekday()]}曜日)"
        else:
            weekday = f" ({_WEEKDAYS[here.weekday()]})"
        provided = {"today": f"{here:%Y-%m-%d}{weekday}", "now": f"{here:%H:%M}"}
        return provided | self.parameters_of(parameters)
