"""The caller's leg: one Twilio media stream over its socket.

Received by one thread, the call's uplink, but for what needs no thought: audio and most echoes are taken
where they are read. Any may send.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from callapp.conversation.commands import ClearAudio, PlayAudio, SendMark
from callapp.conversation.events import CallerHungUp, DigitPressed, Played
from callapp.errors import BadMessage, LegLost
from callapp.telephony.gaps import Gaps
from callapp.telephony.listening import ListeningLeg
from callapp.telephony.media_streams import (
    MEDIA_TAIL,
    CallerAudio,
    Connected,
    Decoded,
    Encoder,
    OtherAudio,
    Started,
    decode,
    decode_mark,
    join,
    match_media,
)
from callapp.websocket.connection import Connection
from callapp.websocket.framing import Binary

log = logging.getLogger(__name__)

POLICY_VIOLATION = 1008
MOST_MESSAGE_BYTES = 65_536
# A quiet leg is looked after this often: silence is filled in; deadlines hang on it where nobody is roused.
QUIET_S = 0.5
# Twilio sends audio all the time, silence too: a stream that brings none for so long is dead.
NO_MEDIA_S = 10.0
# After the carrier has said that a call is over, its stream may take so long to stop.
STOP_WITHIN_S = 0.5
# A leg that cannot be written to for so long is lost.
WRITE_S = 5.0

Heard = CallerAudio | Played | DigitPressed | CallerHungUp


def reason_of(loss: LegLost) -> str:
    """Why a call ends whose stream is lost."""
    return "twilio.stalled" if isinstance(loss.__cause__, TimeoutError) else "twilio.disconnected"


class Ear(Protocol):
    """Who hears the caller."""

    def offer(self, payload: bytes) -> None:
        """Take audio, base64 of mu-law; must not wait."""


class CallerLeg:
    """Twilio's end of a call.

    Args:
        connection: the upgraded socket; named ``caller``.
    """

    __slots__ = (
        "_connection",
        "_ear",
        "_encoder",
        "_gaps",
        "_hear_mark",
        "_looked_s",
        "_oddities",
        "_waiting",
        "log",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._encoder: Encoder | None = None
        self._waiting: list[bytes | Binary] = []
        self._gaps = Gaps()
        self._ear: Ear | None = None
        self._hear_mark: Callable[[Played], bool] | None = None
        self._looked_s = 0.0  # when `receive` last found that nothing had come
        self._oddities: set[str] = set()
        self.log: logging.Logger | logging.LoggerAdapter[logging.Logger] = log

    def wait_for_start(self, within_s: float) -> Started:
        """Read up to the stream's start.

        Raises:
            LegLost: the peer left, or spoke out of turn, or said nothing in time.
        """
        deadline = monotonic() + within_s
        first = True
        while monotonic() < deadline:
            messages = self._connection.receive()
            for position, message in enumerate(messages):
                decoded = self._decode(message)
                if isinstance(decoded, Started):
                    self._encoder = Encoder(decoded.stream_sid)
                    self._waiting = messages[position + 1 :]
                    return decoded
                if first and not isinstance(decoded, Connected):
                    raise self._refuse("a stream begins with connected or start")
                if isinstance(decoded, CallerHungUp):
                    raise self._refuse("the stream stopped before it started")
                first = False
        raise self._refuse("no start came")

    def listen(self, ear: Ear, hear_mark: Callable[[Played], bool]) -> None:
        """Have what needs no thought taken in the thread that reads it.

        Args:
            ear: is given the audio that follows on what came before.
            hear_mark: is given an echo; must not wait. What it returns false for, ``receive`` returns.
        """
        self._ear, self._hear_mark = ear, hear_mark
        self._connection.taker = self

    def let_go(self) -> None:
        """Have nothing taken any more, and hold on to nobody who took it."""
        self._connection.taker = self._ear = self._hear_mark = None

    def take(self, message: bytes) -> bool:
        """Hand audio on, and have echoes noted; false for what is ``receive``'s.

        A chunk that does not follow on the last one is ``receive``'s. So while silence is filled in, as when
        messages are dealt with, the gaps are the uplink's alone.
        """
        media = match_media(message)
        if media is None:
            mark, hear_mark = decode_mark(message), self._hear_mark
            return mark is not None and hear_mark is not None and hear_mark(mark)
        at_ms, payload = media.groups()
        ear = self._ear
        if ear is None or len(payload) & 3 or not self._gaps.follows(payload, int(at_ms)):
            return False
        ear.offer(payload)
        return True

    def listening(self) -> ListeningLeg:
        """The same stream, for a call to which we only listen; to be received instead of this leg."""
        return ListeningLeg(self._connection, self._waiting, self._decode, self._odd)

    def receive(self) -> list[Heard]:
        """Wait for what comes next; ``[]`` when nothing came for a while, or when it is time: see ``rouse``.

        Chunks of audio that wait one after another are joined into one. Where the phone sent none,
        silence is heard.

        Raises:
            LegLost: the socket is gone.
        """
        messages, self._waiting = self._waiting or self._connection.receive(), []
        if len(messages) == 1:  # nearly always
            return self._hear_one(self._decode(messages[0]))
        if not messages:
            last_s, self._looked_s = max(self._connection.heard_s, self._looked_s), monotonic()
            silence = self._gaps.quiet((self._looked_s - last_s) * 1000)
            return [] if silence is None else [silence]
        heard: list[Heard] = []
        chunks: list[bytes] = []
        for message in messages:
            decoded = self._decode(message)
            if type(decoded) is CallerAudio:
                silence = self._gaps.before(decoded)
                if silence is not None:
                    chunks.append(silence.payload)
                chunks.append(decoded.payload)
                continue
            if chunks:
                heard.append(CallerAudio(join(chunks), None))
                chunks = []
            heard += self._hear_one(decoded)
        if chunks:
            heard.append(CallerAudio(join(chunks), None))
        return heard

    def _hear_one(self, decoded: Decoded | None) -> list[Heard]:
        if type(decoded) is CallerAudio:
            silence = self._gaps.before(decoded)
            return [decoded] if silence is None else [silence, decoded]
        if isinstance(decoded, Played | DigitPressed | CallerHungUp):
            return [decoded]
        if isinstance(decoded, Started):
            self._odd("a second start")
        elif isinstance(decoded, OtherAudio):
            self._odd("audio of another track")
        return []

    def send(self, command: PlayAudio | SendMark | ClearAudio) -> None:
        """Carry out a command. Safe from any thread.

        Raises:
            LegLost: the socket is gone, or took nothing for `WRITE_S`.
        """
        assert self._encoder is not None, "nothing can be sent before the stream has started"
        self._connection.send_text(self._encoder.encode(command))

    def send_audio(self, payload: bytes) -> None:
        """Queue audio on the phone, base64 of mu-law. As ``send``."""
        assert self._encoder is not None, "nothing can be sent before the stream has started"
        self._connection.send_text(self._encoder.media_head + payload + MEDIA_TAIL)

    def rouse(self, at_s: float) -> None:
        """Have ``receive`` come back at this time of ``monotonic``, if with ``[]``. Safe from any thread."""
        self._connection.rouse(at_s)

    @property
    def quiet_s(self) -> float:
        """For how long nothing has come."""
        return monotonic() - self._connection.heard_s

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the stream; wakes whoever reads it. Safe from any thread, and twice."""
        self._connection.close(code, reason)

    def _refuse(self, reason: str) -> LegLost:
        self._connection.close(POLICY_VIOLATION, reason)
        return LegLost("caller", POLICY_VIOLATION, reason)

    def _decode(self, message: bytes | Binary) -> Decoded | None:
        if isinstance(message, Binary):
            self._odd("a binary message")
            return None
        try:
            decoded = decode(message)
        except BadMessage as error:
            self._odd(str(error))
            return None
        if decoded is None:
            self._odd("a message of an unknown kind")
        return decoded

    def _odd(self, what: str) -> None:
        """Log an oddity, each kind once a call: a peer that sends one sends hundreds."""
        kind = what.partition(":")[0]
        if kind not in self._oddities:
            self._oddities.add(kind)
            self.log.warning("! caller leg: ignored %s", what)
