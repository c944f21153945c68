"""The two kinds of socket under a connection, plain and TLS, with one face.

Neither reading nor writing ever waits: waiting is the `Reader`'s, for all sockets at once. One thread reads
and one writes at a time; they may be two. Both raise `OSError` when the connection is gone.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from threading import Lock


class _Socket:
    """What both kinds do alike."""

    __slots__ = ("_socket", "fd")

    _socket: socket.socket

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.fd = sock.fileno()

    def shut_down(self) -> None:
        """End both directions for good. From any thread; the descriptor is not closed."""
        with suppress(OSError):  # the peer was faster
            # SSLSocket's own shutdown() drops the TLS state first, under the feet of a thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back. Only when no thread can be using it: the number is soon another's."""
        self._socket.close()


class PlainSocket(_Socket):
    """A TCP socket, or one like it."""

    __slots__ = ()

    def read(self, buffer: memoryview) -> bytes | None:
        """Return bytes that are there, as many as the buffer takes: ``b""`` at the end, None for none yet.

        Args:
            buffer: to read into. recv() would allocate as much each time.
        """
        try:
            size = self._socket.recv_into(buffer)
        except BlockingIOError:
            return None
        return buffer[:size].tobytes()

    def write(self, data: bytes | memoryview) -> int:
        """Write what fits; return how many bytes did."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0


class TlsSocket(_Socket):
    """A TLS socket that two threads may share.

    OpenSSL does not allow two threads in one connection at once. Most Pythons leave that to chance, and the
    lock of 3.13.6 deadlocks when one thread waits to read while another writes. So a lock of ours is held
    around each call into OpenSSL, none of which waits.
    """

    __slots__ = ("_lock", "_tls")

    READ_BYTES = 16384  # a whole TLS record

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock)
        self._tls = sock
        self._lock = Lock()

    def read(self, buffer: memoryview) -> bytes | None:  # noqa: ARG002  OpenSSL has its own
        """As `PlainSocket.read`. Leaves nothing inside OpenSSL, where no poll would see it."""
        whole = b""
        with self._lock:
            while True:
                try:
                    data = self._tls.read(self.READ_BYTES)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    # Not yet a whole record, or one without data. Or OpenSSL has something to say itself,
                    # such as a new key, and no room for it: it says it when next it is called.
                    return whole or None
                whole += data
                if not data or not self._tls.pending():
                    return whole

    def write(self, data: bytes | memoryview) -> int:
        """Write what fits; return how many bytes did. What is left must be written next."""
        try:
            with self._lock:
                return self._tls.write(data)
        except ssl.SSLWantWriteError:
            return 0
        # SSLWantReadError may end the connection: only a renegotiation asks for it, and TLS 1.3 has none.


def adopt(sock: socket.socket) -> PlainSocket | TlsSocket:
    """Take over a connected socket, whatever its timeouts were."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        # Not every server sets it, and without it small frames wait for the peer's acknowledgements.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return TlsSocket(sock) if isinstance(sock, ssl.SSLSocket) else PlainSocket(sock)
