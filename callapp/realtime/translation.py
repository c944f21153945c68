"""The translation session's leg: one speaker in, the same words in another language out.

https://developers.openai.com/api/docs/guides/realtime-translation
"""

from __future__ import annotations

from contextlib import suppress

from callapp.audio.g711 import Samples
from callapp.audio.resampling import PCM_BYTES_PER_MS, Downsampler, Upsampler
from callapp.errors import BadMessage, LegLost
from callapp.logs import Log
from callapp.realtime import translation_events as wire
from callapp.realtime.dialling import Dialling, Endpoint
from callapp.realtime.leg import NO_SIGN_OF_LIFE
from callapp.realtime.messages import Complaint, SessionCreated
from callapp.realtime.session import FATAL_CODES
from callapp.realtime.translator import Finished, Loss, Ready, Spoken, TranslatorEvent, Written
from callapp.websocket.connection import Connection
from callapp.websocket.framing import Binary

TRANSLATION_MODEL = "gpt-realtime-translate"
# The service works in frames of so much audio: less waits there for the rest, so it may as well wait here.
FRAME_BYTES = 200 * PCM_BYTES_PER_MS


class TranslationLeg:
    """A `Translator` by OpenAI's translation session.

    Args:
        endpoint: its ``url`` is that of the Realtime API; the session's is below it.
        language: to translate into, e.g. ``ja``.
        transcribed: whether the speaker's own words are to be written down, too.
        noise_reduction: ``near_field``, ``far_field`` or ``None``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        language: str,
        log: Log,
        *,
        transcribed: bool = True,
        noise_reduction: str | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._language = language
        self._log = log
        self._first_update = wire.session_update(
            language, transcribed=transcribed, noise_reduction=noise_reduction
        )
        self._dialling = Dialling()
        self._connection: Connection | None = None
        self._received = -1  # what had been received when it was last asked for a sign of life
        self._last_code = ""  # of the newest error: what the close that follows is about
        self._ready = False
        self._rejected = False
        self._upsampler = Upsampler()
        self._downsampler = Downsampler()
        self._unsent = bytearray()  # less than a frame
        self._sent_bytes = 0

    @property
    def heard_ms(self) -> float:
        """How much audio the session has been sent."""
        return self._sent_bytes / PCM_BYTES_PER_MS

    def dial(self) -> None:
        """Open the socket and ask for the language.

        Raises:
            LegLost: nobody there, or they do not want us.
        """
        self._connection = self._dialling.connect(self._endpoint, "/translations")
        with suppress(LegLost):  # gone already: `receive` tells what they said before
            self._connection.send_text(self._first_update)

    def receive(self) -> list[TranslatorEvent]:
        """Wait for what comes next; ``[]`` when nothing came for a while.

        Raises:
            LegLost: the socket is gone, nothing alive is behind it, or the language was refused.
        """
        connection = self._open_connection()
        messages = connection.receive()
        if not messages:
            if connection.received == self._received:
                raise LegLost("model", NO_SIGN_OF_LIFE, "no sign of life")
            self._received = connection.received
            connection.ping()
        events: list[TranslatorEvent] = []
        for message in messages:
            decoded = self._decode(message)
            if decoded is not None:
                events += self._on(decoded)
        return events

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
        self._open_connection().send_text(wire.encode_close())

    def close(self) -> None:
        """End the session, or the dial under way; wakes whoever reads. Safe from any thread, and twice."""
        if self._connection is not None:
            self._connection.close(1000, "")
        else:
            self._dialling.break_off()

    def release(self) -> None:
        """Give the socket back to the system, once nobody reads it any more."""
        if self._connection is not None:
            self._connection.release()

    def meaning_of(self, loss: LegLost) -> Loss:
        """What a lost socket stands for. What the service said weighs more than the close code."""
        words = f"{self._last_code} {loss.reason}"
        if any(code in words for code in FATAL_CODES):
            return Loss("openai.refused", hopeless=True)
        if self._rejected:
            return Loss("openai.session_rejected", hopeless=True)
        return Loss("openai.unreachable" if self._connection is None else "openai.disconnected")

    def _open_connection(self) -> Connection:
        assert self._connection is not None, "dial() comes first"
        return self._connection

    def _send(self, pcm: bytes) -> None:
        self._open_connection().send_text(wire.encode_audio(pcm))
        self._sent_bytes += len(pcm)

    def _decode(self, message: bytes | Binary) -> wire.Decoded | None:
        if isinstance(message, Binary):
            self._log.warning("! translator: ignored a binary message")
            return None
        try:
            return wire.decode(message)
        except BadMessage as error:
            self._log.warning("! translator: ignored a bad message: %s", error)
            return None

    def _on(self, decoded: wire.Decoded) -> list[TranslatorEvent]:
        match decoded:
            case wire.SpeechTranslated(pcm=pcm):
                return [Spoken(self._downsampler.take(pcm))]
            case wire.TextTold(side=side, text=text):
                return [Written(side, text)]
            case wire.SessionSet(language=language) if language == self._language and not self._ready:
                self._ready = True
                return [Ready()]
            case wire.SessionClosed():
                return [Spoken(self._downsampler.flush()), Finished()]
            case SessionCreated(session_id=session_id):
                self._log.info("= translation session %s into %s", session_id, self._language)
            case Complaint():
                self._on_complaint(decoded)
        return []

    def _on_complaint(self, complaint: Complaint) -> None:
        self._last_code = complaint.code
        self._log.warning(
            "! translator: %s: %s (param %s, answers %s)",
            complaint.code,
            complaint.message,
            complaint.param,
            complaint.event_id,
        )
        if complaint.event_id == wire.FIRST_UPDATE:
            self._open_connection().send_text(wire.session_update(self._language, essential=True))
        elif complaint.event_id == wire.SECOND_UPDATE:
            self._rejected = True
            raise LegLost("model", 1000, f"{complaint.code}: {complaint.message}")
