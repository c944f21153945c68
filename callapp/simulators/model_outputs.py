"""An item of a response while it is being produced: its deltas, and its ``done`` events.

What has been produced is in the item itself, so that it can be ended at any delta.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from callapp.simulators import ulaw
from callapp.simulators.clips import Clip
from callapp.simulators.model_errors import encode_audio
from callapp.simulators.model_items import Item
from callapp.simulators.model_script import Pace

if TYPE_CHECKING:
    from callapp.simulators.model_responses import Response

_ARGUMENT_PIECES = 3
_TEXT_PIECE_CHARS = 8


class OpenItem:
    """An item that is being produced, whole from the first: those that come in deltas have classes below."""

    def __init__(self, response: Response, item: Item, pace: Pace) -> None:
        self.response = response
        self.item = item
        self.pace = pace

    def begin(self) -> None:
        """Send what comes before the first delta."""

    def advance(self) -> int | None:
        """Send the next delta; return how many ms of speech it took to make, ``None`` when all is sent."""
        return None

    def finish(self, status: str) -> None:
        """Send the ``done`` events, with what was produced so far."""
        self.response.item_done(self.item, status)


class SpokenItem(OpenItem):
    """A message with audio and its transcript."""

    def __init__(self, response: Response, item: Item, pace: Pace, clip: Clip) -> None:
        super().__init__(response, item, pace)
        self._text = clip.text
        self._chunks = _chunks(clip.audio, pace.delta_ms, response.audio_format)
        self._sent = 0
        self._said = 0

    def begin(self) -> None:
        self.item.body["content"].append({"type": "output_audio", "transcript": ""})
        part = {"type": "audio", "transcript": ""}
        self.response.emit_part("response.content_part.added", self.item, part=part)

    def advance(self) -> int | None:
        if self._sent == len(self._chunks):
            return None
        chunk, delta = self._chunks[self._sent]
        self._sent += 1
        self.item.audio += chunk
        took_ms = len(chunk) // ulaw.BYTES_PER_MS
        self.response.audio_ms += took_ms
        self.response.emit_part("response.output_audio.delta", self.item, delta=delta)
        said = len(self._text) * self._sent // len(self._chunks)
        words, self._said = self._text[self._said : said], said
        if words:
            self.item.body["content"][0]["transcript"] = self._text[:said]
            self.response.emit_part("response.output_audio_transcript.delta", self.item, delta=words)
        return took_ms

    def finish(self, status: str) -> None:
        transcript = self._text[: self._said]
        part = {"type": "audio", "transcript": transcript}
        self.response.emit_part("response.output_audio.done", self.item)
        self.response.emit_part("response.output_audio_transcript.done", self.item, transcript=transcript)
        self.response.emit_part("response.content_part.done", self.item, part=part)
        super().finish(status)


class WrittenItem(OpenItem):
    """A message of text alone."""

    def __init__(self, response: Response, item: Item, pace: Pace, clip: Clip) -> None:
        super().__init__(response, item, pace)
        self._rest = clip.text
        self._piece_ms = clip.duration_ms // max(1, len(clip.text))

    def begin(self) -> None:
        self.item.body["content"].append({"type": "output_text", "text": ""})
        self.response.emit_part("response.content_part.added", self.item, part={"type": "text", "text": ""})

    def advance(self) -> int | None:
        if not self._rest:
            return None
        piece, self._rest = self._rest[:_TEXT_PIECE_CHARS], self._rest[_TEXT_PIECE_CHARS:]
        self.item.body["content"][0]["text"] += piece
        self.response.emit_part("response.output_text.delta", self.item, delta=piece)
        return len(piece) * self._piece_ms

    def finish(self, status: str) -> None:
        text = self.item.text
        self.response.emit_part("response.output_text.done", self.item, text=text)
        part = {"type": "text", "text": text}
        self.response.emit_part("response.content_part.done", self.item, part=part)
        super().finish(status)


class CalledItem(OpenItem):
    """A function call."""

    def __init__(self, response: Response, item: Item, pace: Pace, arguments: str) -> None:
        super().__init__(response, item, pace)
        self._rest = arguments
        self._piece = -(-len(arguments) // _ARGUMENT_PIECES)

    def advance(self) -> int | None:
        if not self._rest:
            return None
        piece, self._rest = self._rest[: self._piece], self._rest[self._piece :]
        self.item.body["arguments"] += piece
        self.response.emit_arguments("response.function_call_arguments.delta", self.item, delta=piece)
        return self.pace.delta_ms

    def finish(self, status: str) -> None:
        body = self.item.body
        fields = {"arguments": body["arguments"], "name": body["name"]}
        self.response.emit_arguments("response.function_call_arguments.done", self.item, **fields)
        super().finish(status)


@lru_cache(maxsize=512)
def _chunks(audio: bytes, delta_ms: int, audio_format: str) -> tuple[tuple[bytes, str], ...]:
    """A recording in deltas: mu-law, and base64 in the session's format. Sessions share them."""
    size = delta_ms * ulaw.BYTES_PER_MS
    pieces = (audio[at : at + size] for at in range(0, len(audio), size))
    return tuple((piece, encode_audio(ulaw.from_ulaw(piece, audio_format))) for piece in pieces)
