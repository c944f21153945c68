"""The other ends of our connections: the `websockets` library, dialling or serving, plain and over TLS."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Queue
from typing import Any

import websocket
from websockets.sync.client import connect
from websockets.sync.connection import Connection as Peer
from websockets.sync.server import serve

from callapp.websocket.connection import Connection

DEADLINE_S = 10.0


@dataclass
class Tls:
    """A certificate of our own for localhost, and who trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    ca_file: str


@dataclass
class Link:
    """A connection of ours and its peer."""

    ours: Connection
    peer: Peer


def wait_until_reading(connection: Connection) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not connection._reading.locked():
        assert time.monotonic() < deadline
        time.sleep(0.001)  # no event tells that another thread has entered a system call


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
    headers = dict(line.lower().split(b": ", 1) for line in request.splitlines()[1:-1])
    # The key's letters have case, the header's name has not.
    key = next(
        line.split(b": ")[1] for line in request.splitlines() if line.lower().startswith(b"sec-websocket-key")
    )
    assert headers[b"upgrade"] == b"websocket"
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
def we_serve(tls: Tls, make: Callable[..., Connection], *, secure: bool) -> Iterator[Link]:
    accepted: Queue[socket.socket] = Queue()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upgrader = threading.Thread(
            target=lambda: accepted.put(accept_upgrade(listener, tls.server if secure else None))
        )
        upgrader.start()
        port = listener.getsockname()[1]
        peer = connect(
            f"{'wss' if secure else 'ws'}://localhost:{port}",
            sock=socket.create_connection(("127.0.0.1", port)),
            ssl=tls.client if secure else None,
            compression=None,
            ping_interval=None,
            max_size=2**21,
        )
        upgrader.join(DEADLINE_S)
    with peer:
        yield Link(make(accepted.get(timeout=DEADLINE_S)), peer)


@contextlib.contextmanager
def we_dial(tls: Tls, make: Callable[..., Connection], *, secure: bool) -> Iterator[Link]:
    peers: Queue[Peer] = Queue()
    over = threading.Event()

    def handle(peer: Peer) -> None:
        peers.put(peer)
        over.wait(DEADLINE_S)

    server = serve(
        handle,
        "127.0.0.1",
        0,
        ssl=tls.server if secure else None,
        compression=None,
        ping_interval=None,
        max_size=2**21,
    )
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        url = f"{'wss' if secure else 'ws'}://localhost:{server.socket.getsockname()[1]}"
        sock = dial(url, tls)
        yield Link(make(sock, name="model", client=True), peers.get(timeout=DEADLINE_S))
    finally:
        over.set()
        server.shutdown()
        serving.join(DEADLINE_S)
