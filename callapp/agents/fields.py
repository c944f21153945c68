"""The fields of an agent file that have fields of their own. Pure.

What a description says is what the operator is told to write there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

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

from callapp.agents.templates import is_text
from callapp.phone_numbers import possible_e164

DEFAULT_TRANSCRIBER = "gpt-transcribe"
LIVE_TRANSCRIBER = "gpt-live-transcribe"
"""Writes words down while they are said."""

_NOTHING = ("", "~", "null")
"""In YAML that is taken as it is written."""

# They take several languages, and words to expect.
_TAKE_LISTS = frozenset({DEFAULT_TRANSCRIBER, LIVE_TRANSCRIBER})


class Fields(BaseModel):
    """A mapping in the front matter; one with nothing after its colon is as good as left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            # What no field is called stays, to be told: of `{threshold: 0,7}` YAML makes a 0, and a blank 7.
            named = {str(name): inner for name, inner in value.items()}
            return {
                name: inner
                for name, inner in named.items()
                if inner is not None or name not in cls.model_fields
            }
        return value


def _as_tuple(value: object) -> object:
    """One where a list is expected is a list of one."""
    return (value,) if isinstance(value, str) else value


def off_is_none(value: object) -> object:
    """YAML reads a bare ``off`` as false."""
    return None if value is False or value == "off" else value


def read_switch(value: object) -> object:
    """``off``, where that is another thing than leaving the field out."""
    return "off" if value is False else value


def check_extract(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    """Check the JSON Schema of what is to be extracted from a call."""
    if schema is not None:
        # Imported when an agent has one: the library takes a moment to load.
        from callapp.analysis.schemas import check_schema

        check_schema(schema)
    return schema


def _phone_number(value: str) -> str:
    if possible_e164(value) != value:
        raise ValueError
    return value


PhoneNumber = Annotated[str, AfterValidator(_phone_number)]
PhoneNumbers = Annotated[tuple[PhoneNumber, ...], BeforeValidator(_as_tuple)]
Destinations = dict[
    Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)], PhoneNumber
]


def _names_with_values(value: object) -> object:
    """A list of names is one of those without a value; so is a name with nothing after its colon."""
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return dict.fromkeys(value)
    if isinstance(value, Mapping):
        return {name: None if inner in _NOTHING else inner for name, inner in value.items()}
    return value


def _parameter_text(text: str) -> str:
    if not text or not is_text(text):
        raise ValueError
    return text


_ParameterText = Annotated[str, AfterValidator(_parameter_text)]
Parameters = Annotated[dict[_ParameterText, _ParameterText | None], BeforeValidator(_names_with_values)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
Names = Annotated[tuple[Word, ...], BeforeValidator(_as_tuple)]
Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True)]
SomeText = Annotated[Text, StringConstraints(min_length=1)]


# -- transcription ------------------------------------------------------------------------------

_Code = Annotated[str, StringConstraints(pattern=r"^([a-z]{2,3}|zh-(cn|tw|hk))$")]


def _keyword(word: str) -> str:
    if not word.strip() or re.search(r"[<>\r\n]", word):
        raise ValueError
    return word.strip()


class Transcription(Fields):
    """How the caller's words are written down; the model itself hears them."""

    model: Word = Field(default=DEFAULT_TRANSCRIBER, description="the name of a model, e.g. gpt-transcribe")
    language: Annotated[tuple[_Code, ...], BeforeValidator(_as_tuple)] = Field(
        default=(), description="a language code or a list of them, e.g. ja or [ja, en]"
    )
    keywords: Annotated[tuple[Annotated[str, AfterValidator(_keyword)], ...], BeforeValidator(_as_tuple)] = (
        Field(default=(), description="a list of words to expect, without < and >, e.g. [callapp, Twilio]")
    )

    @property
    def takes_lists(self) -> bool:
        """Whether the model takes several languages, and keywords."""
        return self.model in _TAKE_LISTS

    @field_validator("language")
    @classmethod
    def _one_language(cls, codes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        model = info.data.get("model", DEFAULT_TRANSCRIBER)
        if len(codes) > 1 and model not in _TAKE_LISTS:
            raise ValueError(f"{model!r} takes one language only; expected e.g. ja")
        return codes

    @field_validator("keywords")
    @classmethod
    def _takes_keywords(cls, keywords: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        model = info.data.get("model", DEFAULT_TRANSCRIBER)
        if keywords and model not in _TAKE_LISTS:
            raise ValueError(f"{model!r} takes no keywords; expected them with {DEFAULT_TRANSCRIBER} only")
        return keywords


def read_transcription(value: object) -> object:
    """``off``, the name of a model, or all fields."""
    value = off_is_none(value)
    return {"model": value} if isinstance(value, str) else value


# -- turn detection -----------------------------------------------------------------------------

Milliseconds = Annotated[int, Field(strict=True, ge=0, le=10_000)]


class TurnDetection(Fields):
    """When the caller's turn is taken to be over."""

    type: Literal["server_vad", "semantic_vad"] = Field(
        default="server_vad", description="server_vad (by silence) or semantic_vad (by what was said)"
    )
    threshold: Annotated[float, Field(strict=True, ge=0, le=1)] = Field(
        default=0.5, description="a number from 0 to 1; higher for noisy lines"
    )
    prefix_padding_ms: Milliseconds = Field(
        default=300, description="a whole number of milliseconds, 0 to 10000"
    )
    silence_duration_ms: Milliseconds = Field(
        default=500, description="a whole number of milliseconds, 0 to 10000"
    )
    eagerness: Literal["low", "medium", "high", "auto"] = Field(
        default="auto", description="low, medium, high or auto"
    )

    @field_validator("threshold", "prefix_padding_ms", "silence_duration_ms")
    @classmethod
    def _by_silence(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("type") == "semantic_vad":
            raise ValueError("belongs to server_vad; expected eagerness, or nothing")
        return value

    @field_validator("eagerness")
    @classmethod
    def _by_meaning(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("type") == "server_vad":
            raise ValueError("belongs to semantic_vad; expected `type: semantic_vad` with it")
        return value


def read_turn_detection(value: object) -> object:
    """The name of a kind, or all fields."""
    return {"type": value} if isinstance(value, str) else value


# -- silence and noise --------------------------------------------------------------------------


class Idle(Fields):
    """What happens when nobody speaks. ``nudge_seconds: 0`` lets a silence last."""

    nudge_seconds: Annotated[float, Field(strict=True, ge=0, le=3600)] = Field(
        default=15, description="a number of seconds, 0 to 3600"
    )


class Interruptions(Fields):
    """What may cut the agent short. ``most_in_30_seconds: 0`` sets no limit."""

    min_speech_ms: Annotated[int, Field(strict=True, ge=0, le=5000)] = Field(
        default=0, description="a whole number of milliseconds, 0 to 5000"
    )
    most_in_30_seconds: Annotated[int, Field(strict=True, ge=0, le=100)] = Field(
        default=4, description="a whole number, 0 to 100"
    )
    noise_line: SomeText | None = Field(
        default=None, description="what the agent says when it is too noisy: text"
    )


# -- recording ----------------------------------------------------------------------------------


class Recording(Fields):
    """Who records the call, and what the caller is told of it first."""

    by: Literal["none", "ours", "twilio"] = Field(default="ours", description="none, ours or twilio")
    notice: SomeText | None = Field(default=None, description="what is said before a recorded call: text")


def read_recording(value: object) -> object:
    """``off``, who records, or all fields."""
    if value is False or value == "off":
        return {"by": "none"}
    return {"by": value} if isinstance(value, str) else value


# -- answering machines -------------------------------------------------------------------------

HANG_UP = "hang_up"


class Voicemail(Fields):
    """What happens when a machine has picked up a call of ours."""

    message: SomeText | None = Field(
        default=None, description="what is left on the machine: text; without it the call ends at once"
    )
    # Twilio's MachineDetectionTimeout.
    timeout_seconds: Annotated[int, Field(strict=True, ge=3, le=59)] = Field(
        default=30, description="a whole number of seconds, 3 to 59"
    )


def read_voicemail(value: object) -> object:
    """``off``, ``hang_up``, the text to leave, or all fields."""
    value = off_is_none(value)
    if value == HANG_UP:
        return {}
    return {"message": value} if isinstance(value, str) else value


# -- calls between people -----------------------------------------------------------------------


def _two_languages(codes: tuple[str, ...]) -> tuple[str, ...]:
    if len(codes) not in (0, 2) or len(set(codes)) != len(codes):
        raise ValueError
    return codes


Languages = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")], ...],
    BeforeValidator(_as_tuple),
    AfterValidator(_two_languages),
]
# -- remote tools -------------------------------------------------------------------------------


def _https(value: str) -> str:
    try:
        url = urlsplit(value)
        _ = url.port
    except ValueError as error:
        raise ValueError from error  # its words would show what may be a secret
    if url.scheme != "https" or not url.hostname or "@" in url.netloc or re.search(r"\s", value):
        raise ValueError
    return value


class McpServer(Fields):
    """A remote MCP server, called by OpenAI itself.

    With ``require_approval: always`` OpenAI asks before each call, and callapp answers: yes for the
    tools in ``approve``, no for all others.
    """

    server_label: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = Field(
        description="a short name of letters, digits, - and _, e.g. crm"
    )
    server_url: Annotated[str, AfterValidator(_https)] = Field(
        description="an https address without credentials, e.g. https://crm.example.com/mcp"
    )
    allowed_tools: Names = Field(default=(), description="a list of names of the server's tools")
    require_approval: Literal["always", "never"] = Field(default="always", description="always or never")
    approve: Names = Field(default=(), description="a list of names of the server's tools")
    authorization: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,127}$")] | None = Field(
        default=None,
        description="the name of an environment variable that holds the token, e.g. CRM_TOKEN; "
        "never the token itself",
    )

    @field_validator("approve")
    @classmethod
    def _names_what_may_be_called(cls, approve: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("require_approval") == "never":
            raise ValueError("is of no effect with `require_approval: never`; expected one of the two")
        allowed = info.data.get("allowed_tools") or approve
        strangers = [name for name in approve if name not in allowed]
        if strangers:
            raise ValueError(f"{strangers[0]!r} is not in allowed_tools; expected it in both or in none")
        return approve

    @model_validator(mode="after")
    def _can_do_something(self) -> Self:
        if self.require_approval == "always" and not self.approve:
            raise ValueError(
                "none of its tools could ever run; expected `approve: [names of tools]`, or "
                "`require_approval: never`"
            )
        return self


def _own_labels(servers: tuple[McpServer, ...]) -> tuple[McpServer, ...]:
    # OpenAI refuses a session with two of one label, and the next one asks for neither voice nor servers.
    labels = [server.server_label for server in servers]
    twice = next((label for index, label in enumerate(labels) if label in labels[:index]), None)
    if twice is not None:
        raise ValueError(f"there are two servers {twice!r}; expected a server_label of its own for each")
    return servers


McpServers = Annotated[tuple[McpServer, ...], AfterValidator(_own_labels)]
