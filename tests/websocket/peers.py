"""The other ends of our connections: the `websockets` library, dialling or serving, plain and over TLS.

It is the asyncio half of the library, in a thread of its own. The other half reads and writes one TLS socket
in two threads at once, and on a busy machine now and then hangs in OpenSSL (seen 2026-11, Python 3.11).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue
from typing import Any

import websocket
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection as LibraryConnection
from websockets.asyncio.server import serve
from websockets.frames import Close

from callapp.websocket.connection import Connection
from callapp.websocket.reader import shared_reader

DEADLINE_S = 10.0
OPTIONS: dict[str, Any] = {"compression": None, "ping_interval": None, "max_size": 2**21}

Make = Callable[..., Connection]


@dataclass
class Tls:
    """A certificate of our own for localhost, and who trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    ca_file: str


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()


class Peer:
    """A connection of the library, for the thread of a test."""

    def __init__(self, loop: Loop, connection: LibraryConnection) -> None:
        self._loop = loop
        self._connection = connection

    def recv(self) -> str | bytes:
        message = self._loop.run(self._connection.recv())
        assert isinstance(message, str | bytes)
        return message

    def send(self, message: str | bytes) -> None:
        self._loop.run(self._connection.send(message))

    def send_fragments_with_pings_between(self, *fragments: str) -> None:
        """Return when all the pings have been answered."""

        async def send() -> None:
            pongs = []

            async def pieces() -> Any:
                for fragment in fragments:
                    yield fragment
                    pongs.append(await self._connection.ping())

            await self._connection.send(pieces())
            await asyncio.gather(*pongs)

        self._loop.run(send())

    def pong_unasked(self) -> None:
        self._loop.run(self._connection.pong(b"unasked"))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Return when the peer has answered and hung up."""
        self._loop.run(self._connection.close(code, reason))

    def closing_handshake(self) -> tuple[Close | None, Close | None, bool | None]:
        """Wait for the end; return the close frame received, the one sent, and whether in this order."""
        self._loop.run(self._connection.wait_closed())
        protocol = self._connection.protocol
        return protocol.close_rcvd, protocol.close_sent, protocol.close_rcvd_then_sent


@dataclass
class Link:
    """A connection of ours and its peer."""

    ours: Connection
    peer: Peer


def wait_until_reading(connection: Connection) -> None:
    _wait_until(connection._reading.locked)


def wait_until_some_is_left(connection: Connection) -> None:
    """Of what it was to write."""
    _wait_until(lambda: connection._backlog is not None)


def wait_until_the_reader_waits() -> None:
    """For something to come."""
    _wait_until(lambda: shared_reader()._waits)


def _wait_until(it_is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not it_is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)  # no event tells what another thread has come to


def accept_upgrade(
    listener: socket.socket, context: ssl.SSLContext | None, first: bytes = b""
) -> socket.socket:
    """Accept a connection and upgrade it; ``first`` goes out in one piece with the 101."""
    sock, _ = listener.accept()
    sock.settimeout(DEADLINE_S)
    if context:
        sock = context.wrap_socket(sock, server_side=True)
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += sock.recv(1)
    [key] = [
        line.split(b": ")[1] for line in request.splitlines() if line.lower().startswith(b"sec-websocket-key")
    ]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + first
    )
    return sock


def dial(url: str, tls: Tls) -> socket.socket:
    """Dial as the product does, and take the socket over."""
    options: dict[str, Any] = {"sslopt": {"ca_certs": tls.ca_file}} if url.startswith("wss") else {}
    dialled = websocket.create_connection(url, timeout=DEADLINE_S, http_no_proxy=["localhost"], **options)
    assert isinstance(dialled.sock, socket.socket)
    return dialled.sock


@contextlib.contextmanager
def we_serve(tls: Tls, make: Make, *, secure: bool) -> Iterator[Link]:
    loop = Loop()
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
            upgrading = pool.submit(accept_upgrade, listener, tls.server if secure else None)
            url = f"{'wss' if secure else 'ws'}://localhost:{listener.getsockname()[1]}"

            async def dial_us() -> LibraryConnection:
                return await connect(url, ssl=tls.client if secure else None, proxy=None, **OPTIONS)

            peer = loop.run(dial_us())
            ours = make(upgrading.result(DEADLINE_S))
        yield Link(ours, Peer(loop, peer))
        ours.release()
        loop.run(peer.wait_closed())
    finally:
        loop.stop()


@contextlib.contextmanager
def we_dial(tls: Tls, make: Make, *, secure: bool) -> Iterator[Link]:
    loop = Loop()
    peers: Queue[LibraryConnection] = Queue()

    async def handle(peer: LibraryConnection) -> None:
        peers.put(peer)
        await peer.wait_closed()

    async def start() -> Any:
        return await serve(handle, "127.0.0.1", 0, ssl=tls.server if secure else None, **OPTIONS)

    async def stop(server: Any) -> None:
        server.close()
        await server.wait_closed()

    try:
        server = loop.run(start())
        url = f"{'wss' if secure else 'ws'}://localhost:{server.sockets[0].getsockname()[1]}"
        ours = make(dial(url, tls), name="model", client=True)
        yield Link(ours, Peer(loop, peers.get(timeout=DEADLINE_S)))
        ours.release()
        loop.run(stop(server))
    finally:
        loop.stop()
