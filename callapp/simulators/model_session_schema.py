"""``session`` of a ``session.update``, field by field: the GA Realtime API's, and nothing else.

Written from the published reference, not from callapp's own encoder nor from the ``openai``
package. A field that is not here is refused, as on the real service (``unknown_parameter``).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

_MAX_TEXT_CHARS = 256_000
_LANGUAGE = re.compile(r"[a-z]{2,3}|zh-(cn|tw|hk)")
VAD_LESS_TRANSCRIBERS = frozenset({"gpt-live-transcribe", "gpt-realtime-whisper"})


class Strict(BaseModel):
    """No field but those named, no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _shape(value: object) -> str:
    return (
        "object" if isinstance(value, (dict, BaseModel)) else "list" if isinstance(value, list) else "plain"
    )


Text: TypeAlias = Annotated[str, StringConstraints(max_length=_MAX_TEXT_CHARS)]
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class Pcm(Strict):
    type: Literal["audio/pcm"]
    rate: Literal[24000] = 24000


class G711(Strict):
    type: Literal["audio/pcmu", "audio/pcma"]


AudioFormat: TypeAlias = Annotated[Pcm | G711, Field(discriminator="type")]


class NoiseReduction(Strict):
    type: Literal["near_field", "far_field"]
    strength: float | int = 1


def _language(code: str) -> str:
    if not _LANGUAGE.fullmatch(code):
        raise ValueError(f"Language '{code}' is not supported.")
    return code


def _keyword(word: str) -> str:
    if re.search(r"[<>\r\n]", word):
        raise ValueError("Keywords must not contain '<', '>' or line breaks.")
    return word


Language: TypeAlias = Annotated[str, AfterValidator(_language)]


class Transcription(Strict):
    model: Literal[
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-realtime-whisper",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-4o-transcribe-diarize",
        "whisper-1",
    ]
    language: Language = ""
    languages: Annotated[list[Language], Field(min_length=1)] = []
    keywords: list[Annotated[str, AfterValidator(_keyword)]] = []
    prompt: str = ""
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] = "medium"

    @model_validator(mode="after")
    def _only_what_the_model_takes(self) -> Transcription:
        takes = {
            "gpt-transcribe": {"model", "languages", "keywords", "prompt"},
            "gpt-live-transcribe": {"model", "languages", "keywords", "prompt", "delay"},
            "gpt-realtime-whisper": {"model", "language", "delay"},
        }.get(self.model, {"model", "language", "prompt"})
        for name in sorted(self.model_fields_set - takes):
            raise ValueError(f"'{name}' is not supported with the model '{self.model}'.")
        return self


class ServerVad(Strict):
    type: Literal["server_vad"]
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    prefix_padding_ms: Annotated[int, Field(ge=0)] = 300
    silence_duration_ms: Annotated[int, Field(ge=0)] = 200
    idle_timeout_ms: Annotated[int, Field(ge=5000, le=30000)] | None = None
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Strict):
    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class AudioInput(Strict):
    format: AudioFormat = Pcm(type="audio/pcm")
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: Annotated[ServerVad | SemanticVad, Field(discriminator="type")] | None = None


class CustomVoice(Strict):
    id: str


Voice: TypeAlias = Annotated[
    Annotated[
        Literal["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"],
        Tag("plain"),
    ]
    | Annotated[CustomVoice, Tag("object")],
    Discriminator(_shape),
]


class AudioOutput(Strict):
    format: AudioFormat = Pcm(type="audio/pcm")
    voice: Voice = "marin"
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0


class Audio(Strict):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class FunctionTool(Strict):
    type: Literal["function"]
    name: Name
    description: str = ""
    parameters: dict[str, Any] = {}


class ToolFilter(Strict):
    tool_names: list[str] = []
    read_only: bool = False


class ApprovalFilter(Strict):
    always: ToolFilter = ToolFilter()
    never: ToolFilter = ToolFilter()


class McpTool(Strict):
    type: Literal["mcp"]
    server_label: str
    server_url: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    authorization: str | None = None
    headers: dict[str, str] | None = None
    allowed_tools: (
        Annotated[
            Annotated[list[str], Tag("list")] | Annotated[ToolFilter, Tag("object")],
            Discriminator(_shape),
        ]
        | None
    ) = None
    require_approval: (
        Annotated[
            Annotated[Literal["always", "never"], Tag("plain")] | Annotated[ApprovalFilter, Tag("object")],
            Discriminator(_shape),
        ]
        | None
    ) = None
    server_description: str | None = None
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    defer_loading: bool = False

    @model_validator(mode="after")
    def _one_server_one_credential(self) -> McpTool:
        if sum(way is not None for way in (self.server_url, self.connector_id, self.tunnel_id)) > 1:
            raise ValueError("Give only one of 'server_url', 'connector_id' and 'tunnel_id'.")
        if self.authorization and "authorization" in {name.lower() for name in self.headers or {}}:
            raise ValueError("Give 'authorization' or 'headers.Authorization', not both.")
        return self


Tool: TypeAlias = Annotated[FunctionTool | McpTool, Field(discriminator="type")]


class ToolChoiceFunction(Strict):
    type: Literal["function"]
    name: str


class ToolChoiceMcp(Strict):
    type: Literal["mcp"]
    server_label: str
    name: str | None = None


ToolChoice: TypeAlias = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("plain")]
    | Annotated[
        Annotated[ToolChoiceFunction | ToolChoiceMcp, Field(discriminator="type")],
        Tag("object"),
    ],
    Discriminator(_shape),
]


class Reasoning(Strict):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] = "low"


class TokenLimits(Strict):
    post_instructions: Annotated[int, Field(ge=0)]


class RetentionRatio(Strict):
    type: Literal["retention_ratio"]
    retention_ratio: Annotated[float, Field(ge=0, le=1)]
    token_limits: TokenLimits | None = None


class Tracing(Strict):
    workflow_name: str | None = None
    group_id: str | None = None
    metadata: dict[str, Any] | None = None


class Prompt(Strict):
    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


Modalities: TypeAlias = Annotated[list[Literal["text", "audio"]], Field(min_length=1, max_length=1)]
MaxTokens: TypeAlias = Annotated[
    Annotated[int, Field(ge=1, le=4096), Tag("number")] | Annotated[Literal["inf"], Tag("word")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "number"),
]


class Session(Strict):
    """``session`` of ``session.update``; what is absent keeps its value."""

    type: Literal["realtime"]
    model: str = ""
    output_modalities: Modalities = ["audio"]
    instructions: Text = ""
    audio: Audio = Audio()
    tools: list[Tool] = []
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    reasoning: Reasoning = Reasoning()
    max_output_tokens: MaxTokens = "inf"
    truncation: Annotated[
        Annotated[Literal["auto", "disabled"], Tag("plain")] | Annotated[RetentionRatio, Tag("object")],
        Discriminator(_shape),
    ] = "auto"
    tracing: (
        Annotated[
            Annotated[Literal["auto"], Tag("plain")] | Annotated[Tracing, Tag("object")],
            Discriminator(_shape),
        ]
        | None
    ) = None
    prompt: Prompt | None = None
    include: list[Literal["item.input_audio_transcription.logprobs"]] = []
