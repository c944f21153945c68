"""The two kinds of socket under a connection, plain and TLS, with one face: that of a plain one.

Neither receiving nor sending ever waits: waiting is the `Reader`'s, for all sockets at once, and so are these
two. Where there is nothing to receive, or no room to send, both raise `BlockingIOError`; any other `OSError`
says that the connection is gone.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Argument = TypeVar("Argument")
Answer = TypeVar("Answer", int, bytes)

_NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for `_forget_errors` alone


class TlsSocket:
    """A TLS socket, received from and sent to by one thread: OpenSSL does not allow two in one connection."""

    __slots__ = ("_tls",)

    RECORD_BYTES = 16384  # the longest

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._tls = sock

    def recv(self, _bufsize: int) -> bytes:
        """Return all that is there, for no poll sees what stays inside OpenSSL; ``b""`` at the end.

        Raises:
            BlockingIOError: there is nothing yet.
        """
        whole = b""
        while True:
            try:
                data = _ask_twice(self._tls.read, self.RECORD_BYTES)
            except _NOT_NOW:
                # Not yet a whole record, or one without data. Or OpenSSL has something to say itself,
                # such as a new key, and no room for it: it says it when next it is called.
                if whole:
                    return whole
                raise BlockingIOError from None
            whole += data
            if not data:
                _forget_errors()  # see `_ask_twice`: whoever dials next in this thread asks but once
                return whole
            if not self._tls.pending():
                return whole

    def send(self, data: bytes | memoryview) -> int:
        """Write what fits; return how many bytes did. What is left must be written next.

        Raises:
            BlockingIOError: nothing fits.
        """
        try:
            return _ask_twice(self._tls.write, data)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None
        # SSLWantReadError may end the connection: only a renegotiation asks for it, and TLS 1.3 has none.

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._tls.fileno()

    def shutdown(self, how: int) -> None:
        """End a direction, or both. From any thread; the descriptor is not closed."""
        # SSLSocket's own shutdown() drops the TLS state first, under the feet of a thread that reads.
        socket.socket.shutdown(self._tls, how)

    def close(self) -> None:
        """Give the descriptor back. Only when no thread can be using it: the number is soon another's."""
        self._tls.close()


def _ask_twice(ask: Callable[[Argument], Answer], argument: Argument) -> Answer:
    """Call into OpenSSL; when it says that the connection is broken, call once more before it is believed.

    OpenSSL keeps what went wrong by thread, not by connection, and whoever calls it next in that thread and
    has to wait is told of it, if it was left there. Python 3.14.10 with OpenSSL 3.6.5 leaves it there when a
    peer has closed, for good: one call's end would break all other calls' connections. So it is forgotten,
    and a connection that is not broken goes on as if it had been asked once.
    """
    try:
        return ask(argument)
    except _NOT_NOW:
        raise
    except OSError as error:
        _forget_errors()
        try:
            answer = ask(argument)
        except _NOT_NOW:
            raise
        except OSError:
            _forget_errors()  # they are not the next one's
            raise error from None
        if not answer:  # it is over: say so with the first reason
            raise
        return answer


def _forget_errors() -> None:
    """Have OpenSSL forget what went wrong in this thread: Python has it do so when no cipher is known."""
    with suppress(ssl.SSLError):
        _context.set_ciphers("NONE-SUCH")


def adopt(sock: socket.socket) -> socket.socket | TlsSocket:
    """Take over a connected socket, whatever its timeouts were."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        # Not every server sets it, and without it small frames wait for the peer's acknowledgements.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return TlsSocket(sock) if isinstance(sock, ssl.SSLSocket) else sock
