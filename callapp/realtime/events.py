"""OpenAI Realtime messages, decoded once into types and encoded from commands. Pure.

Field names are those of the ``openai`` Python package 3.54.0 (``openai.types.realtime``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from callapp.conversation.commands import (
    LINE_ID,
    AnswerTool,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    Tell,
    TruncateItem,
)
from callapp.conversation.events import (
    AgentSaid,
    AudioArrived,
    AudioEnded,
    CallerSaid,
    LineTaken,
    MessageStarted,
    OutputTaken,
    Part,
    RemoteToolCalled,
    RemoteToolRan,
    RemoteToolReturned,
    ResponseEnded,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    Usage,
)
from callapp.errors import BadMessage
from callapp.realtime.messages import (
    Complaint,
    Message,
    SessionCreated,
    complaint,
    index_of,
    index_or_none,
    object_of,
    object_or_empty,
    read,
    text_of,
    text_or_none,
    wait_ms_of,
)

ModelCommand = AnswerTool | CancelResponse | CreateResponse | DeleteItem | Tell | TruncateItem

_is_base64 = re.compile(rb"[A-Za-z0-9+/]*+={0,2}+").fullmatch  # if its length is a multiple of four


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    """The service confirms an update: ``session`` is the whole session as it stands now."""

    session: Message


@dataclass(frozen=True, slots=True)
class SilenceCommitted:
    """The service's timer for silences ran out; the silence is an item, which is transcribed, too."""

    item_id: str


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """The service wants to know whether it may run a remote tool. Told more than once."""

    request_id: str
    server_label: str
    name: str


@dataclass(frozen=True, slots=True)
class ApprovedCall:
    """A call that we have approved is an item now, and no part of any response."""

    item_id: str


@dataclass(frozen=True, slots=True)
class ListingFailed:
    """The service could not learn which tools a remote server has; it does without them."""


Decoded = (
    SessionCreated
    | SessionUpdated
    | AgentSaid
    | CallerSaid
    | Complaint
    | SpeechStarted
    | SpeechStopped
    | ResponseStarted
    | MessageStarted
    | OutputTaken
    | LineTaken
    | AudioArrived
    | AudioEnded
    | ToolCalled
    | ApprovalAsked
    | ApprovedCall
    | SilenceCommitted
    | RemoteToolCalled
    | ListingFailed
    | RemoteToolReturned
    | RemoteToolRan
    | ResponseEnded
)


def decode(data: bytes) -> Decoded | None:
    """Read one server event; ``None`` for a type that nothing here needs.

    Raises:
        BadMessage: it is not a JSON object, or a known type lacks a field.
    """
    message = read(data)
    kind = message.get("type")
    decoder = _DECODERS.get(kind) if isinstance(kind, str) else None
    return None if decoder is None else decoder(message)


# -- one decoder a type -------------------------------------------------------------------------


def _audio_delta(message: Message) -> AudioArrived:
    payload = text_of(message, "delta").encode()
    if len(payload) % 4 or not _is_base64(payload):
        raise BadMessage("response.output_audio.delta: delta is not base64")
    part = Part(text_of(message, "item_id"), index_of(message, "content_index"))
    return AudioArrived(text_of(message, "response_id"), part, payload)


def _words(message: Message) -> AgentSaid:
    return AgentSaid(text_of(message, "item_id"), text_of(message, "delta"))


def _speech_started(message: Message) -> SpeechStarted:
    return SpeechStarted(text_of(message, "item_id"), index_or_none(message, "audio_start_ms"))


def _audio_done(message: Message) -> AudioEnded:
    return AudioEnded(
        text_of(message, "response_id"), text_of(message, "item_id"), index_of(message, "content_index")
    )


def _response_created(message: Message) -> ResponseStarted:
    response = object_of(message, "response")
    tag = text_or_none(object_or_empty(response, "metadata"), "tag")
    return ResponseStarted(text_of(response, "id"), tag)


def _item_added(message: Message) -> MessageStarted | None:
    item = object_of(message, "item")
    if item.get("type") != "message":
        return None
    return MessageStarted(text_of(message, "response_id"), text_of(item, "id"))


def _item_placed(message: Message) -> OutputTaken | LineTaken | ApprovedCall | None:
    item = object_of(message, "item")
    match item.get("type"):
        case "function_call_output":
            return OutputTaken(text_of(item, "call_id"))
        case "message" if text_of(item, "id").startswith(LINE_ID):
            return LineTaken(text_of(item, "id"))
        case "mcp_call" if item.get("approval_request_id") is not None:
            return ApprovedCall(text_of(item, "id"))
        case _:
            return None


def _item_done(message: Message) -> ToolCalled | ApprovalAsked | RemoteToolRan | None:
    item = object_of(message, "item")
    match item.get("type"):
        case "mcp_approval_request":
            return ApprovalAsked(text_of(item, "id"), text_of(item, "server_label"), text_of(item, "name"))
        case "mcp_call":
            return _remote_tool_ran(item)
    return _tool_called(item, text_of(message, "response_id"))


def _remote_tool_ran(item: Message) -> RemoteToolRan | None:
    output, error = item.get("output"), item.get("error")
    if output is None and error is None:  # it has only been called
        return None
    failed = error is not None
    told = error if failed else output
    return RemoteToolRan(
        text_of(item, "id"),
        f"{text_of(item, 'server_label')}.{text_of(item, 'name')}",
        text_of(item, "arguments"),
        told if isinstance(told, str) else orjson.dumps(told).decode(),
        failed,
    )


def _conversation_item_done(message: Message) -> Decoded | None:
    # All other items are known by their response.
    kind = object_of(message, "item").get("type")
    return _item_done(message) if kind in ("mcp_approval_request", "mcp_call") else None


def _tool_called(item: Message, response_id: str, *, cut: bool = False) -> ToolCalled | None:
    if item.get("type") != "function_call":
        return None
    complete = item.get("status") == "completed" or (item.get("status") is None and not cut)
    return ToolCalled(
        response_id,
        text_of(item, "call_id"),
        text_or_none(item, "name") or "",
        text_or_none(item, "arguments") or "",
        complete,
    )


def _response_done(message: Message) -> ResponseEnded:
    response = object_of(message, "response")
    response_id = text_of(response, "id")
    status = text_or_none(response, "status") or "completed"
    error = object_or_empty(object_or_empty(response, "status_details"), "error")
    code = error.get("code") or error.get("type")
    output = response.get("output")
    calls = [
        _tool_called(item, response_id, cut=status != "completed")
        for item in (output if isinstance(output, list) else [])
        if isinstance(item, dict)
    ]
    return ResponseEnded(
        response_id,
        status,
        code if isinstance(code, str) else None,
        tuple(call for call in calls if call is not None),
        _usage(response.get("usage")),
        empty=status == "completed" and isinstance(output, list) and all(map(_is_bare, output)),
        wait_ms=wait_ms_of(text_or_none(error, "message") or ""),
    )


def _is_bare(item: Any) -> bool:
    """Whether an item of a response is a message that says nothing."""
    return isinstance(item, dict) and item.get("type") == "message" and item.get("content") == []


def _usage(reported: Any) -> Usage | None:
    """What a response took. Any part of the report can be null, and then counts as nothing."""
    if not isinstance(reported, dict):
        return None
    read = object_or_empty(reported, "input_token_details")
    # Where it is not told what of the input was cached, it counts at the full price.
    cached = object_or_empty(read, "cached_tokens_details")
    written = object_or_empty(reported, "output_token_details")
    return Usage(
        input_text=_count(read, "text_tokens"),
        input_audio=_count(read, "audio_tokens"),
        cached_text=_count(cached, "text_tokens"),
        cached_audio=_count(cached, "audio_tokens"),
        output_text=_count(written, "text_tokens"),
        output_audio=_count(written, "audio_tokens"),
    )


def _count(report: Message, key: str) -> int:
    count = report.get(key)
    return count if isinstance(count, int) and count > 0 else 0


def _caller_said(message: Message) -> CallerSaid:
    # The newer models are billed by time; what the older ones report, tokens, is not counted.
    seconds = object_or_empty(message, "usage").get("seconds")
    usage = Usage(transcribed_s=seconds) if isinstance(seconds, int | float) and seconds > 0 else None
    return CallerSaid(text_of(message, "item_id"), text_of(message, "transcript"), usage)


_DECODERS: dict[str, Callable[[Message], Decoded | None]] = {
    "response.output_audio.delta": _audio_delta,
    "response.output_audio.done": _audio_done,
    "response.created": _response_created,
    "response.done": _response_done,
    "response.output_item.added": _item_added,
    "conversation.item.added": _item_placed,
    "response.output_item.done": _item_done,
    "conversation.item.done": _conversation_item_done,
    "response.mcp_call.in_progress": lambda m: RemoteToolCalled(text_of(m, "item_id")),
    "mcp_list_tools.failed": lambda _: ListingFailed(),
    "response.mcp_call.completed": lambda m: RemoteToolReturned(text_or_none(m, "item_id")),
    "response.mcp_call.failed": lambda m: RemoteToolReturned(text_or_none(m, "item_id")),
    "response.output_audio_transcript.delta": _words,
    "response.output_audio_transcript.done": lambda m: AgentSaid(
        text_of(m, "item_id"), text_of(m, "transcript"), whole=True
    ),
    "conversation.item.input_audio_transcription.completed": _caller_said,
    "input_audio_buffer.speech_started": _speech_started,
    "input_audio_buffer.speech_stopped": lambda m: SpeechStopped(index_or_none(m, "audio_end_ms")),
    "input_audio_buffer.timeout_triggered": lambda m: SilenceCommitted(text_of(m, "item_id")),
    "session.created": lambda m: SessionCreated(text_of(object_of(m, "session"), "id")),
    "session.updated": lambda m: SessionUpdated(object_of(m, "session")),
    "error": complaint,
}

KINDS = frozenset(_DECODERS)
"""The types of the events that something here needs."""

_ROLES = {"agent": "assistant", "caller": "user", "system": "system"}


# -- what we send -------------------------------------------------------------------------------


def encode(command: ModelCommand) -> bytes:
    """Write a command as the client event that carries it out."""
    return orjson.dumps(_client_event(command))


def encode_approval(request_id: str, *, approve: bool) -> bytes:
    """Answer the service's question whether it may run a remote tool."""
    item = {
        "type": "mcp_approval_response",
        "id": f"approval_{hashlib.sha256(request_id.encode()).hexdigest()[:20]}",
        "approval_request_id": request_id,
        "approve": approve,
    }
    if not approve:
        item["reason"] = "This tool may not be used in this call. Offer the caller another way."
    return orjson.dumps({"type": "conversation.item.create", "item": item})


# The caller's audio (base64 of mu-law) stands between these as it came.
APPEND_HEAD, APPEND_TAIL = b'{"type":"input_audio_buffer.append","audio":"', b'"}'


def _client_event(command: ModelCommand) -> Message:
    match command:
        case CreateResponse(request_id, tag, instructions, tools_allowed):
            response: Message = {"metadata": {"tag": tag}}
            if instructions is not None:
                response["instructions"] = instructions
            if not tools_allowed:
                response["tool_choice"] = "none"
            return {"type": "response.create", "event_id": request_id, "response": response}
        case CancelResponse(response_id):
            return {"type": "response.cancel", "response_id": response_id}
        case TruncateItem(item_id, content_index, heard_ms):
            return {
                "type": "conversation.item.truncate",
                "item_id": item_id,
                "content_index": content_index,
                "audio_end_ms": heard_ms,
            }
        case DeleteItem(item_id):
            return {"type": "conversation.item.delete", "item_id": item_id}
        case Tell(role, text, item_id=item_id):
            kind = "output_text" if role == "agent" else "input_text"
            item = {
                **({"id": item_id} if item_id is not None else {}),
                "type": "message",
                "role": _ROLES[role],
                "content": [{"type": kind, "text": text}],
            }
            return {"type": "conversation.item.create", "item": item}
        case AnswerTool(tool_call_id, output):
            item = {"type": "function_call_output", "call_id": tool_call_id, "output": output}
            return {"type": "conversation.item.create", "item": item}
