"""The events a client may send, field by field; ``session`` has a module of its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, StringConstraints, TypeAdapter, model_validator

from callapp.simulators.model_session_schema import (
    AudioFormat,
    MaxTokens,
    Modalities,
    Name,
    Prompt,
    Reasoning,
    Session,
    Strict,
    Text,
    Tool,
    ToolChoice,
    Voice,
)

EventId: TypeAlias = Annotated[str, StringConstraints(max_length=512)]
ItemId: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=32)]


# Items


class InputText(Strict):
    type: Literal["input_text"]
    text: Text


class InputAudio(Strict):
    type: Literal["input_audio"]
    audio: str
    transcript: str | None = None


class InputImage(Strict):
    type: Literal["input_image"]
    image_url: Annotated[str, StringConstraints(pattern=r"^data:image/(png|jpeg);base64,")]
    detail: Literal["auto", "low", "high"] = "auto"


class OutputText(Strict):
    type: Literal["output_text", "output_audio"]
    text: Text
    audio: str | None = None
    transcript: str | None = None

    @model_validator(mode="after")
    def _text_only(self) -> OutputText:
        if self.type == "output_audio" or self.audio is not None or self.transcript is not None:
            raise ValueError("An assistant's audio cannot be created by the client.")
        return self


class _Item(Strict):
    id: ItemId | None = None
    object: Literal["realtime.item"] = "realtime.item"
    status: Literal["completed", "incomplete", "in_progress"] = "completed"


class SystemMessage(_Item):
    type: Literal["message"]
    role: Literal["system"]
    content: list[InputText]


class UserMessage(_Item):
    type: Literal["message"]
    role: Literal["user"]
    content: list[Annotated[InputText | InputAudio | InputImage, Field(discriminator="type")]]


class AssistantMessage(_Item):
    type: Literal["message"]
    role: Literal["assistant"]
    content: list[OutputText]


class FunctionCall(_Item):
    type: Literal["function_call"]
    call_id: ItemId
    name: Name
    arguments: str


class FunctionCallOutput(_Item):
    type: Literal["function_call_output"]
    call_id: str
    output: Text


class McpApprovalResponse(Strict):
    type: Literal["mcp_approval_response"]
    id: ItemId
    approval_request_id: str
    approve: bool
    reason: str | None = None


class ItemReference(Strict):
    type: Literal["item_reference"]
    id: str


Message: TypeAlias = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]
Item: TypeAlias = Annotated[
    Message | FunctionCall | FunctionCallOutput | McpApprovalResponse, Field(discriminator="type")
]
ContextItem: TypeAlias = Annotated[
    Message | FunctionCall | FunctionCallOutput | McpApprovalResponse | ItemReference,
    Field(discriminator="type"),
]


# Responses


class ResponseAudioOutput(Strict):
    format: AudioFormat | None = None
    voice: Voice | None = None


class ResponseAudio(Strict):
    output: ResponseAudioOutput = ResponseAudioOutput()


class Response(Strict):
    """``response`` of ``response.create``; what is absent is the session's."""

    instructions: Text = ""
    output_modalities: Modalities = Field(default=["audio"])
    audio: ResponseAudio = ResponseAudio()
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    reasoning: Reasoning = Reasoning()
    max_output_tokens: MaxTokens = "inf"
    prompt: Prompt | None = None
    metadata: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(max_length=64)],
                Annotated[str, StringConstraints(max_length=512)],
            ],
            Field(max_length=16),
        ]
        | None
    ) = None
    conversation: Literal["auto", "none"] = "auto"
    input: list[ContextItem] = Field(default_factory=list)


# Events


class Event(Strict):
    type: str
    event_id: EventId | None = None


class SessionUpdate(Event):
    session: Session


class AudioAppend(Event):
    audio: str


class Bare(Event):
    """An event of no further fields."""


class ItemCreate(Event):
    item: Item
    previous_item_id: str | None = None


class ItemNamed(Event):
    item_id: str


class ItemTruncate(Event):
    item_id: str
    content_index: int
    audio_end_ms: int


class ResponseCreate(Event):
    response: Response = Response()


class ResponseCancel(Event):
    response_id: str | None = None


CLIENT_EVENTS: dict[str, TypeAdapter[Any]] = {
    "session.update": TypeAdapter(SessionUpdate),
    "input_audio_buffer.append": TypeAdapter(AudioAppend),
    "input_audio_buffer.commit": TypeAdapter(Bare),
    "input_audio_buffer.clear": TypeAdapter(Bare),
    "conversation.item.create": TypeAdapter(ItemCreate),
    "conversation.item.retrieve": TypeAdapter(ItemNamed),
    "conversation.item.truncate": TypeAdapter(ItemTruncate),
    "conversation.item.delete": TypeAdapter(ItemNamed),
    "response.create": TypeAdapter(ResponseCreate),
    "response.cancel": TypeAdapter(ResponseCancel),
    "output_audio_buffer.clear": TypeAdapter(Bare),
}
