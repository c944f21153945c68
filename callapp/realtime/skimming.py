"""What is seen of a message where it is read: what is urgent in it, or whether anybody needs it. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

import orjson

from callapp.conversation.events import AgentSaid, AudioArrived, Part, SpeechStarted
from callapp.errors import BadMessage
from callapp.realtime.events import KINDS, decode

# What is taken where it is read: the agent's voice, and that the caller interrupts it.
Urgent = AudioArrived | AgentSaid | SpeechStarted

# Comes some 50 times a second a call, so it is sliced out of the layout in which the service sends it.
_audio = re.compile(
    rb'\{"type": ?"response\.output_audio\.delta", ?"event_id": ?"[\w-]+", ?'
    rb'("response_id": ?"[\w-]+", ?"item_id": ?"[\w-]+", ?'
    rb'"output_index": ?(?:0|[1-9]\d{0,2}), ?"content_index": ?(?:0|[1-9]\d{0,2})), ?'
    rb'"delta": ?"([A-Za-z0-9+/]++={0,2}+)"\}'  # and of a length that is a multiple of four
).fullmatch
_begins = re.compile(rb'\{"type": ?"([a-z_.]+)"').match
_KNOWN = frozenset(kind.encode() for kind in KINDS)
# Urgent, or told of every item and needed of few.
_DECODED = frozenset(
    [
        b"response.output_audio.delta",
        b"response.output_audio_transcript.delta",
        b"input_audio_buffer.speech_started",
        b"conversation.item.added",
        b"conversation.item.done",
        b"response.output_item.done",
    ]
)


def is_needed(data: bytes) -> bool:
    """Whether anything here may need this message, by its type."""
    begins = _begins(data)
    return begins is None or begins[1] in _KNOWN


def skim(data: bytes) -> Urgent | bool:
    """Read what is urgent; of all else say whether anything here needs it.

    That is seen by a glance at the beginning, where the service has the type; of items only some are needed.
    """
    audio = _audio(data)
    if audio is not None:
        origin, payload = audio.groups()
        if not len(payload) & 3:
            response_id, part = _read_origin(origin)
            return AudioArrived(response_id, part, payload)
    begins = _begins(data)
    if begins is None:
        return True
    if begins[1] not in _DECODED:
        return begins[1] in _KNOWN
    try:
        decoded = decode(data)
    except BadMessage:
        return True
    return decoded if isinstance(decoded, Urgent) else decoded is not None


@lru_cache(maxsize=1024)  # more than there are calls: a part's audio comes in hundreds of pieces
def _read_origin(fields: bytes) -> tuple[str, Part]:
    """Read which response and which part a delta is of: the same objects each time."""
    origin = orjson.loads(b"{%b}" % fields)
    return origin["response_id"], Part(origin["item_id"], origin["content_index"])
