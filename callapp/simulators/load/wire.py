"""Sockets of the load: non-blocking, and WebSocket frames with no more care than a load needs.

Frames are not checked: whole frames are expected, and a peer that breaks the protocol shows as lost audio.
The pretend Twilio and OpenAI are the ones to judge that.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from urllib.parse import urlsplit

from callapp.simulators.load.loop import READ, WRITE, Loop

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_READ_BYTES = 65536
# One masking key for the whole run: frames can so be masked once and sent by every call.
KEY = os.urandom(4)
_KEYS = tuple((KEY * 2)[at : at + 4] for at in range(4))

_WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Frame = tuple[int, bytes]


def mask(data: bytes, at: int = 0, key: bytes = KEY) -> bytes:
    """Mask or unmask a part of a payload that begins at byte ``at`` of it."""
    size = len(data)
    turned = _KEYS[at & 3] if key is KEY else (key * 2)[at & 3 : (at & 3) + 4]
    ones = int.from_bytes((turned * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(data, "little") ^ ones).to_bytes(size, "little")


def head(size: int, *, opcode: int = TEXT, masked: bool = False) -> bytes:
    """Return the header of a frame, ``KEY`` included if masked."""
    bit = 0x80 if masked else 0
    if size < 126:
        begin = bytes((0x80 | opcode, bit | size))
    elif size < 65536:
        begin = bytes((0x80 | opcode, bit | 126)) + size.to_bytes(2, "big")
    else:
        begin = bytes((0x80 | opcode, bit | 127)) + size.to_bytes(8, "big")
    return begin + KEY if masked else begin


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a whole frame as a server sends it."""
    return head(len(payload), opcode=opcode) + payload


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a whole frame as a client sends it."""
    return head(len(payload), opcode=opcode, masked=True) + mask(payload)


def split(data: bytes) -> tuple[list[Frame], bytes]:
    """Take whole frames off the front, unmasked; return them and what is left."""
    frames: list[Frame] = []
    size = len(data)
    at = 0
    while size - at >= 2:
        second = data[at + 1]
        length = second & 0x7F
        body = at + 2
        if length == 126:
            body += 2
            length = data[at + 2] << 8 | data[at + 3] if size >= body else 0
        elif length == 127:
            body += 8
            length = int.from_bytes(data[at + 2 : body], "big")
        if second & 0x80:
            body += 4
        end = body + length
        if end > size:
            break
        payload = data[body:end]
        if second & 0x80:
            payload = mask(payload, 0, data[body - 4 : body])
        frames.append((data[at] & 0x0F, payload))
        at = end
    return frames, data[at:] if at < size else b""


class Peer:
    """A socket in the loop.

    Args:
        received: called with each piece of what comes in.
        lost: called once, when the other side has closed, or is gone.
        tls: makes the socket one of TLS, as a client of ``server_name``, or else as a server.
    """

    __slots__ = ("_loop", "_lost", "_received", "_sock", "_to_secure", "_unsent", "fd", "open")

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        received: Callable[[bytes], None],
        lost: Callable[[], None],
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = loop
        self._sock = sock
        self._received = received
        self._lost = lost
        self._unsent = b""
        self._to_secure = (tls, server_name) if tls is not None else None
        self.fd = sock.fileno()
        self.open = True
        loop.closing.add(self.close)
        # TLS is put on a socket once it is connected, which is when it can be written to.
        loop.watch(self.fd, self._on_event, READ if tls is None else READ | WRITE)

    @classmethod
    def dial(
        cls,
        loop: Loop,
        url: str,
        received: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> Peer:
        """Connect to a URL's host. What is sent before the connection stands is kept.

        Raises:
            OSError: it has no address, or is refused at once.
        """
        parts = urlsplit(url)
        secure = parts.scheme in ("https", "wss")
        address = _address(parts.hostname or "", parts.port or (443 if secure else 80))
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        sock.setblocking(False)
        with suppress(BlockingIOError):
            sock.connect(address)
        tls = _client_tls() if secure else None
        peer = cls(loop, sock, received, lost, tls=tls, server_name=parts.hostname)
        loop.want(peer.fd, READ | WRITE)  # what is sent now waits for the connection
        return peer

    def then(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """Let somebody else have what comes from here on."""
        self._received, self._lost = received, lost

    def send(self, data: bytes) -> None:
        """Send, or keep what does not fit until it does."""
        if self._unsent or self._to_secure:
            self._unsent += data
            return
        try:
            sent = self._sock.send(data)
        except _WAIT:
            sent = 0
        except OSError:
            return  # the read that fails next says so
        if sent < len(data):
            self._unsent = data[sent:]
            self._loop.want(self.fd, READ | WRITE)

    def close(self) -> None:
        """Close without a word."""
        if self.open:
            self.open = False
            self._loop.closing.discard(self.close)
            self._loop.forget(self.fd)
            self._sock.close()

    def _on_event(self, ready: int) -> None:
        if ready & WRITE:
            if self._to_secure is not None:
                self._secure(*self._to_secure)
            self._send_rest()
            if ready == WRITE:
                return
        try:
            data = self._sock.recv(_READ_BYTES)
        except _WAIT:
            return
        except OSError:
            data = b""
        if data:
            self._received(data)
        elif self.open:
            self.close()
            self._lost()

    def _secure(self, tls: ssl.SSLContext, server_name: str | None) -> None:
        self._to_secure = None
        with suppress(OSError):  # not connected after all: the read that fails next says so
            self._sock = tls.wrap_socket(
                self._sock,
                server_side=server_name is None,
                server_hostname=server_name,
                do_handshake_on_connect=False,
            )

    def _send_rest(self) -> None:
        unsent, self._unsent = self._unsent, b""
        self._loop.want(self.fd, READ)
        if unsent:
            self.send(unsent)


@cache
def _address(host: str, port: int) -> tuple[str, int]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
    return str(found[0]), int(found[1])


@cache
def _client_tls() -> ssl.SSLContext:
    return ssl.create_default_context()
