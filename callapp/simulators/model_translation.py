"""A pretend translation session: one speaker in, another language out, as long as audio comes.

It hears in frames of 200 ms and gives out as much for each; when the audio stops, so does its time.
What it knows of languages is which recording says the same as which other.
https://developers.openai.com/api/docs/guides/realtime-translation
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import StringConstraints, TypeAdapter

from callapp.simulators import ulaw
from callapp.simulators.clips import Clip
from callapp.simulators.model_ear import recognise
from callapp.simulators.model_errors import ClientError, decode_audio, encode_audio
from callapp.simulators.model_faults import Fault
from callapp.simulators.model_hearing import Hearing
from callapp.simulators.model_schema import AudioAppend, Bare, Event
from callapp.simulators.model_service import Behaviour, ServedSession
from callapp.simulators.model_session_schema import NoiseReduction, Strict
from callapp.simulators.model_wire import Wire
from callapp.simulators.speech import Speech, babble_clip, words_of
from callapp.simulators.voice_activity import SpeechStarted

FRAME_MS = 200
FRAME_BYTES = FRAME_MS * 48
_PHRASE = {"type": "server_vad", "threshold": 0.3, "prefix_padding_ms": 200, "silence_duration_ms": 600}
_SPEECH_LANGUAGE = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]


class _Transcriber(Strict):
    model: Literal["gpt-realtime-whisper", "gpt-live-transcribe", "gpt-transcribe"]


class _Input(Strict):
    transcription: _Transcriber | None = None
    noise_reduction: NoiseReduction | None = None


class _Output(Strict):
    language: _SPEECH_LANGUAGE | None = None


class _Audio(Strict):
    input: _Input = _Input()
    output: _Output = _Output()


class _Session(Strict):
    audio: _Audio = _Audio()


class _Update(Event):
    session: _Session


@dataclass(frozen=True)
class Translating:
    """How a translator behaves.

    Args:
        speech: the recordings it knows.
        same: by the name of a recording and a language, the recording that says the same in it.
            Other speech is answered by tones.
        frames_at_once: frames of translation given out for one that comes in; more make bursts.
        silence_between: whether silence is given out while there is nothing to say.
    """

    speech: Speech = field(default_factory=Speech)
    same: Mapping[tuple[str, str], Clip] = field(default_factory=dict)
    frames_at_once: int = 1
    silence_between: bool = False


class TranslationSession(ServedSession):
    """A client that has one speaker translated."""

    events = {  # noqa: RUF012 - a constant
        "session.update": TypeAdapter(_Update),
        "session.input_audio_buffer.append": TypeAdapter(AudioAppend),
        "session.close": TypeAdapter(Bare),
    }
    audio_events = frozenset({"session.input_audio_buffer.append", "session.output_audio.delta"})

    def __init__(
        self,
        wire: Wire,
        model: str,
        behaviour: Behaviour,
        translating: Translating,
        fault_on: Callable[[str], Fault | None],
    ) -> None:
        super().__init__(wire, behaviour, fault_on)
        self._translating = translating
        self._unheard = bytearray()  # less than a frame
        self._hearing = Hearing()
        self._hearing.detect(_PHRASE)
        self._phrase_ms = 0
        self._to_say = bytearray()  # PCM
        self._elapsed_ms = 0
        self._closing = False
        self.config = {
            "id": self.id,
            "type": "translation",
            "model": model,
            "expires_at": int(time.time() + behaviour.lives_s),
            "audio": {
                "input": {"transcription": None, "noise_reduction": None},
                "output": {"language": None},
            },
        }

    def _handle(self, event: dict[str, Any]) -> None:
        if self._closing:
            raise ClientError("invalid_request", "The session is closing.")
        match event["type"]:
            case "session.update":
                for side, values in event["session"].get("audio", {}).items():
                    self.config["audio"][side] |= values
                self.emit("session.updated", session=self.config)
            case "session.input_audio_buffer.append":
                self._append(decode_audio(event["audio"], "audio"))
            case "session.close":
                self._close()

    def _append(self, audio: bytes) -> None:
        if len(audio) % 2:
            raise ClientError("invalid_value", "Invalid 'audio': expected 16-bit samples.", "audio")
        self._keep(audio)
        self._unheard += audio
        while len(self._unheard) >= FRAME_BYTES:
            frame = bytes(self._unheard[:FRAME_BYTES])
            del self._unheard[:FRAME_BYTES]
            self._hear(frame)
            self._speak()

    def _hear(self, pcm: bytes) -> None:
        self._elapsed_ms += FRAME_MS
        for event in self._hearing.append(ulaw.to_ulaw(pcm, "audio/pcm")):
            if isinstance(event, SpeechStarted):
                self._phrase_ms = event.start_ms
            else:
                self._translate(self._hearing.utterance(self._phrase_ms, event.end_ms))

    def _speak(self) -> None:
        for _ in range(self._translating.frames_at_once):
            if not self._to_say and not self._translating.silence_between:
                return
            piece = bytes(self._to_say[:FRAME_BYTES])
            del self._to_say[:FRAME_BYTES]
            if self._translating.silence_between:
                piece = piece.ljust(FRAME_BYTES, b"\0")
            self._give(piece)

    def _give(self, pcm: bytes) -> None:
        self.emit(
            "session.output_audio.delta",
            delta=encode_audio(pcm),
            format="pcm16",
            sample_rate=24000,
            channels=1,
            elapsed_ms=self._elapsed_ms,
        )

    def _translate(self, phrase: bytes) -> None:
        language = self.config["audio"]["output"]["language"]
        if language is None:
            return
        found = recognise(self._translating.speech, phrase)
        text = words_of(found, phrase)
        if self.config["audio"]["input"]["transcription"] is not None:
            self._tell("input", text)
        said = [self._translating.same.get((one.clip.name, language), one.clip) for one in found]
        for clip in said or [babble_clip("", f"{text} in {language}", len(phrase) // ulaw.BYTES_PER_MS)]:
            self._tell("output", clip.text)
            self._to_say += ulaw.from_ulaw(clip.audio, "audio/pcm")

    def _tell(self, side: str, text: str) -> None:
        half = len(text) // 2
        for piece in (text[:half], text[half:]):
            if piece:
                self.emit(f"session.{side}_transcript.delta", delta=piece, elapsed_ms=self._elapsed_ms)

    def _close(self) -> None:
        """Hear and say all that is left, then go."""
        self._closing = True
        self._hear(bytes(self._unheard).ljust(FRAME_BYTES, b"\0"))
        self._unheard.clear()
        if self._hearing.speaking:
            self._translate(self._hearing.utterance(self._phrase_ms, self._hearing.heard_ms))
        while self._to_say:
            self._give(bytes(self._to_say[:FRAME_BYTES]))
            del self._to_say[:FRAME_BYTES]
        self.emit("session.closed")
        self._wire.close(1000, "")
