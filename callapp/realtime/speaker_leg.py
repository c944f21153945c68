"""What the legs of all sessions have in common that hear one speaker, PCM at 24 kHz, and answer nobody.

Dialled and received by one thread, spoken to by another; a session is asked for whole, and if that is
refused, once more with what is essential.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from binascii import b2a_base64
from contextlib import suppress
from math import inf
from time import monotonic
from typing import ClassVar, Generic, NoReturn, TypeVar

from callapp.audio.resampling import PCM_BYTES_PER_MS, Upsampler
from callapp.conversation.events import ModelLost
from callapp.errors import BadMessage, LegLost
from callapp.logs import Log
from callapp.realtime.dialling import Endpoint
from callapp.realtime.messages import FIRST_UPDATE, SECOND_UPDATE, Complaint
from callapp.realtime.socket_leg import SocketLeg
from callapp.websocket.connection import Connection
from callapp.websocket.framing import Binary

EventT = TypeVar("EventT")

# A session that is not confirmed by then will not be: its socket can be alive all the same.
CONFIRMED_WITHIN_S = 10.0


class SpeakerLeg(SocketLeg, ABC, Generic[EventT]):
    """One session.

    Args:
        endpoint: its ``url`` is that of the Realtime API.
        name: of the leg, in the log.
    """

    _APPEND: ClassVar[bytes]  # the type of the messages that bring audio

    def __init__(self, endpoint: Endpoint, name: str, log: Log) -> None:
        super().__init__(endpoint, name, log)
        self._loss: ModelLost | None = None  # why it was given up
        self._ready = False  # the session stands as it was asked for
        self._ready_by_s = 0.0
        self._upsampler = Upsampler()
        self._sent_bytes = 0

    # -- what each kind of session does in its own way ------------------------------------------

    @abstractmethod
    def _connect(self) -> Connection:
        """Open the socket.

        Raises:
            LegLost: nobody there, or they do not want us.
        """

    @abstractmethod
    def _update(self, *, essential: bool) -> bytes:
        """What asks for the session."""

    @abstractmethod
    def _on_message(self, message: bytes) -> list[EventT]:
        """What a message comes to.

        Raises:
            BadMessage: it makes no sense.
            LegLost: the session was refused.
        """

    # -- what all do alike ----------------------------------------------------------------------

    @property
    def heard_ms(self) -> float:
        """How much audio the session has been sent."""
        return self._sent_bytes / PCM_BYTES_PER_MS

    def dial(self) -> None:
        """Open the socket and ask for the session.

        Raises:
            LegLost: nobody there, or they do not want us.
        """
        self._connection = self._connect()
        with suppress(LegLost):  # gone already: `receive` tells what they said before
            self._connection.send_text(self._update(essential=False))
        self._ready_by_s = monotonic() + CONFIRMED_WITHIN_S
        self.rouse(CONFIRMED_WITHIN_S)

    def receive(self) -> list[EventT]:
        """Wait for what comes next; ``[]`` when it was nothing that matters.

        Raises:
            LegLost: the socket is gone, nothing alive is behind it, or the session was refused, or not
                confirmed in time.
        """
        events: list[EventT] = []
        for message in self._open_connection.receive():
            if isinstance(message, Binary):
                self._log.warning("! %s: ignored a binary message", self._name)
                continue
            try:
                events += self._on_message(message)
            except BadMessage as error:
                self._log.warning("! %s: ignored a bad message: %s", self._name, error)
        if not self._ready and monotonic() >= self._ready_by_s:
            why = f"the session was not confirmed within {CONFIRMED_WITHIN_S:g} s"
            self._give_up(ModelLost("openai.no_session"), why)
        return events

    def meaning_of(self, loss: LegLost) -> ModelLost:
        """What a lost socket stands for. What the service said weighs more than the close code."""
        if self._is_refusal(loss):
            return ModelLost("openai.refused", hopeless=True)
        if self._loss is not None:
            return self._loss
        return ModelLost("openai.unreachable" if self._connection is None else "openai.disconnected")

    # -- for each kind --------------------------------------------------------------------------

    def _send(self, pcm: bytes) -> None:
        """Let the session hear this.

        Raises:
            LegLost: the socket is gone, or took nothing for `WRITE_S`.
        """
        payload = b2a_base64(pcm, newline=False)
        self._open_connection.send_text(b'{"type":"%b","audio":"%b"}' % (self._APPEND, payload))
        self._sent_bytes += len(pcm)

    def _confirmed(self) -> None:
        """The session stands."""
        self._ready = True
        self.rouse(inf)

    def _on_complaint(self, complaint: Complaint) -> None:
        self._note(complaint)
        if complaint.event_id == FIRST_UPDATE:
            self._open_connection.send_text(self._update(essential=True))
        elif complaint.event_id == SECOND_UPDATE:
            self._reject(f"{complaint.code}: {complaint.message}")

    def _reject(self, why: str) -> None:
        """The session is not what was asked for, and would not be another time.

        Raises:
            LegLost: always.
        """
        self._give_up(ModelLost("openai.session_rejected", hopeless=True), why)

    def _give_up(self, loss: ModelLost, why: str) -> NoReturn:
        self._loss = loss
        raise LegLost("model", 1000, why)
