"""How a pretend session listens: appended audio becomes utterances, items and transcripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callapp.simulators import ulaw
from callapp.simulators.model_hearing import Hearing, check_commit
from callapp.simulators.model_items import Item, new_id
from callapp.simulators.model_usage import transcription_usage
from callapp.simulators.speech import words_of
from callapp.simulators.voice_activity import SpeechStarted

if TYPE_CHECKING:
    from callapp.simulators.model_service import Behaviour
    from callapp.simulators.model_session import Session

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class Listening:
    """The ear of a session; used by the session's thread only."""

    def __init__(self, session: Session, behaviour: Behaviour) -> None:
        self._session = session
        self._behaviour = behaviour
        self._hearing = Hearing()
        self._item_id = ""
        self._start_ms = 0
        self._texts: list[str] = []
        self._clips: list[str] = []
        self.configured()

    @property
    def heard_ms(self) -> int:
        return self._hearing.heard_ms

    @property
    def detection(self) -> dict[str, Any] | None:
        """The session's ``turn_detection``."""
        settings: dict[str, Any] | None = self._session.config["audio"]["input"]["turn_detection"]
        return settings

    def take_heard(self) -> tuple[str, tuple[str, ...]]:
        """What was said since the last call of this: the words, and the recordings' names."""
        heard = " ".join(text for text in self._texts if text), tuple(self._clips)
        self._texts, self._clips = [], []
        return heard

    def configured(self) -> None:
        """Take the session's configuration, which may have changed."""
        self._hearing.detect(self.detection)

    def append(self, audio: bytes) -> None:
        for event in self._hearing.append(ulaw.to_ulaw(audio, self._session.input_format)):
            if isinstance(event, SpeechStarted):
                self._on_speech_started(event.start_ms)
            else:
                self._on_speech_stopped(event.end_ms)

    def clear(self) -> None:
        self._hearing.clear()
        self._session.emit("input_audio_buffer.cleared")

    def commit_by_hand(self) -> None:
        check_commit(self._hearing.uncommitted_ms)
        item_id = self._item_id if self._hearing.speaking else new_id("item")
        self._commit(self._hearing.commit(), item_id)

    def commit_silence(self, since_ms: int) -> None:
        """Nobody spoke for the ``idle_timeout_ms``: the silence becomes an item."""
        item_id, now_ms = new_id("item"), self.heard_ms
        offsets = {"audio_start_ms": since_ms, "audio_end_ms": now_ms}
        self._session.emit("input_audio_buffer.timeout_triggered", item_id=item_id, **offsets)
        self._commit(self._hearing.utterance(since_ms, now_ms), item_id)

    def _on_speech_started(self, start_ms: int) -> None:
        self._item_id = new_id("item")
        self._start_ms = start_ms
        offset = {"audio_start_ms": start_ms}
        self._session.emit("input_audio_buffer.speech_started", item_id=self._item_id, **offset)
        self._session.answering.on_speech_started()

    def _on_speech_stopped(self, end_ms: int) -> None:
        offset = {"audio_end_ms": end_ms}
        self._session.emit("input_audio_buffer.speech_stopped", item_id=self._item_id, **offset)
        self._commit(self._hearing.utterance(self._start_ms, end_ms), self._item_id)
        self._session.answering.on_turn_ended()

    def _commit(self, audio: bytes, item_id: str) -> None:
        content = {"type": "input_audio", "transcript": None}
        item = Item({"id": item_id, "type": "message", "role": "user", "content": [content]}, audio)
        previous = self._session.conversation.insert(item)
        self._session.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        self._session.emit("conversation.item.added", item=item.wire(), previous_item_id=previous)
        self._session.emit("conversation.item.done", item=item.wire(), previous_item_id=previous)
        heard = self._behaviour.speech.recognise(audio)
        text = words_of(heard, audio)
        self._texts.append(text)
        self._clips += (part.clip.name for part in heard)
        settings = self._session.config["audio"]["input"]["transcription"]
        if settings is not None:
            languages = sorted({part.clip.language for part in heard})
            self._session.later(
                self._behaviour.transcript_after_ms / 1000,
                lambda: self._transcribe(item, text, settings["model"], languages),
            )

    def _transcribe(self, item: Item, text: str, model: str, languages: list[str]) -> None:
        half = len(text) // 2
        for piece in (text[:half], text[half:]):
            if piece:
                self._session.emit(f"{_TRANSCRIPTION}.delta", item_id=item.id, content_index=0, delta=piece)
        item.body["content"][0]["transcript"] = text
        told = {"languages": [{"code": code} for code in languages]} if model == "gpt-transcribe" else {}
        self._session.emit(
            f"{_TRANSCRIPTION}.completed",
            item_id=item.id,
            content_index=0,
            transcript=text,
            usage=transcription_usage(model, item.audio_ms, text),
            **told,
        )
