"""An open WebSocket that two threads share: one receives, any of them sends, any of them closes.

Threads: `Connection.receive` is for one thread at a time; frames are written whole, under a lock. Closing in
one thread, or failing to send, at once ends a `receive` that waits in another. The first reason for the end
is the one that everybody hears, as `LegLost`.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock
from time import monotonic

from callapp.errors import LegLost
from callapp.websocket.framing import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Binary,
    Close,
    Decoder,
    Encoder,
    Message,
    Ping,
    Violation,
    close_payload,
)
from callapp.websocket.sockets import adopt

NO_CLOSE_FRAME = 1006  # RFC 6455, 7.1.5
WRITE_LOCK_S = 0.1  # how long a close frame waits for a frame that is being written
LINGER_S = 0.3  # how long the peer's answer to our close frame is waited for
RELEASE_S = 1.0  # how long threads on their way out are waited for


class Connection:
    """Owns the socket of an open WebSocket.

    Args:
        sock: connected, upgraded, and nobody else's to read or write from here on; plain or TLS.
        name: the leg's, for `LegLost`.
        client: whether we dialled: a client masks its frames, a server must get masked ones.
        max_message_bytes: longest message accepted; a longer one ends the connection with 1009.
        quiet_s: how long `receive` waits for a message.
        write_s: how long a frame may take to be written; then the connection is lost.
    """

    __slots__ = (
        "_decoder",
        "_encoder",
        "_end",
        "_ending",
        "_quiet_s",
        "_reading",
        "_socket",
        "_write_s",
        "_writing",
        "name",
        "received",
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
    ) -> None:
        self.name = name
        self.received = 0  # messages of any kind so far, pings and pongs too: the peer is alive
        self._quiet_s = quiet_s
        self._write_s = write_s
        self._socket = adopt(sock)
        self._socket.set_read_timeout(quiet_s)
        self._decoder = Decoder(masked=not client, max_message_bytes=max_message_bytes)
        self._encoder = Encoder(masked=client)
        self._reading = Lock()  # held by the thread that reads
        self._writing = Lock()  # held by the thread that writes a frame
        self._ending = Lock()  # guards _end while it is decided
        self._end: tuple[int, str] | None = None  # close code and reason, once it is over

    def receive(self) -> list[bytes | Binary]:
        """Wait for messages and return them: text as UTF-8 bytes; none when it was quiet for ``quiet_s``.

        Pings are answered in passing. Should only those come, or parts of a message, it returns within twice
        ``quiet_s``.

        Raises:
            LegLost: the connection has ended; messages that came before its end have been returned first.
        """
        with self._reading:
            deadline = None
            while self._end is None:
                try:
                    data = self._socket.read()
                except OSError as error:
                    raise self._failed(str(error)) from error
                if data is None:
                    return []
                if not data:
                    raise self._failed("closed without a close frame")
                messages = self._sift(self._decoder.receive(data))
                if messages:
                    return messages
                if deadline is None:
                    deadline = monotonic() + self._quiet_s
                elif monotonic() >= deadline:
                    return messages
            raise self._lost()

    def send_text(self, text: bytes) -> None:
        """Send a text message, UTF-8, and return when the system has taken all of it.

        Raises:
            LegLost: the connection has ended; or ends now, because ``write_s`` was not enough.
        """
        with self._writing:
            self._send(TEXT, text)

    def ping(self) -> None:
        """Ask the peer for a sign of life; its pong counts as ``received``.

        Raises:
            LegLost: as ``send_text``.
        """
        with self._writing:
            self._send(PING, b"")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection, with a close frame if that can be sent. From any thread, as often as you like.

        The peer's answer is waited for, unless another thread is in `receive`: it is woken instead. Takes
        half a second at most. The descriptor stays open: see `release`.
        """
        if not self._settle_end(code, reason or "closed by us"):
            return
        if self._send_close(code, reason) and self._reading.acquire(blocking=False):
            try:
                self._linger()
            finally:
                self._reading.release()
        self._socket.shut_down()

    def release(self) -> None:
        """Close, and give the descriptor back once no thread can be using it. For sockets nobody else closes.

        Should a thread be stuck, it is not given back: the number would soon be another socket's.
        """
        self.close()
        if self._reading.acquire(timeout=RELEASE_S):
            try:
                if self._writing.acquire(timeout=RELEASE_S):
                    try:
                        self._socket.close()
                    finally:
                        self._writing.release()
            finally:
                self._reading.release()

    def _sift(self, messages: list[Message]) -> list[bytes | Binary]:
        """Return the messages that are for the caller; see to the others."""
        wanted: list[bytes | Binary] = []
        self.received += len(messages)
        if len(messages) == 1 and type(messages[0]) is bytes:
            return [messages[0]]  # nearly always
        for message in messages:
            match message:
                case bytes() | Binary():
                    wanted.append(message)
                case Ping(data=data):
                    self._pong(data)
                case Close(code=code, reason=reason):
                    if self._settle_end(code, reason):
                        self._send_close(code, "")
                    self._socket.shut_down()
                case Violation(code=code, reason=reason):
                    told = self._settle_end(code, f"protocol broken: {reason}") and self._send_close(
                        code, reason
                    )
                    if told:
                        # The peer may still be sending, and would be reset before it had read why.
                        self._linger()
                    self._socket.shut_down()
        return wanted

    def _pong(self, data: bytes) -> None:
        with self._writing, suppress(LegLost):  # `receive` is about to say so
            self._send(PONG, data)

    def _send(self, opcode: int, payload: bytes) -> None:
        """Write one frame; with the write lock."""
        if self._end is not None:
            raise self._lost()
        frame = self._encoder.encode(opcode, payload)
        try:
            written = self._socket.write(frame)
            if written < len(frame):
                self._write_rest(memoryview(frame)[written:])
        except OSError as error:
            raise self._failed(str(error)) from error

    def _write_rest(self, rest: memoryview) -> None:
        deadline = monotonic() + self._write_s
        while rest:
            left_s = deadline - monotonic()
            if left_s <= 0 or not self._socket.wait_writable(left_s):
                # What has gone out of the frame cannot be taken back, so there is no going on.
                raise TimeoutError(f"peer took no whole frame in {self._write_s:g} s")
            rest = rest[self._socket.write(rest) :]

    def _send_close(self, code: int, reason: str) -> bool:
        """Write a close frame if that takes no waiting; false when it could not be."""
        if not self._writing.acquire(timeout=WRITE_LOCK_S):
            return False
        try:
            frame = self._encoder.encode(CLOSE, close_payload(code, reason))
            return self._socket.write(frame) == len(frame)
        except OSError:
            return False
        finally:
            self._writing.release()

    def _linger(self) -> None:
        """Read on until the peer answers our close frame or hangs up; with the read lock."""
        deadline = monotonic() + LINGER_S
        while (left_s := deadline - monotonic()) > 0:
            self._socket.set_read_timeout(left_s)
            try:
                data = self._socket.read()
            except OSError:
                return
            if not data or any(isinstance(message, Close) for message in self._decoder.receive(data)):
                return

    def _settle_end(self, code: int, reason: str) -> bool:
        """Say why the connection ends; false when that has been said before."""
        with self._ending:
            if self._end is not None:
                return False
            self._end = (code, reason)
            return True

    def _failed(self, reason: str) -> LegLost:
        """End without a close frame, wake the other thread, and return what to raise."""
        self._settle_end(NO_CLOSE_FRAME, reason)
        self._socket.shut_down()
        return self._lost()

    def _lost(self) -> LegLost:
        assert self._end is not None
        return LegLost(self.name, *self._end)
