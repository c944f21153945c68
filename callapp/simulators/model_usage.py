"""Token counts of a pretend session: the published rules for audio, a rule of thumb for text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from callapp.simulators.model_items import Item

_CALLER_MS_PER_TOKEN = 100
_MODEL_MS_PER_TOKEN = 50
_CHARS_PER_TOKEN = 4
_TOKENS_PER_MINUTE = 800_000


def text_tokens(text: str) -> int:
    return -(-len(text) // _CHARS_PER_TOKEN)


def _tokens(items: Iterable[Item]) -> tuple[int, int]:
    """Audio and text tokens of some items."""
    audio = text = 0
    for item in items:
        audio += -(
            -item.audio_ms // (_MODEL_MS_PER_TOKEN if item.role == "assistant" else _CALLER_MS_PER_TOKEN)
        )
        if item.role != "user" or not item.audio:
            text += text_tokens(item.text)
    return audio, text


def usage(
    instructions: str, context: Iterable[Item], produced: Iterable[Item], cached_tokens: int
) -> dict[str, Any]:
    """``usage`` of a ``response.done``.

    Args:
        instructions: the session's.
        context: the items the response read.
        produced: the items it made.
        cached_tokens: input tokens of the response before; what is left of that prefix is cached.
    """
    audio_in, text_in = _tokens(context)
    text_in += text_tokens(instructions)
    audio_out, text_out = _tokens(produced)
    cached = min(cached_tokens, audio_in + text_in)
    cached_text = min(cached, text_in)
    return {
        "total_tokens": audio_in + text_in + audio_out + text_out,
        "input_tokens": audio_in + text_in,
        "output_tokens": audio_out + text_out,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "image_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {
                "text_tokens": cached_text,
                "audio_tokens": cached - cached_text,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }


def transcription_usage(model: str, audio_ms: int, text: str) -> dict[str, Any]:
    """``usage`` of a finished transcription: the newer models are billed by time, the older by tokens."""
    if not model.startswith("gpt-4o"):
        return {"type": "duration", "seconds": audio_ms / 1000}
    heard, written = -(-audio_ms // _CALLER_MS_PER_TOKEN), text_tokens(text)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "output_tokens": written,
        "total_tokens": heard + written,
        "input_token_details": {"audio_tokens": heard, "text_tokens": 0},
    }


def rate_limits() -> list[dict[str, Any]]:
    """As observed, only ``tokens``; nobody else uses this account."""
    return [
        {"name": "tokens", "limit": _TOKENS_PER_MINUTE, "remaining": _TOKENS_PER_MINUTE, "reset_seconds": 0.0}
    ]
