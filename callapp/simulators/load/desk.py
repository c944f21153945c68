"""Where the server calls: the model's sessions and Twilio's REST API, behind one port."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import suppress
from itertools import count

from callapp.simulators.load.http import content_length, upgrade_answer
from callapp.simulators.load.model import Session
from callapp.simulators.load.wire import Peer
from callapp.simulators.load.world import World

_BACKLOG = 1024


class Desk:
    """Listens until closed.

    Args:
        tls: with which the sessions are spoken to, on a port of their own, as ``localhost``.
    """

    def __init__(
        self, world: World, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._world = world
        self._tls = tls
        self._sock = socket.create_server((host, port), backlog=_BACKLOG)
        self._sock.setblocking(False)
        self._numbers = count(1)
        host, port = self._sock.getsockname()[:2]
        self.origin = f"http://{host}:{port}"
        self.realtime_url = f"{'wss://localhost' if tls else f'ws://{host}'}:{port}/v1/realtime"
        world.loop.watch(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Take nobody in any more."""
        self._world.loop.forget(self._sock.fileno())
        self._sock.close()

    def _accept(self, _mask: int) -> None:
        with suppress(BlockingIOError):
            _Visitor(self._world, self._sock.accept()[0], self._tls, self._numbers)


class _Visitor:
    """A connection of which it is not known yet what it wants."""

    def __init__(
        self, world: World, sock: socket.socket, tls: ssl.SSLContext | None, numbers: count[int]
    ) -> None:
        self._world = world
        self._numbers = numbers
        self._data = b""
        self._peer = Peer(world.loop, sock, self._received, lambda: None, tls=tls)

    def _received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET /v1/realtime"):
            self._peer.send(upgrade_answer(head))
            Session(self._world, self._peer, next(self._numbers))
        elif len(body) >= content_length(head):
            self._data = b""
            self._peer.send(self._rest(head.split(b" ", 2)[1].decode()))

    def _rest(self, path: str) -> bytes:
        """Answer a change of a call: here each one ends it."""
        sid = path.rpartition("/")[2].removesuffix(".json")
        phone = self._world.phones_by_sid.get(sid)
        if phone is None:
            return _answer(404, {"code": 20404, "message": f"no call {sid}", "status": 404})
        phone.complete()
        return _answer(200, {"sid": sid, "status": "completed"})


def _answer(status: int, body: dict[str, object]) -> bytes:
    text = json.dumps(body).encode()
    reason = "OK" if status == 200 else "Not Found"
    return (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    ).encode() + text
