"""What goes out on a connection: frames, written whole, by any thread, none of which ever waits.

In the reader's thread text is written when all that was read together has been dealt with, that of a handful
of connections; in any other thread at once. What the system does not take is written by the reader's thread,
as soon as there is room.
"""

from __future__ import annotations

import socket
from math import inf
from threading import Lock, get_ident
from time import monotonic

from callapp.errors import LegLost
from callapp.websocket.backlog import Backlog
from callapp.websocket.framing import CLOSE, TEXT, Encoder, close_payload
from callapp.websocket.reader import WRITE, Watched, shared_reader
from callapp.websocket.sockets import TlsSocket, adopt

# One for all connections: the keys that are next to be used are at hand in the processor's caches.
_MASKED, _PLAIN = Encoder(masked=True), Encoder(masked=False)
# So much may wait to be written before another frame is begun: minutes of audio. One frame may be longer.
MOST_UNSENT_BYTES = 2**22


class Outgoing(Watched):
    """The half of a `Connection` that writes. It says nothing more once there is an end.

    Args:
        sock: connected and upgraded; plain or TLS.
        masked: whether frames are to be masked.
        write_s: how long a frame may take to be written; then it is late.
    """

    __slots__ = ("_backlog", "_encoder", "_end", "_outbox", "_reader", "_socket", "_write_s", "_writing")

    def __init__(self, sock: socket.socket, *, masked: bool, write_s: float) -> None:
        self._socket = adopt(sock)
        plain = not isinstance(self._socket, TlsSocket)
        super().__init__(self._socket.fileno(), self._socket.recv, told_once=plain)
        self._write_s = write_s
        self._encoder = _MASKED if masked else _PLAIN
        self._reader = shared_reader()
        self._outbox: list[bytes] = []  # frames to be written when the reader comes to it
        self._backlog: Backlog | None = None
        self._writing = Lock()  # held while a frame is written, which never waits
        self._end: tuple[int, str] | None = None  # close code and reason, once it is over

    def send_text(self, text: bytes) -> None:
        """Send a text message, UTF-8; what the system does not take at once goes out by itself.

        Raises:
            LegLost: the connection has ended. It does when a frame has not gone out after ``write_s``.
        """
        if get_ident() != self._reader.thread_id:
            self._send(TEXT, text)
            return
        if self._end is not None:
            raise self._lost()
        outbox = self._outbox
        if not outbox:
            self._reader.tidy(self)
        outbox.append(self._encoder.encode(TEXT, text))

    def on_tidy(self) -> None:
        """Write what was sent in the reader's thread, all at once."""
        outbox = self._outbox
        with self._writing:
            if not outbox or self._end is not None:
                return
            frames = outbox.pop() if len(outbox) == 1 else self._frames()
            try:
                self._write(frames)
            except OSError as error:
                self._fail(error)

    @property
    def _late_s(self) -> float:
        """When what waits to be written is late; never, if nothing waits."""
        with self._writing:
            return self._backlog.until_s if self._backlog is not None else inf

    def on_room(self) -> None:
        """Write what waits."""
        with self._writing:
            if self._backlog is None:
                return
            try:
                self._backlog.write(self._socket.send)
            except OSError as error:
                self._fail(error)
                return
            if not self._backlog.size_bytes:
                self._backlog = None
                self._reader.watch(self, less=WRITE)

    def _send(self, opcode: int, payload: bytes) -> None:
        with self._writing:
            if self._end is not None:
                raise self._lost()
            try:
                self._write(self._frames() + self._encoder.encode(opcode, payload))
            except OSError as error:
                self._fail(error)
                raise self._lost() from error

    def _frames(self) -> bytes:
        """Take what is in the outbox; with the write lock."""
        frames = b""
        while self._outbox:
            frames += self._outbox.pop(0)
        return frames

    def _write(self, frames: bytes) -> None:
        """Write whole frames, or put them behind those that wait; with the write lock."""
        backlog = self._backlog
        if backlog is None:
            try:
                written = self._socket.send(frames)
            except BlockingIOError:
                written = 0
            if written == len(frames):
                return
            self._backlog = backlog = Backlog()
            frames = frames[written:]
        elif backlog.size_bytes > MOST_UNSENT_BYTES:
            raise TimeoutError(f"peer left {backlog.size_bytes} bytes waiting")
        until_s = monotonic() + self._write_s
        backlog.add(frames, until_s)
        self._reader.watch(self, more=WRITE)
        self._reader.remind(self, backlog.until_s)

    def _say_goodbye(self, code: int, reason: str) -> bool:
        """Write a close frame; false when it cannot be."""
        with self._writing:
            try:
                self._write(self._frames() + self._encoder.encode(CLOSE, close_payload(code, reason)))
            except OSError:
                return False
            return True

    # -- the end, which is not ours to decide ---------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """The socket is broken."""
        raise NotImplementedError

    def _lost(self) -> LegLost:
        """Why nothing can be sent any more."""
        raise NotImplementedError
