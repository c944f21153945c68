"""Voice detection by energy, in audio time: where speech starts and stops in what was heard.

Pure: bytes in, events out; how late the bytes come makes no difference. It stands in for the
Realtime API's ``server_vad``, whose ``threshold`` is a probability; here it is a loudness.
"""

from __future__ import annotations

from dataclasses import dataclass

from callapp.simulators.sound import FRAME_BYTES, FRAME_MS
from callapp.simulators.ulaw import ENERGIES

_ONSET_FRAMES = 3
"""Speech is believed after this many loud frames of the last ``_ONSET_WINDOW``: a click is not speech."""
_ONSET_WINDOW = 4


@dataclass(frozen=True)
class SpeechStarted:
    """Speech began; ``start_ms`` is where the utterance begins, padding included."""

    start_ms: int


@dataclass(frozen=True)
class SpeechStopped:
    """Speech ended; ``end_ms`` is where the utterance ends, the silence that ended it included."""

    end_ms: int


def _energy_of(level_dbfs: float) -> float:
    return float(FRAME_BYTES * 32768**2 * 10 ** (level_dbfs / 10))


class VoiceActivity:
    """Finds speech in a stream of mu-law.

    Args:
        threshold: 0–1; 0.5 takes -35 dBFS as speech, 1.0 takes -20 dBFS.
        prefix_padding_ms: how much audio before the speech belongs to the utterance.
        silence_duration_ms: how much silence ends the utterance.
        heard_ms: milliseconds of audio that came before; times are counted from there.
    """

    def __init__(
        self, threshold: float, prefix_padding_ms: int, silence_duration_ms: int, *, heard_ms: int = 0
    ) -> None:
        onset_dbfs = -50 + 30 * threshold
        self._onset = _energy_of(onset_dbfs)
        # Lower than the onset: a word's soft end does not end the utterance.
        self._release = _energy_of(onset_dbfs - 5)
        self._prefix_padding_ms = prefix_padding_ms
        self._silence_duration_ms = silence_duration_ms
        self._now_ms = heard_ms
        self._floor_ms = heard_ms
        self._rest = b""
        self._loud: list[int] = []
        self._quiet_since_ms = 0
        self.speaking = False

    def hear(self, audio: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take more audio, of any length; return what became known by it, in order."""
        audio = self._rest + audio
        whole = len(audio) // FRAME_BYTES * FRAME_BYTES
        found: list[SpeechStarted | SpeechStopped] = []
        for at in range(0, whole, FRAME_BYTES):
            energy = sum(map(ENERGIES.__getitem__, audio[at : at + FRAME_BYTES]))
            event = self._during_speech(energy) if self.speaking else self._before_speech(energy)
            self._now_ms += FRAME_MS
            if event is not None:
                found.append(event)
        self._rest = audio[whole:]
        return found

    def forget(self) -> None:
        """The buffer was cleared or committed by hand: speech in progress is not spoken of again."""
        self.speaking = False
        self._loud.clear()
        self._floor_ms = self._now_ms

    def _before_speech(self, energy: float) -> SpeechStarted | None:
        while self._loud and self._loud[0] <= self._now_ms - _ONSET_WINDOW * FRAME_MS:
            self._loud.pop(0)
        if energy < self._onset:
            return None
        self._loud.append(self._now_ms)
        if len(self._loud) < _ONSET_FRAMES:
            return None
        start_ms = max(self._loud[0] - self._prefix_padding_ms, self._floor_ms)
        self._loud.clear()
        self.speaking = True
        self._quiet_since_ms = self._now_ms + FRAME_MS
        return SpeechStarted(start_ms)

    def _during_speech(self, energy: float) -> SpeechStopped | None:
        end_ms = self._now_ms + FRAME_MS
        if energy >= self._release:
            self._quiet_since_ms = end_ms
            return None
        if end_ms - self._quiet_since_ms < self._silence_duration_ms:
            return None
        self.speaking = False
        self._floor_ms = end_ms
        return SpeechStopped(end_ms)
