"""A pretend transcription session: speech in, text out, and nothing said.

https://developers.openai.com/api/docs/guides/realtime-transcription
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, TypeAdapter

from callapp.simulators import ulaw
from callapp.simulators.model_config import check_turns, format_fields
from callapp.simulators.model_ear import recognise
from callapp.simulators.model_errors import ClientError, decode_audio
from callapp.simulators.model_faults import Fault
from callapp.simulators.model_hearing import Hearing, check_commit
from callapp.simulators.model_items import new_id
from callapp.simulators.model_schema import AudioAppend, Bare, Event
from callapp.simulators.model_service import Behaviour, ServedSession
from callapp.simulators.model_session_schema import (
    VAD_LESS_TRANSCRIBERS,
    AudioInput,
    SemanticVad,
    ServerVad,
    Strict,
)
from callapp.simulators.model_usage import transcription_usage
from callapp.simulators.model_wire import Wire
from callapp.simulators.speech import words_of
from callapp.simulators.voice_activity import SpeechStarted, VoiceActivity

_TEXT = "conversation.item.input_audio_transcription"
_WORD_GAP_MS = 200
"""Silence after which a streaming model writes down what it heard before."""


class _Audio(Strict):
    input: AudioInput = AudioInput()


class _Session(Strict):
    type: Literal["transcription"]
    audio: _Audio = _Audio()
    include: list[Literal["item.input_audio_transcription.logprobs"]] = Field(default_factory=list)


class _Update(Event):
    session: _Session


class TranscriptionSession(ServedSession):
    """A client that has one speaker's words written down."""

    events = {  # noqa: RUF012 - a constant
        "session.update": TypeAdapter(_Update),
        "input_audio_buffer.append": TypeAdapter(AudioAppend),
        "input_audio_buffer.commit": TypeAdapter(Bare),
        "input_audio_buffer.clear": TypeAdapter(Bare),
    }
    audio_events = frozenset({"input_audio_buffer.append"})

    def __init__(self, wire: Wire, behaviour: Behaviour, fault_on: Callable[[str], Fault | None]) -> None:
        super().__init__(wire, behaviour, fault_on)
        self._hearing = Hearing()
        self._words = _word_detector()
        self._buffer = bytearray()  # mu-law, since the last commit
        self._item_id = new_id("item")
        self._previous_id: str | None = None
        self._told = ""  # of the item that is being heard
        self.config = {
            "id": self.id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "expires_at": int(time.time() + behaviour.lives_s),
            "audio": {
                "input": {
                    "format": format_fields("audio/pcm"),
                    "noise_reduction": None,
                    "transcription": None,
                    "turn_detection": None,
                }
            },
            "include": None,
        }

    @property
    def _input(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.config["audio"]["input"]
        return settings

    @property
    def _streams(self) -> bool:
        """Whether words are told while they are heard."""
        transcription = self._input["transcription"]
        return transcription is not None and transcription["model"] in VAD_LESS_TRANSCRIBERS

    def _handle(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                self._update(event["session"])
            case "input_audio_buffer.append":
                self._append(decode_audio(event["audio"], "audio"))
            case "input_audio_buffer.commit":
                self._commit_by_hand()
            case "input_audio_buffer.clear":
                self._clear()
                self.emit("input_audio_buffer.cleared")

    def _update(self, update: dict[str, Any]) -> None:
        wanted = {**self._input, **update.get("audio", {}).get("input", {})}
        check_turns(wanted)
        model = (wanted["transcription"] or {}).get("model")
        if update.get("include") and model == "gpt-live-transcribe":
            raise ClientError("invalid_value", f"'{model}' has no logprobs.", "session.include")
        wanted["format"] = format_fields(wanted["format"]["type"])
        self.config["audio"]["input"] = wanted
        detection = wanted["turn_detection"]
        kind = SemanticVad if detection and detection["type"] == "semantic_vad" else ServerVad
        self._hearing.detect(detection and kind.model_validate(detection).model_dump())
        self.emit("session.updated", session=self.config)

    def _append(self, audio: bytes) -> None:
        self._keep(audio)
        heard = ulaw.to_ulaw(audio, self._input["format"]["type"])
        self._buffer += heard
        for event in self._hearing.append(heard):
            item_id = self._item_id
            if isinstance(event, SpeechStarted):
                self.emit("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=event.start_ms)
            else:
                self.emit("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=event.end_ms)
                self._commit()
        if self._streams and any(not isinstance(one, SpeechStarted) for one in self._words.hear(heard)):
            self._tell(self._words_in(bytes(self._buffer)))

    def _words_in(self, audio: bytes) -> str:
        return words_of(recognise(self._behaviour.speech, audio), audio)

    def _commit_by_hand(self) -> None:
        if self._input["transcription"] is None:
            raise ClientError("invalid_value", "No transcription model is configured.", "session")
        check_commit(len(self._buffer) // ulaw.BYTES_PER_MS)
        self._commit()

    def _commit(self) -> None:
        item_id, audio, told = self._item_id, bytes(self._buffer), self._told
        self.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=self._previous_id)
        self._previous_id = item_id
        self._clear()
        transcription = self._input["transcription"]
        if transcription is not None:  # voice detection finds turns without one, too
            model = transcription["model"]
            after_s = self._behaviour.transcript_after_ms / 1000
            self.later(after_s, lambda: self._complete(item_id, audio, told, model))

    def _complete(self, item_id: str, audio: bytes, told: str, model: str) -> None:
        text = self._words_in(audio)
        rest = text.removeprefix(told)
        if rest:
            self.emit(f"{_TEXT}.delta", item_id=item_id, content_index=0, delta=rest)
        self.emit(
            f"{_TEXT}.completed",
            item_id=item_id,
            content_index=0,
            transcript=text,
            usage=transcription_usage(model, len(audio) // ulaw.BYTES_PER_MS, text),
        )

    def _tell(self, text: str) -> None:
        new = text.removeprefix(self._told)
        if new and text.startswith(self._told):
            self._told = text
            self.emit(f"{_TEXT}.delta", item_id=self._item_id, content_index=0, delta=new)

    def _clear(self) -> None:
        self._buffer.clear()
        self._hearing.clear()
        self._words = _word_detector()
        self._item_id = new_id("item")
        self._told = ""


def _word_detector() -> VoiceActivity:
    return VoiceActivity(0.3, 0, _WORD_GAP_MS)
