"""The transcription session's leg: one speaker in, their words as text out.

https://developers.openai.com/api/docs/guides/realtime-transcription
"""

from __future__ import annotations

from dataclasses import dataclass

from callapp.agents.fields import Transcription
from callapp.audio.g711 import decode
from callapp.audio.resampling import Upsampler
from callapp.conversation.dictation import EndPiece, Said, SendSpeech
from callapp.logs import Log
from callapp.realtime import transcription_events as wire
from callapp.realtime.dialling import Endpoint
from callapp.realtime.messages import Complaint, SessionCreated
from callapp.realtime.speaker_leg import SpeakerLeg
from callapp.websocket.connection import Connection


@dataclass(frozen=True, slots=True)
class Ready:
    """The session stands as it was asked for: what is heard from here on is written down."""


TranscriberEvent = Ready | Said


class TranscriptionLeg(SpeakerLeg[TranscriberEvent]):
    """A session that writes down what one speaker says.

    Args:
        endpoint: its ``url`` is that of the Realtime API; its model is of no meaning here.
        language: the agent's, for a ``wanted`` that names none.
        noise_reduction: ``near_field``, ``far_field`` or ``None``.
    """

    _APPEND = b"input_audio_buffer.append"

    def __init__(
        self,
        endpoint: Endpoint,
        wanted: Transcription,
        language: str,
        log: Log,
        *,
        noise_reduction: str | None = None,
    ) -> None:
        super().__init__(endpoint, "transcriber", log)
        self._wanted = wanted
        self._language = language
        self._noise_reduction = noise_reduction

    def do(self, what: SendSpeech | EndPiece) -> None:
        """Let the session hear something, or know that a piece has ended. Only one thread may.

        Raises:
            LegLost: the socket is gone, or took nothing for `WRITE_S`.
        """
        match what:
            case SendSpeech(ulaw=ulaw):
                self._send_some(self._upsampler.take(decode(ulaw)))
            case EndPiece():
                # Pieces have silence between them that is not sent, so each is resampled by itself.
                self._send_some(self._upsampler.flush())
                self._upsampler = Upsampler()
                self._open_connection.send_text(wire.encode_commit())

    def _send_some(self, pcm: bytes) -> None:
        if pcm:
            self._send(pcm)

    def _connect(self) -> Connection:
        # A model in the address is an error here: it is a part of the session.
        return self._dialling.connect(self._endpoint, query={"intent": "transcription"})

    def _update(self, *, essential: bool) -> bytes:
        return wire.session_update(
            self._wanted, self._language, noise_reduction=self._noise_reduction, essential=essential
        )

    def _on_message(self, message: bytes) -> list[TranscriberEvent]:
        match wire.decode(message):
            case wire.SessionSet(takes_pcm=takes_pcm, model=model) if not self._ready:
                if not takes_pcm or model != self._wanted.model:
                    self._reject(f"the session takes another format, or has another model: {model}")
                self._confirmed()
                return [Ready()]
            case SessionCreated(session_id=session_id):
                self._log.info("= transcription session %s", session_id)
            case Complaint() as complaint:
                self._on_complaint(complaint)
            case wire.SessionSet() | None:
                pass
            case said:
                return [said]
        return []
