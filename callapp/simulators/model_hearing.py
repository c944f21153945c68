"""The input audio buffer of a pretend session: what was appended, and the utterances in it.

Pure, and in audio time: an offset is a place in the audio appended so far, never a moment.
"""

from __future__ import annotations

from typing import Any

from callapp.simulators.model_errors import ClientError
from callapp.simulators.sound import FRAME_MS
from callapp.simulators.ulaw import BYTES_PER_MS
from callapp.simulators.voice_activity import SpeechStarted, SpeechStopped, VoiceActivity

_EAGERNESS_MS = {"high": 400, "medium": 700, "auto": 700, "low": 1200}
"""Silence that ends an utterance in ``semantic_vad``: there is no meaning to judge by here, and the
documented 2, 4 and 8 s are only the longest it waits."""
_SEMANTIC_PADDING_MS = 300
_COMMIT_MIN_MS = 100
_LOOK_BACK_MS = 4 * FRAME_MS
"""Speech is noticed this much after its onset, at most."""


def check_commit(buffered_ms: int) -> None:
    """Refuse a commit by hand, with a ``ClientError``, if it is of too little audio."""
    if buffered_ms < _COMMIT_MIN_MS:
        words = (
            "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
            f"but buffer only has {buffered_ms:.2f}ms of audio."
        )
        raise ClientError("input_audio_buffer_commit_empty", words)


class Hearing:
    """Takes appended audio and finds the utterances in it, or keeps it until it is committed.

    All audio is mu-law.
    """

    def __init__(self) -> None:
        self.heard_ms = 0
        self._heard_bytes = 0
        self._kept = bytearray()
        self._voice: VoiceActivity | None = None
        self._padding_ms = 0
        self._settings: dict[str, Any] | None = None
        self._speech_start_ms: int | None = None

    def detect(self, settings: dict[str, Any] | None) -> None:
        """Use these ``turn_detection`` settings from now on; ``None`` leaves commits to the client."""
        if settings is None:
            self._voice = None
            self._speech_start_ms = None
        elif settings != self._settings:
            self._padding_ms = settings.get("prefix_padding_ms", _SEMANTIC_PADDING_MS)
            silence_ms = settings.get("silence_duration_ms")
            if silence_ms is None:
                silence_ms = _EAGERNESS_MS[settings["eagerness"]]
            threshold = settings.get("threshold", 0.5)
            self._voice = VoiceActivity(threshold, self._padding_ms, silence_ms, heard_ms=self.heard_ms)
            self._speech_start_ms = None
        self._settings = settings

    @property
    def speaking(self) -> bool:
        """Whether an utterance has begun and not ended."""
        return self._speech_start_ms is not None

    def append(self, audio: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take more audio; return what voice detection found in it, in order."""
        self._kept += audio
        self._heard_bytes += len(audio)
        self.heard_ms = self._heard_bytes // BYTES_PER_MS
        if self._voice is None:
            return []
        found = self._voice.hear(audio)
        for event in found:
            self._speech_start_ms = event.start_ms if isinstance(event, SpeechStarted) else None
        if not found and self._speech_start_ms is None:
            self._forget_silence()
        return found

    def utterance(self, start_ms: int, end_ms: int) -> bytes:
        """The audio between two offsets, as far as it is kept."""
        kept_from = self._heard_bytes - len(self._kept)
        first, last = (max(0, offset * BYTES_PER_MS - kept_from) for offset in (start_ms, end_ms))
        return bytes(self._kept[first:last])

    @property
    def uncommitted_ms(self) -> int:
        """What a commit by hand would commit; with voice detection, only speech in progress."""
        if self._voice is None:
            return len(self._kept) // BYTES_PER_MS
        return 0 if self._speech_start_ms is None else self.heard_ms - self._speech_start_ms

    def commit(self) -> bytes:
        """Take what is uncommitted out of the buffer."""
        audio = self.utterance(self.heard_ms - self.uncommitted_ms, self.heard_ms)
        self.clear()
        return audio

    def clear(self) -> None:
        """Empty the buffer; offsets go on counting."""
        self._kept.clear()
        self._speech_start_ms = None
        if self._voice is not None:
            self._voice.forget()

    def _forget_silence(self) -> None:
        needed = (self._padding_ms + _LOOK_BACK_MS) * BYTES_PER_MS
        if len(self._kept) > 2 * needed:
            del self._kept[:-needed]
