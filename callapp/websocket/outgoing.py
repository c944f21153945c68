"""What goes out on a connection: frames, sent by any thread and written by the reader's, in the order sent.

So nobody waits for a write, and nobody has to ask whether somebody else writes just now: one thread that does
it costs less than a lock for each frame. It writes when all that it has read together, from a handful of
connections, has been dealt with; what the system does not take then, as soon as there is room.
"""

from __future__ import annotations

import socket
from math import inf
from time import monotonic

from callapp.errors import LegLost
from callapp.websocket.backlog import Backlog
from callapp.websocket.framing import TEXT, Encoder
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
        write_s: how long a frame may take to be written once it is its turn; then it is late.
    """

    __slots__ = (
        "_backlog",
        "_encoder",
        "_end",
        "_goodbye",
        "_reader",
        "_write_s",
    )

    sock: socket.socket | TlsSocket

    def __init__(self, sock: socket.socket, *, masked: bool, write_s: float) -> None:
        adopted = adopt(sock)
        super().__init__(adopted, told_once=not isinstance(adopted, TlsSocket))
        self._write_s = write_s
        self._encoder = _MASKED if masked else _PLAIN
        self._reader = shared_reader()
        self._backlog: Backlog | None = None  # the reader's alone
        self._end: tuple[int, str] | None = None  # close code and reason, once it is over
        self._goodbye = b""  # the close frame, from the end until it is written; there may be none

    def send_text(self, text: bytes) -> None:
        """Send a text message, UTF-8. From any thread; it goes out by itself.

        Raises:
            LegLost: the connection has ended. It does when a frame has not gone out ``write_s`` after
                those before it.
        """
        if self._end is not None:
            raise self._lost()
        self._reader.say(self, self._encoder.encode(TEXT, text))  # as _say, which is a call more

    def _say(self, opcode: int, payload: bytes) -> None:
        self._reader.say(self, self._encoder.encode(opcode, payload))

    def write(self, frame: bytes) -> None:
        """Write a frame, or as much of it as there is room for."""
        if self._end is not None:
            self._write_last(frame)
            return
        if self._backlog is None:
            try:
                written = self.sock.send(frame)
            except BlockingIOError:
                written = 0
            except OSError as error:
                self.on_broken(error)
                return
            if written == len(frame):
                return
            frame = frame[written:]
        self._put_by(frame)

    def _write_last(self, frame: bytes) -> None:
        """There is an end: what was said before the goodbye is written, and that, and nothing else."""
        goodbye = self._goodbye
        if not goodbye:
            return
        self._put_by(frame)
        self.on_room()
        if frame is goodbye:
            self._goodbye = b""
            self.on_goodbye()

    def _put_by(self, frame: bytes) -> None:
        """There may be no room for this, or there are others that wait for it."""
        if self._backlog is None:
            self._backlog = Backlog(self._write_s)
        elif self._backlog.size_bytes > MOST_UNSENT_BYTES:
            self.on_broken(TimeoutError(f"peer left {self._backlog.size_bytes} bytes waiting"))
            return
        self._backlog.add(frame, monotonic())
        self._reader.watch(self, more=WRITE)
        self._reader.remind(self, self._late_s)

    @property
    def _late_s(self) -> float:
        """When what waits for room is late; never, if nothing waits."""
        return self._backlog.until_s if self._backlog is not None else inf

    def on_room(self) -> None:
        """Write what waits."""
        if self._backlog is None:
            return
        try:
            self._backlog.write(self.sock.send, monotonic())
        except OSError as error:
            self.on_broken(error)
            return
        if not self._backlog.size_bytes:
            self._backlog = None
            self._reader.watch(self, less=WRITE)

    # -- the end, which is not ours to decide ---------------------------------------------------

    def _lost(self) -> LegLost:
        """Why nothing can be sent any more."""
        raise NotImplementedError

    def on_goodbye(self) -> None:
        """Ours is on its way. In the reader's thread."""
        raise NotImplementedError
