"""The WebSocket of a pretend session: one thread reads, writes and waits, and never blocks.

``websockets`` supplies the protocol without the I/O, so that a fault can be exactly what it is on
the network: a reset, a stall, a close without a code.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from contextlib import suppress
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

_MAX_MESSAGE_BYTES = 24 * 1024 * 1024
"""Room for an append of 15 MiB in base64."""
_READ_BYTES = 65536
_CLOSE_S = 1.0
"""How long a peer has to answer a close frame."""
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)


class Pong:
    """The client answered a ping."""


class Wire:
    """A connection, from its upgrade to its end.

    Everything but ``wake`` and ``hang_up`` belongs to the thread that serves the connection.

    Attributes:
        request_headers: of the upgrade, names in lower case.
        path: of the upgrade, with its query.
        alive: the socket is still of use.
        closing: it was this side that ended the connection; what still comes in is void.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._sock = sock
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self._wakened.setblocking(False)
        self._protocol = ServerProtocol(max_size=_MAX_MESSAGE_BYTES)
        self._unsent = bytearray()
        self._half_closed = False
        self._message: list[bytes] = []
        self._message_opcode = Opcode.TEXT
        self._deadline_s: float | None = None
        self._poller = select.poll()
        self._poller.register(self._wakened, select.POLLIN)
        self._poller.register(self._sock, 0)
        self.request_headers: dict[str, str] = {}
        self.path = ""
        self.alive = True
        self.closing = False

    @property
    def open(self) -> bool:
        """Whether events can be sent."""
        return self.alive and self._protocol.state is State.OPEN

    @property
    def close_code(self) -> int:
        """The peer's close code; 1006 when there was none."""
        received = self._protocol.close_rcvd
        return 1006 if received is None else int(received.code)

    # The upgrade

    def await_request(self, within_s: float) -> bool:
        """Wait for the upgrade request; its headers and path are then known.

        Returns:
            Whether one came in time; without one the connection is to be shut.
        """
        self._deadline_s = time.monotonic() + within_s
        while self.alive and not self.path:
            self.exchange(None)
        self._deadline_s = None
        return bool(self.path)

    def accept(self) -> bool:
        """Answer the upgrade with 101, or with what is wrong with the request."""
        response = self._protocol.accept(self._request)
        self._protocol.send_response(response)
        return response.status_code == 101

    def reject(self, status: int) -> None:
        """Answer the upgrade with an HTTP error."""
        self._protocol.send_response(self._protocol.reject(status, "Refused.\n"))

    # Messages

    def exchange(self, wait_s: float | None, *, reading: bool = True) -> list[str | bytes | Pong]:
        """Send what is unsent, wait, and return what came.

        Args:
            wait_s: at most; ``None`` waits for a message or ``wake``.
            reading: ``False`` leaves what comes in the socket.
        """
        self._write()
        if not self.alive:
            return []
        interest = select.POLLOUT if self._unsent else 0
        if reading:
            interest |= select.POLLIN
        self._poller.modify(self._sock, interest | getattr(select, "POLLRDHUP", 0))
        ready = dict(self._poller.poll(self._poll_ms(wait_s)))
        if self._wakened.fileno() in ready:
            self._drain_wakeups()
        state = ready.get(self._sock.fileno(), 0)
        messages = self._read() if reading and state & (select.POLLIN | _GONE) else []
        if not reading and state & _GONE:
            self.alive = False
        self._write()
        if self._deadline_s is not None and time.monotonic() >= self._deadline_s:
            self.alive = False
        return messages

    def send_event(self, event: dict[str, Any]) -> None:
        """Send an event as JSON text."""
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        # A client may have sent half a surrogate pair in what is echoed to it.
        self._protocol.send_text(text.encode(errors="replace"))

    def send(self, payload: str | bytes) -> None:
        """Send one frame as it is."""
        if isinstance(payload, str):
            self._protocol.send_text(payload.encode())
        else:
            self._protocol.send_binary(payload)

    def ping(self) -> None:
        self._protocol.send_ping(b"callapp")

    def wake(self) -> None:
        """End a wait; from any thread."""
        with suppress(OSError):  # It is awake already, or gone.
            self._waker.send(b"w")

    def hang_up(self) -> None:
        """End the connection at once, without a word; from any thread."""
        self.alive = False
        self.wake()

    # The end

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the connection ends when it is answered, or after a second."""
        if not self.open:
            return
        self.closing = True
        self._protocol.send_close(None if code == 1005 else code, reason)
        self._deadline_s = time.monotonic() + _CLOSE_S

    def reset(self) -> None:
        """End the TCP connection by a RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._unsent.clear()
        self.closing = True
        self.alive = False

    def shut(self) -> None:
        """Give back the sockets; the last thing done with a connection."""
        self.alive = False
        for sock in (self._sock, self._waker, self._wakened):
            sock.close()

    # Inside

    def _poll_ms(self, wait_s: float | None) -> int | None:
        if self._deadline_s is not None:
            left_s = max(0.0, self._deadline_s - time.monotonic())
            wait_s = left_s if wait_s is None else min(wait_s, left_s)
        # Rounded up: waking a moment too early would spin until the moment has come.
        return None if wait_s is None else -int(-wait_s * 1000 // 1)

    def _drain_wakeups(self) -> None:
        with suppress(BlockingIOError):
            self._wakened.recv(4096)

    def _read(self) -> list[str | bytes | Pong]:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
            self.alive = False
        messages: list[str | bytes | Pong] = []
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._request = event
                self.request_headers = {name.lower(): value for name, value in event.headers.raw_items()}
                self.path = event.path
            elif isinstance(event, Frame):
                message = self._assemble(event)
                if message is not None:
                    messages.append(message)
        return messages

    def _assemble(self, frame: Frame) -> str | bytes | Pong | None:
        if frame.opcode is Opcode.PONG:
            return Pong()
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._message_opcode = frame.opcode
        elif frame.opcode is not Opcode.CONT:
            return None
        self._message.append(bytes(frame.data))
        if not frame.fin:
            return None
        data = b"".join(self._message)
        self._message.clear()
        if self._message_opcode is Opcode.BINARY:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            self._protocol.fail(1007, "invalid UTF-8")
            return None

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._unsent += data
            else:
                self._half_closed = True
                if self._deadline_s is None:
                    self._deadline_s = time.monotonic() + _CLOSE_S
        try:
            while self._unsent and self.alive:
                del self._unsent[: self._sock.send(self._unsent)]
            if self._half_closed and self.alive:
                # The closing handshake is over, or the upgrade was refused: the server hangs up first.
                self._sock.shutdown(socket.SHUT_WR)
                self._half_closed = False
                self.alive = self._protocol.close_rcvd is None
        except BlockingIOError:
            return
        except OSError:
            self.alive = False
