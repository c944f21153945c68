"""A TCP proxy that can go wrong at any byte: between Twilio and callapp, and between callapp and OpenAI.

    with Proxy(upstream_port, on_open) as proxy:   # peers connect to proxy.port
        ...
        link.strike(Fault("reset", "down", after_bytes=123))

Each connection is a `Link`. ``on_open`` is told of it once its first bytes have come, so that it is known
by its request line, and before any of them is passed on: a fault struck there holds from the first byte.
Later ones may be struck from any thread.

Threads: one, which owns all sockets. ``close`` ends it, and every connection.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from types import TracebackType
from typing import Literal, Self

Kind = Literal["drop", "reset", "stall", "delay", "split", "duplicate"]
Way = Literal["up", "down"]

READ_BYTES = 65_536
MOST_WAITING_BYTES = 262_144
SPLIT_BYTES = 1_500
"""So much is passed on in small pieces, then it is over: the machine has two cores."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong on a connection.

    Args:
        kind: ``drop`` ends both directions with a FIN, ``reset`` with a RST; ``stall`` passes nothing on any
            more, in both directions; ``delay`` passes nothing on in one direction for ``amount`` ms;
            ``split`` passes on what follows in pieces of ``amount`` bytes; ``duplicate`` passes on the next
            ``amount`` bytes twice.
        way: the direction in which it is counted: ``up`` from who has dialled.
        after_bytes: so many more bytes of that direction are passed on before it strikes.
        amount: as above.
    """

    kind: Kind
    way: Way = "down"
    after_bytes: int = 0
    amount: int = 0

    def __str__(self) -> str:
        return f"{self.kind}({self.amount}) {self.way}+{self.after_bytes}"


class _Pipe:
    """One direction of a link."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.waiting = bytearray()
        self.faults: list[tuple[Fault, int]] = []  # with the count of bytes at which each strikes
        self.passed_bytes = 0
        self.piece = 0  # size of the pieces, 0 for no splitting
        self.split_bytes = 0  # how much of what waits and comes is still to be split
        self.held_until_s = 0.0
        self.source_ended = False
        self.sink_ended = False


class Link:
    """One proxied connection."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.request_line = ""
        self.struck: list[tuple[float, Fault]] = []
        """The faults that have struck, and when, by ``time.monotonic()``."""
        self.over = False
        self.stalled = False
        self.dropped = False
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._pipes: dict[Way, _Pipe] = {}

    def strike(self, fault: Fault) -> None:
        """Let a fault happen. From any thread."""
        self._proxy._ask(self, lambda: self._arm(fault))

    def cut(self) -> None:
        """Let go of both ends, as when a cable is unplugged for good. From any thread."""
        self._proxy._ask(self, self._abort)

    # In the proxy's thread

    def _connect(self, upstream_port: int) -> bool:
        try:
            self._server = socket.create_connection(("127.0.0.1", upstream_port), 2)
        except OSError:
            self._abort()
            return False
        for sock in (self._client, self._server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pipes = {"up": _Pipe(self._client, self._server), "down": _Pipe(self._server, self._client)}
        return True

    def _arm(self, fault: Fault) -> None:
        if not self.over:
            pipe = self._pipes[fault.way]
            pipe.faults.append((fault, pipe.passed_bytes + len(pipe.waiting) + fault.after_bytes))
            pipe.faults.sort(key=lambda one: one[1])
            self._strike_due(pipe, b"")

    def _take(self, pipe: _Pipe, data: bytes) -> None:
        """Bytes have come: pass them on, as far as no fault strikes among them."""
        while data:
            came = pipe.passed_bytes + len(pipe.waiting)
            room = max(0, pipe.faults[0][1] - came) if pipe.faults else len(data)
            pipe.waiting += data[:room]
            if pipe.faults and room <= len(data):
                self._write(pipe)  # what came before the byte is not part of the fault
                if not self.over:
                    data = self._strike_due(pipe, data[room:])
            else:
                data = b""

    def _strike_due(self, pipe: _Pipe, rest: bytes) -> bytes:
        """Strike what is due at this byte; return what is left of the bytes after it."""
        while pipe.faults and pipe.faults[0][1] <= pipe.passed_bytes + len(pipe.waiting) and not self.over:
            fault, _ = pipe.faults.pop(0)
            if fault.kind == "duplicate":
                if not rest:  # there is nothing to be said twice yet
                    pipe.faults.insert(0, (fault, pipe.passed_bytes + len(pipe.waiting)))
                    return rest
                pipe.waiting += rest[: fault.amount]
            self.struck.append((time.monotonic(), fault))
            match fault.kind:
                case "drop":
                    self._drop()
                case "reset":
                    self._abort()
                case "stall":
                    self.stalled = True
                case "delay":
                    pipe.held_until_s = time.monotonic() + fault.amount / 1000
                    self._proxy._holding.add(self)
                case "split":
                    pipe.piece, pipe.split_bytes = fault.amount, SPLIT_BYTES
        return b"" if self.dropped or self.over else rest

    def _drop(self) -> None:
        """End both directions politely. What still comes is read and forgotten, or the kernel would reset."""
        self.dropped = True
        for pipe in self._pipes.values():
            pipe.waiting.clear()
            pipe.faults.clear()
            self._end_sink(pipe)

    def _end_sink(self, pipe: _Pipe) -> None:
        pipe.sink_ended = True
        with suppress(OSError):
            pipe.sink.shutdown(socket.SHUT_WR)

    def _abort(self) -> None:
        if self.over:
            return
        self.over = True
        for sock in (self._client, self._server):
            if sock is not None:
                self._proxy._forget(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    def _close_if_done(self) -> None:
        if not self.over and all(pipe.source_ended and not pipe.waiting for pipe in self._pipes.values()):
            self.over = True
            for pipe in self._pipes.values():
                self._proxy._forget(pipe.source)
                pipe.source.close()

    def _read(self, pipe: _Pipe) -> None:
        try:
            data = pipe.source.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._abort()
            return
        if not data:
            pipe.source_ended = True
            if not pipe.waiting:
                self._end_sink(pipe)
            self._close_if_done()
        elif not self.dropped:
            self._take(pipe, data)
            if not self.over:
                self._write(pipe)

    def _write(self, pipe: _Pipe) -> None:
        """Pass on what fits; a piece only, if it is to be split."""
        if self.stalled or pipe.held_until_s > time.monotonic():
            return
        while pipe.waiting and not self.over:
            size = min(pipe.piece, pipe.split_bytes) if pipe.split_bytes else len(pipe.waiting)
            try:
                sent = pipe.sink.send(pipe.waiting[:size])
            except BlockingIOError:
                return
            except OSError:
                self._abort()
                return
            del pipe.waiting[:sent]
            pipe.passed_bytes += sent
            if pipe.split_bytes:
                pipe.split_bytes -= sent
                return  # the next piece comes after the others have had their turn
        if pipe.source_ended and not pipe.sink_ended:
            self._end_sink(pipe)
            self._close_if_done()

    def _held_until_s(self) -> float:
        return max(pipe.held_until_s for pipe in self._pipes.values())

    def _interests(self) -> dict[socket.socket, int]:
        """What to wait for, by socket."""
        wanted = {pipe.source: 0 for pipe in self._pipes.values()}
        if self.stalled:
            return wanted
        now_s = time.monotonic()
        for pipe in self._pipes.values():
            if not pipe.source_ended and len(pipe.waiting) < MOST_WAITING_BYTES:
                wanted[pipe.source] |= selectors.EVENT_READ
            if pipe.waiting and pipe.held_until_s <= now_s:
                wanted[pipe.sink] |= selectors.EVENT_WRITE
        return wanted


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes everything on to another one, faults excepted.

    Args:
        upstream_port: where to pass it on to.
        on_open: told of each connection, in the proxy's thread, before its first bytes are passed on.
    """

    def __init__(self, upstream_port: int, on_open: Callable[[Link], None] = lambda link: None) -> None:
        self.upstream_port = upstream_port
        self._on_open = on_open
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._waker, self._wakened = socket.socketpair()
        self._wakened.setblocking(False)
        self._asked: deque[tuple[Link | None, Callable[[], None]]] = deque()
        self._closing = False
        self._live: set[Link] = set()
        self._holding: set[Link] = set()
        self._new: dict[socket.socket, Link] = {}  # of which no byte has come
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._wakened, selectors.EVENT_READ, None)
        self._thread = Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and the thread."""
        if not self._closing:
            self._closing = True
            self._ask(None, lambda: None)
            self._thread.join(5)

    def _ask(self, link: Link | None, deed: Callable[[], None]) -> None:
        self._asked.append((link, deed))
        with suppress(OSError):
            self._waker.send(b"w")

    # In the proxy's thread

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        finally:
            for link in list(self._live):
                link._abort()
            for sock in self._new:
                sock.close()
            for sock in (self._listener, self._waker, self._wakened):
                sock.close()
            self._selector.close()

    def _turn(self) -> None:
        for key, events in self._selector.select(self._next_hold_s()):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._wakened:
                with suppress(BlockingIOError):
                    self._wakened.recv(4096)
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._serve(key.fileobj, key.data, events)
        self._do_what_was_asked()
        now_s = time.monotonic()
        for link in [one for one in self._holding if one._held_until_s() <= now_s]:
            self._holding.discard(link)
            for pipe in link._pipes.values():
                if not link.over:
                    link._write(pipe)
            self._watch(link)

    def _do_what_was_asked(self) -> None:
        while self._asked:
            link, deed = self._asked.popleft()
            deed()
            if link is not None:
                self._watch(link)

    def _next_hold_s(self) -> float | None:
        if not self._holding:
            return None
        return max(0.0, min(link._held_until_s() for link in self._holding) - time.monotonic())

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            link = Link(self, client)
            self._new[client] = link
            self._register(client, selectors.EVENT_READ, link)

    def _serve(self, sock: socket.socket, link: Link, events: int) -> None:
        if sock in self._new:
            self._open(sock, link)
            return
        for pipe in link._pipes.values():
            if events & selectors.EVENT_READ and pipe.source is sock and not link.over:
                link._read(pipe)
            if events & selectors.EVENT_WRITE and pipe.sink is sock and not link.over:
                link._write(pipe)
        self._watch(link)

    def _open(self, client: socket.socket, link: Link) -> None:
        del self._new[client]
        try:
            data = client.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._forget(client)
            client.close()
            return
        self._live.add(link)
        link.request_line = data.partition(b"\r\n")[0].decode(errors="replace")
        if not link._connect(self.upstream_port):
            return
        self._on_open(link)
        self._do_what_was_asked()
        if not link.over:
            link._take(link._pipes["up"], data)
        if not link.over:
            link._write(link._pipes["up"])
        self._watch(link)

    def _watch(self, link: Link) -> None:
        if link.over:
            self._live.discard(link)
            self._holding.discard(link)
            return
        for sock, events in link._interests().items():
            self._register(sock, events, link)

    def _register(self, sock: socket.socket, events: int, link: Link) -> None:
        if not events:
            self._forget(sock)
        elif sock in self._selector.get_map():
            self._selector.modify(sock, events, link)
        else:
            self._selector.register(sock, events, link)

    def _forget(self, sock: socket.socket) -> None:
        if sock in self._selector.get_map():
            self._selector.unregister(sock)
