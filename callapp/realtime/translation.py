"""The translation session's leg: one speaker in, the same words in another language out.

https://developers.openai.com/api/docs/guides/realtime-translation
"""

from __future__ import annotations

from callapp.audio.g711 import Samples
from callapp.audio.resampling import PCM_BYTES_PER_MS, Downsampler
from callapp.logs import Log
from callapp.realtime import translation_events as wire
from callapp.realtime.dialling import Endpoint
from callapp.realtime.messages import Complaint, SessionCreated
from callapp.realtime.speaker_leg import SpeakerLeg
from callapp.realtime.translator import Finished, Ready, Spoken, TranslatorEvent, Written
from callapp.websocket.connection import Connection

TRANSLATION_MODEL = "gpt-realtime-translate"
# The service works in frames of so much audio: less waits there for the rest, so it may as well wait here.
FRAME_BYTES = 200 * PCM_BYTES_PER_MS


class TranslationLeg(SpeakerLeg[TranslatorEvent]):
    """A `Translator` by OpenAI's translation session.

    Args:
        endpoint: its ``url`` is that of the Realtime API; the session's is below it.
        language: to translate into, e.g. ``ja``.
        transcribed: whether the speaker's own words are to be written down, too.
        noise_reduction: ``near_field``, ``far_field`` or ``None``.
    """

    _APPEND = b"session.input_audio_buffer.append"
    mute_ms = 20_000.0

    def __init__(
        self,
        endpoint: Endpoint,
        language: str,
        log: Log,
        *,
        transcribed: bool = True,
        noise_reduction: str | None = None,
    ) -> None:
        super().__init__(endpoint, "translator", log)
        self._language = language
        self._transcribed = transcribed
        self._noise_reduction = noise_reduction
        self._downsampler = Downsampler()
        self._unsent = bytearray()  # less than a frame

    def hear(self, samples: Samples) -> None:
        """Take what the speaker says. It is sent by whole frames of the service.

        Raises:
            LegLost: the socket is gone, or took nothing for `WRITE_S`.
        """
        self._unsent += self._upsampler.take(samples)
        while len(self._unsent) >= FRAME_BYTES:
            self._send(bytes(self._unsent[:FRAME_BYTES]))
            del self._unsent[:FRAME_BYTES]

    def finish(self) -> None:
        """Send what is left, and have it translated before the session closes.

        Raises:
            LegLost: as ``hear``.
        """
        self._unsent += self._upsampler.flush()
        if self._unsent:
            self._send(bytes(self._unsent))
        self._open_connection.send_text(wire.encode_close())

    def _connect(self) -> Connection:
        return self._dialling.connect(self._endpoint, "/translations")

    def _update(self, *, essential: bool) -> bytes:
        return wire.session_update(
            self._language,
            transcribed=self._transcribed,
            noise_reduction=self._noise_reduction,
            essential=essential,
        )

    def _on_message(self, message: bytes) -> list[TranslatorEvent]:
        match wire.decode(message):
            case wire.SpeechTranslated(pcm=pcm):
                return [Spoken(self._downsampler.take(pcm))]
            case Written() as written:
                return [written]
            case wire.SessionSet(language=language) if language == self._language and not self._ready:
                self._confirmed()
                return [Ready()]
            case wire.SessionClosed():
                return [Spoken(self._downsampler.flush()), Finished()]
            case SessionCreated(session_id=session_id):
                self._log.info("= translation session %s into %s", session_id, self._language)
            case Complaint() as complaint:
                self._on_complaint(complaint)
        return []
