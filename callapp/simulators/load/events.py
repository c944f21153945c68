"""The server events that the load's model sends beside its audio, in the order a real service has them.

https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]

_USAGE = {
    "total_tokens": 900,
    "input_tokens": 700,
    "output_tokens": 200,
    "input_token_details": {
        "text_tokens": 500,
        "audio_tokens": 200,
        "cached_tokens": 300,
        "cached_tokens_details": {"text_tokens": 300, "audio_tokens": 0},
    },
    "output_token_details": {"text_tokens": 40, "audio_tokens": 160},
}
_CALLER_SAID = "あの、注文した商品は、いつ届きますか。"


def speech_started(turn: int, heard_ms: int) -> Event:
    """The caller begins to speak."""
    return {
        "type": "input_audio_buffer.speech_started",
        "event_id": f"event_s{turn}",
        "audio_start_ms": heard_ms,
        "item_id": f"item_c{turn}",
    }


def speech_stopped(turn: int, heard_ms: int) -> Iterator[Event]:
    """The caller has finished, and is written down."""
    item_id = f"item_c{turn}"
    yield {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": heard_ms, "item_id": item_id}
    yield {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": None}
    item: Event = {"id": item_id, "type": "message", "role": "user", "status": "completed"}
    item["content"] = [{"type": "input_audio", "transcript": None}]
    yield {"type": "conversation.item.added", "item": item}
    yield {"type": "conversation.item.done", "item": item}
    yield {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": item_id,
        "content_index": 0,
        "transcript": _CALLER_SAID,
    }


def response_began(number: int, metadata: object) -> Iterator[Event]:
    """A response, its message, and the audio part in that."""
    yield {"type": "response.created", "response": _response(number, metadata, "in_progress")}
    item = _message(number, "in_progress", [])
    yield {"type": "response.output_item.added", **_output(number, 0), "item": item}
    yield {"type": "conversation.item.added", "item": item}
    part = {"type": "audio", "transcript": ""}
    yield {"type": "response.content_part.added", **_place(number), "part": part}


def words(number: int, text: str) -> Event:
    """Some more of what is being said, as text."""
    return {"type": "response.output_audio_transcript.delta", **_place(number), "delta": text}


def response_ended(
    number: int,
    text: str,
    metadata: object,
    status: str,
    reason: str | None,
    *,
    ends_call: bool,
) -> Iterator[Event]:
    """All that is done at a response's end; with a call of ``end_call`` in it if wished."""
    place = _place(number)
    yield {"type": "response.output_audio.done", **place}
    yield {"type": "response.output_audio_transcript.done", **place, "transcript": text}
    content = [{"type": "audio", "transcript": text}]
    yield {"type": "response.content_part.done", **place, "part": content[0]}
    item = _message(number, "completed" if status == "completed" else "incomplete", content)
    yield {"type": "conversation.item.done", "item": item}
    yield {"type": "response.output_item.done", **_output(number, 0), "item": item}
    output = [item]
    if ends_call:
        call = {
            "id": f"item_f{number}",
            "type": "function_call",
            "status": "completed",
            "name": "end_call",
            "call_id": f"call_{number}",
            "arguments": '{"reason":"the caller said goodbye"}',
        }
        output.append(call)
        yield {
            "type": "response.output_item.added",
            **_output(number, 1),
            "item": {**call, "status": "in_progress", "arguments": ""},
        }
        yield {
            "type": "response.function_call_arguments.done",
            **_output(number, 1),
            "item_id": call["id"],
            "call_id": call["call_id"],
            "name": "end_call",
            "arguments": call["arguments"],
        }
        yield {"type": "response.output_item.done", **_output(number, 1), "item": call}
    response = _response(number, metadata, status)
    response["output"] = output
    response["usage"] = _USAGE
    if reason is not None:
        response["status_details"] = {"type": status, "reason": reason}
    yield {"type": "response.done", "response": response}
    limits = [{"name": "tokens", "limit": 40000, "remaining": 39000, "reset_seconds": 1.5}]
    yield {"type": "rate_limits.updated", "rate_limits": limits}


def _response_id(number: int) -> str:
    return f"resp_{number:05d}"


def _output(number: int, index: int) -> Event:
    return {"response_id": _response_id(number), "output_index": index}


def _place(number: int) -> Event:
    return {**_output(number, 0), "item_id": f"item_{number:05d}", "content_index": 0}


def _message(number: int, status: str, content: list[Event]) -> Event:
    item: Event = {"id": f"item_{number:05d}", "object": "realtime.item", "type": "message"}
    return {**item, "status": status, "role": "assistant", "content": content}


def _response(number: int, metadata: object, status: str) -> Event:
    return {
        "id": _response_id(number),
        "object": "realtime.response",
        "status": status,
        "status_details": None,
        "output": [],
        "output_modalities": ["audio"],
        "metadata": metadata,
        "usage": None,
    }
