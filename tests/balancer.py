"""What stands before several servers: it deals the media streams out in turn, and all else to the first."""

from __future__ import annotations

import socket
from contextlib import suppress
from itertools import cycle
from threading import Lock, Thread

from tests.stage import DEADLINE_S, free_port


class Balancer:
    """Listens on a port of its own; hands whole connections on."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._first = 0
        self._turns = cycle([0])
        self._lock = Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads = [Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stand_before(self, *ports: int, streams_from: int = 0) -> None:
        """From now on there are these servers; the next stream goes to the one of that index."""
        self._first = ports[0]
        self._turns = cycle(ports[streams_from:] + ports[:streams_from])

    def close(self) -> None:
        """Cut all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sockets, threads = list(self._sockets), list(self._threads)
        for one in sockets:
            _shut(one)
        for thread in threads:
            thread.join(DEADLINE_S)
        for one in sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        head = client.recv(65_536)
        port = next(self._turns) if head.startswith(b"GET /ws ") else self._first
        server = socket.create_connection(("127.0.0.1", port))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets += [client, server]
        server.sendall(head)
        self._start(self._pump, client, server)
        self._pump(server, client)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        _shut(source)
        _shut(sink)

    def _start(self, target: object, *ends: socket.socket) -> None:
        thread = Thread(target=target, args=ends, daemon=True)  # type: ignore[arg-type]
        with self._lock:
            self._threads.append(thread)
        thread.start()


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
