"""An open WebSocket: one thread receives, any of them sends, any of them closes, and none ever waits to send.

The process's `Reader` reads and writes the socket, for all connections. What comes is handed to the thread
that waits in `Connection.receive`, unless its taker has dealt with it at once, in the reader's thread. The
first reason for the end is the one that everybody hears, as `LegLost`. How things are sent is told by
`Outgoing`.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from math import inf
from queue import SimpleQueue
from threading import Lock
from time import monotonic
from typing import Protocol

from callapp.errors import LegLost
from callapp.websocket.framing import (
    CLOSE,
    PING,
    PONG,
    Binary,
    Close,
    Decoder,
    Message,
    Ping,
    Violation,
    close_payload,
)
from callapp.websocket.outgoing import Outgoing
from callapp.websocket.reader import READ, READ_BYTES, WRITE
from callapp.websocket.sockets import TlsSocket

INTERNAL_ERROR = 1011
NO_CLOSE_FRAME = 1006  # RFC 6455, 7.1.5
LINGER_S = 0.3  # how long the peer's answer to our close frame is waited for
DRAIN_S = 0.4  # so much longer, while what was sent before it has not gone out
LEAVE_S = 1.0  # both, with what the reader's clock takes
# So many pieces may wait to be received; then the socket is left alone until the thread comes for more.
MOST_HANDED = 500

Messages = list[bytes | Binary]


class Taker(Protocol):
    """Somebody who deals with some messages at once, in the reader's thread.

    What it leaves, and all that follows, the thread that receives may show it again before it asks for more:
    until then the reader shows it nothing.
    """

    def take(self, message: bytes) -> bool:
        """Deal with a text message and return true, or leave it to ``receive``. Must not wait."""


class Connection(Outgoing):
    """Owns the socket of an open WebSocket.

    Args:
        sock: connected, upgraded, and nobody else's to read or write from here on; plain or TLS.
        name: the leg's, for `LegLost`.
        client: whether we dialled: a client masks its frames, a server must get masked ones.
        max_message_bytes: longest message accepted; a longer one ends the connection with 1009.
        quiet_s: how long `receive` waits for a message.
        asking: whether a peer that is quiet for so long is asked for a sign of life instead, and lost if it
            has given none when that time has passed again.
        write_s: how long a frame may take to be written, see `Outgoing`; then the connection is lost.

    Attributes:
        heard_s: when the peer last said something that was received, or taken; by the reader's clock.
        taker: shown each text that came in, while nothing that came before is being dealt with.
    """

    __slots__ = (
        "_alive_s",
        "_asked_s",
        "_asking",
        "_cause",
        "_dealt_with",
        "_decoder",
        "_ending",
        "_handed",
        "_inbox",
        "_linger_until_s",
        "_open",
        "_quiet_s",
        "_reading",
        "_received",
        "_rouse_s",
        "_theirs_came",
        "heard_s",
        "name",
        "taker",
    )

    def __init__(
        self,
        sock: socket.socket,
        *,
        name: str,
        client: bool,
        max_message_bytes: int,
        quiet_s: float,
        write_s: float,
        asking: bool = False,
    ) -> None:
        super().__init__(sock, masked=client, write_s=write_s)
        self.name = name
        self.heard_s = monotonic()
        self._alive_s = self.heard_s  # when it last said anything else, be it a pong
        self._asked_s = 0.0  # when it was last asked for that
        self._asking = asking
        self.taker: Taker | None = None
        self._quiet_s = quiet_s
        self._decoder = Decoder(masked=not client, max_message_bytes=max_message_bytes)
        # What was received: messages, a fault of ours, or None for the end.
        self._inbox: SimpleQueue[Messages | Exception | None] = SimpleQueue()
        self._handed = 0  # pieces put into it; the reader's to write
        self._received = 0  # pieces taken out of it ...
        self._dealt_with = 0  # ... and those that `receive` has come back from
        self._linger_until_s: float | None = None
        self._theirs_came = False  # their close frame
        self._rouse_s = inf  # when `receive` comes back in any case
        self._reading = Lock()  # held by the thread in `receive`
        self._ending = Lock()  # guards _end while it is decided
        self._open = Lock()  # held until the socket is shut down
        self._open.acquire()
        self._cause: OSError | None = None
        if isinstance(self.sock, TlsSocket):
            self._read_what_came_with_the_handshake()
        self._reader.watch(self, more=READ)
        self._reader.remind(self, self.heard_s + quiet_s)

    # -- for the threads of the call ------------------------------------------------------------

    def receive(self) -> Messages:
        """Wait for messages and return them: text as UTF-8 bytes; none when it was quiet for ``quiet_s``.

        It is quiet when nothing comes, or only pings and parts of a message. None either when it is time,
        see ``rouse``. A connection that is ``asking`` comes back for that alone.

        Raises:
            LegLost: the connection has ended; messages that came before its end have been returned first.
        """
        with self._reading:
            self._dealt_with = self._received
            if not self.watched_for & READ and self._end is None and self._inbox.qsize() < MOST_HANDED // 2:
                self._reader.watch(self, more=READ)
            piece = self._inbox.get()  # the reader ends this wait when it is quiet, or over
            if piece is None:
                self._inbox.put(None)  # for whoever asks again
                raise self._lost()
            if isinstance(piece, Exception):
                raise piece
            self._received += 1
            return piece

    def rouse(self, at_s: float) -> None:
        """Have ``receive`` come back then, though nothing may have come. The last time told counts.

        Args:
            at_s: a time of ``monotonic``; infinite for never.
        """
        self._rouse_s = at_s
        if at_s < inf:
            self._reader.remind(self, at_s)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection, with a close frame if that can be sent. From any thread, as often as you like.

        Does not wait: what was sent before goes out first, and then the peer has `LINGER_S` to answer, while
        we go on reading. See `leave`.
        """
        self._end_with_goodbye(code, reason or "closed by us", reason)

    def leave(self) -> None:
        """Close, wait for the peer's answer, and have nothing to do with the socket any more.

        Takes `LEAVE_S` at most. The descriptor stays open, for the one whose it is to close it.
        """
        self.close()
        self._open.acquire(timeout=LEAVE_S)
        self._let_go()

    def release(self) -> None:
        """Leave, and give the descriptor back.

        A socket closed while its peer still talks is reset, and the peer loses what it had not read yet.
        """
        self.leave()
        self.sock.close()

    # -- for the reader's thread ----------------------------------------------------------------

    def on_data(self, data: bytes, now_s: float) -> None:
        """Have the messages that came taken, or hand them over; deal with the end."""
        if not data:
            self.on_broken(ConnectionError("closed without a close frame"))
            return
        text = self._decoder.glance(data)
        if text is None:
            self._on_more(data, now_s)
        elif self._end is None:
            self.heard_s = now_s
            taker = self.taker  # as in _is_taken: this is where nearly all is taken
            if taker is None or self._handed != self._dealt_with or not taker.take(text):
                self._hand_over([text])

    def _on_more(self, data: bytes, now_s: float) -> None:
        """Deal with several frames, parts of one, or any that no glance tells."""
        if len(data) >= READ_BYTES:
            self._reader.look_again(self)
        # Some words and the audio they belong to come together: that is worth a glance at each.
        while self._end is None:
            size = self._decoder.first_bytes(data)
            text = self._decoder.glance(data[:size])
            if text is None or not self._is_taken(text):
                break
            self.heard_s = now_s
            data = data[size:]
        self._on_messages(self._decoder.receive(data), now_s)

    def _read_what_came_with_the_handshake(self) -> None:
        """It is inside OpenSSL, unseen by polls. Before the reader watches."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            pass
        except OSError as error:
            self.on_broken(error)
        else:
            self.on_data(data, self.heard_s)

    def _on_messages(self, messages: list[Message], now_s: float) -> None:
        if self._end is not None:
            if any(isinstance(message, Close) for message in messages):
                self._on_their_goodbye()
            return
        if not messages:
            return
        self._alive_s = now_s
        wanted = self._sift(messages)
        if wanted:
            self.heard_s = now_s
            self._take_or_hand_over(wanted)

    def on_time(self, now_s: float) -> float | None:
        """Look after the peer that is quiet, that takes nothing, or does not answer our close frame."""
        if self._linger_until_s is not None:
            if now_s < self._linger_until_s:
                return self._linger_until_s
            if self._backlog is not None and now_s < self._linger_until_s + DRAIN_S:
                return self._linger_until_s + DRAIN_S
            self._shut_down()
        if self._end is not None:
            return None
        if now_s < self._late_s:
            return self._look_for_quiet(now_s)
        # What has gone out of the frame cannot be taken back, so there is no going on.
        self.on_broken(TimeoutError(f"peer took no whole frame in {self._write_s:g} s"))
        return None

    def _look_for_quiet(self, now_s: float) -> float | None:
        """See to it when nothing has come for a while, or it is time; return when to look again."""
        quiet_at_s = max(self.heard_s, self._asked_s) + self._quiet_s
        is_quiet, is_time = now_s >= quiet_at_s, now_s >= self._rouse_s
        if is_quiet:
            quiet_at_s = now_s + self._quiet_s
            # Who is not read, since too much waits to be received, may well have answered.
            if self._asking and self.watched_for & READ and not self._ask_for_life(now_s):
                return None
        if (is_time or (is_quiet and not self._asking)) and not self._inbox.qsize():
            self._give([])
        return quiet_at_s if is_time else min(quiet_at_s, self._rouse_s)

    def _ask_for_life(self, now_s: float) -> bool:
        """Ask the peer for its pong; false when it has not answered the last time, and is given up."""
        if max(self._alive_s, self.heard_s) < self._asked_s:
            self.on_broken(TimeoutError("no sign of life"))
            return False
        self._asked_s = now_s
        self._say(PING, b"")
        return True

    def on_fault(self, fault: Exception) -> None:
        """Let the thread that receives have it: it is the one whose call this is."""
        self._inbox.put(fault)
        self._end_with_goodbye(INTERNAL_ERROR, "a fault of ours", "")

    def _take_or_hand_over(self, messages: Messages) -> None:
        for position, message in enumerate(messages):
            if type(message) is not bytes or not self._is_taken(message):
                self._hand_over(messages[position:])
                return

    def _is_taken(self, text: bytes) -> bool:
        taker = self.taker
        return taker is not None and self._handed == self._dealt_with and taker.take(text)

    @property
    def busy(self) -> bool:
        """Whether the thread that receives has not come back for more, of what it was given to do."""
        return self._handed != self._dealt_with and not self.gone

    def _give(self, messages: Messages) -> None:
        """Give the thread that receives something to do."""
        if self._handed == self._dealt_with:
            self._reader.crowd.join(self)
        self._handed += 1
        self._inbox.put(messages)

    def _hand_over(self, messages: Messages) -> None:
        self._give(messages)
        if self._inbox.qsize() >= MOST_HANDED:
            self._reader.watch(self, less=READ)
            if self._inbox.qsize() < MOST_HANDED // 2:  # all gone already: nobody will come for more
                self._reader.watch(self, more=READ)

    def _sift(self, messages: list[Message]) -> Messages:
        """Return the messages that are for the caller; see to the others."""
        wanted: Messages = []
        for message in messages:
            match message:
                case bytes() | Binary():
                    wanted.append(message)
                case Ping(data=data):
                    self._say(PONG, data)
                case Violation(code=code, reason=reason):
                    # The peer may still be sending, and would be reset before it had read why: so we linger.
                    self._take_or_hand_over(wanted)
                    self._end_with_goodbye(code, f"protocol broken: {reason}", reason)
                    return []
                case Close(code=code, reason=reason):
                    self._take_or_hand_over(wanted)
                    self._settle_end(code, reason, told="")
                    self._on_their_goodbye()
                    return []
        return wanted

    # -- the end --------------------------------------------------------------------------------

    def _end_with_goodbye(self, code: int, heard: str, told: str) -> None:
        """End for one reason as we hear it and as the peer is told it; give the peer a while to answer."""
        if self._settle_end(code, heard, told):
            self._linger_until_s = monotonic() + LINGER_S
            self._reader.remind(self, self._linger_until_s)

    def on_broken(self, error: OSError) -> None:
        """End without a close frame."""
        self._cause = self._cause or error.with_traceback(None)  # which would hold on to us
        self._settle_end(NO_CLOSE_FRAME, str(error))
        self._shut_down()
        self._reader.watch(self, less=READ | WRITE)

    def _settle_end(self, code: int, heard: str, told: str | None = None) -> bool:
        """Say why the connection ends, and wake whoever receives; false when that has been said before.

        Args:
            told: the reason in our close frame; ``None`` if the peer cannot be told.
        """
        with self._ending:
            if self._end is not None:
                return False
            if told is not None:  # first: without one, what waits to be written is not written any more
                self._goodbye = self._encoder.encode(CLOSE, close_payload(code, told))
            self._end = (code, heard)
        self._inbox.put(None)
        if told is not None:
            self._reader.say(self, self._goodbye)
        return True

    def _on_their_goodbye(self) -> None:
        """When ours is out as well, that was all."""
        self._theirs_came = True
        if not self._goodbye:
            self._shut_down()

    def on_goodbye(self) -> None:
        """When theirs has come already, that was all."""
        if self._theirs_came:
            self._shut_down()

    def _let_go(self) -> None:
        self._shut_down()
        self._reader.forget(self)
        self.taker = None

    def _shut_down(self) -> None:
        with suppress(OSError):  # the peer was faster
            self.sock.shutdown(socket.SHUT_RDWR)
        with suppress(RuntimeError):  # it is open no more
            self._open.release()

    def _lost(self) -> LegLost:
        assert self._end is not None
        lost = LegLost(self.name, *self._end)
        lost.__cause__ = self._cause
        return lost
