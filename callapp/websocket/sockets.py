"""The two kinds of socket under a connection, plain and TLS, with one face.

Reading waits; writing never does, that is what `wait_writable` is for. One thread reads and one writes at a
time; they may be two. Reading and writing raise `OSError` when the connection is gone.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from contextlib import suppress
from threading import Lock
from time import monotonic


class _Socket:
    """What both kinds do alike."""

    __slots__ = ("_socket",)

    _socket: socket.socket

    def wait_writable(self, seconds: float) -> bool:
        """Wait until more can be written or the connection is gone; false when neither came true in time."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def shut_down(self) -> None:
        """End both directions for good; who waits on the socket, wakes. From any thread; it is not closed."""
        with suppress(OSError):  # the peer was faster
            # SSLSocket's own shutdown() drops the TLS state first, under the feet of a thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back. Only when no thread can be using it: the number is soon another's."""
        self._socket.close()


class PlainSocket(_Socket):
    """A blocking TCP socket. Reading costs one system call: the kernel keeps the time (``SO_RCVTIMEO``)."""

    __slots__ = ("_buffer",)

    # One buffer for all reads: recv() allocates as much each time, and a connection then keeps 28 KiB more
    # (300 of them measured). It takes ten of Twilio's frames; OpenAI's largest, 20 KB, come in pieces.
    READ_BYTES = 4096

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = memoryview(bytearray(self.READ_BYTES))
        sock.settimeout(None)  # a timeout of Python's own would add a poll() to every call

    def set_read_timeout(self, seconds: float) -> None:
        """Let each `read` wait so long. For the thread that reads."""
        microseconds = max(1, int(seconds * 1_000_000))  # 0 would mean for ever
        timeval = struct.pack("ll", *divmod(microseconds, 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)

    def read(self) -> bytes | None:
        """Wait for bytes and return them: ``b""`` at the end of the stream, None when none came in time."""
        try:
            size = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return None
        return bytes(self._buffer[:size])

    def write(self, data: bytes | memoryview) -> int:
        """Write what fits without waiting; return how many bytes did."""
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0


class TlsSocket(_Socket):
    """A non-blocking TLS socket that two threads may share.

    OpenSSL does not allow two threads in one connection at once. Most Pythons leave that to chance, and the
    lock of 3.13.6 deadlocks when one thread waits to read while another writes. So a lock of ours is held
    around each call into OpenSSL, none of which waits; the waiting is done outside, in ``poll``. It is not a
    system call more: Python's own timeout would poll as well.
    """

    __slots__ = ("_lock", "_more", "_poll", "_read_timeout_s", "_tls")

    READ_BYTES = 16384  # a whole TLS record; not held while waiting, as that is over when the read begins

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._socket = self._tls = sock
        sock.settimeout(0)
        self._lock = Lock()
        self._poll = select.poll()  # the reader's
        self._poll.register(sock, select.POLLIN)
        self._more = True  # there may be bytes inside OpenSSL, decrypted, where poll does not see them
        self._read_timeout_s = 0.0

    def set_read_timeout(self, seconds: float) -> None:
        """Let each `read` wait so long. For the thread that reads."""
        self._read_timeout_s = seconds

    def read(self) -> bytes | None:
        """Wait for bytes and return them: ``b""`` at the end of the stream, None when none came in time."""
        wait_s = self._read_timeout_s
        deadline: float | None = None
        while self._more or self._poll.poll(wait_s * 1000):
            try:
                with self._lock:
                    data = self._tls.read(self.READ_BYTES)
            except ssl.SSLWantReadError:  # not yet a whole record, or one without data
                self._more = False
            except ssl.SSLWantWriteError:  # OpenSSL has something to say itself, such as a new key
                self.wait_writable(wait_s)
            else:
                self._more = len(data) == self.READ_BYTES
                return data
            if deadline is None:
                deadline = monotonic() + wait_s
            wait_s = max(0.0, deadline - monotonic())
        return None

    def write(self, data: bytes | memoryview) -> int:
        """Write what fits without waiting; return how many bytes did. What is left must be written next."""
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
