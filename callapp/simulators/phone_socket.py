"""The socket under a phone's stream: carries its texts, keeps its time. One event loop for all.

Frames go out on absolute deadlines, 20 ms apart from the stream's start, so that lateness never
adds up; marks go out at the moment the play-out clock says. Everything here runs in the loop's
thread; the stream is touched under the call's lock, because tests read it from theirs.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Condition
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from callapp.simulators.phone_stream import PhoneStream

_CONNECT_S = 5
_CLOSE_S = 2
# A server that reads too slowly loses the caller's audio, as with Twilio (warning 31930).
_MAX_UNSENT_BYTES = 128 * 1024
_log = logging.getLogger(__name__)


class StreamRefused(Exception):
    """The stream could not be opened; ``code`` is what Twilio's debugger would show."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class _Line:
    """One direction of a slow network: does what it is given a fixed time later, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, latency_s: float) -> None:
        self._loop = loop
        self._latency_s = latency_s
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def carry(self, deed: Callable[[], None]) -> None:
        if not self._latency_s:
            deed()
            return
        self._waiting.append((self._loop.time() + self._latency_s, deed))
        if self._timer is None:
            self._timer = self._loop.call_at(self._waiting[0][0], self._arrive)

    def cut(self) -> None:
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arrive(self) -> None:
        self._timer = None
        while self._waiting and self._waiting[0][0] <= self._loop.time():
            self._waiting.popleft()[1]()
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._arrive)


class PhoneSocket(asyncio.Protocol):
    """A WebSocket that a phone has opened, from the handshake to the last byte.

    Args:
        changed: the call's lock and bell: held while the stream is touched, rung afterwards.
        on_hang_up: called when the callee puts the phone down.
        latency_ms: delay of the network, each way.
        tears_down: close the stream at the first violation, as Twilio may (31924).

    Attributes:
        opened: set when the server has accepted; fails with StreamRefused when it does not.
        over: set when the stream is over, with Twilio's code of why and some words: 31921 the
            server closed it, 31903 its socket was lost, 31924 torn down for a violation.
        gone: set when the socket is closed and nothing is left of it.
    """

    def __init__(
        self,
        url: str,
        signature: str,
        stream: PhoneStream,
        changed: Condition,
        on_hang_up: Callable[[], None],
        *,
        latency_ms: float = 0,
        tears_down: bool = False,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.stream = stream
        self.opened: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[tuple[int, str]] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._changed = changed
        self._on_hang_up = on_hang_up
        self._tears_down = tears_down
        self._ws = ClientProtocol(parse_uri(url), max_size=1 << 20, logger=_log)
        self._signature = signature
        self._transport: asyncio.Transport
        self._sending = _Line(loop, latency_ms / 1000)
        self._receiving = _Line(loop, latency_ms / 1000)
        self._fragments: list[bytes] = []
        self._began_ns = 0
        self._frame_timer: asyncio.TimerHandle | None = None
        self._mark_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the stream began."""
        return time.monotonic_ns() - self._began_ns

    # For the call

    def hang_up(self) -> None:
        """Send ``stop`` and close, as when the call is over."""
        if not self.over.done():
            with self._changed:
                texts = [*self.stream.rest(), self.stream.stop()]
            for text in texts:
                self._send(text)
            self._finish(0, "the phone hung up")
            self._sending.carry(self._close)

    def drop(self) -> None:
        """Lose the connection: no ``stop``, no close frame, a reset where the system sends one."""
        self._finish(31903, "the phone dropped the connection")
        self._transport.abort()

    def stop_reading(self) -> None:
        """Take nothing more from the socket, so that the server's writes pile up."""
        self._transport.pause_reading()

    # For the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        request = self._ws.connect()
        request.headers["X-Twilio-Signature"] = self._signature
        request.headers["User-Agent"] = "Twilio.TmeWs/1.0"
        self._ws.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._ws.close_rcvd is not None:
            with self._changed:
                self.stream.after_close += data
        self._ws.receive_data(data)
        self._handle_events()

    def eof_received(self) -> None:
        self._ws.receive_eof()
        self._handle_events()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(StreamRefused(31920, f"no answer to the upgrade: {exc}"))
        self._finish(31903, f"connection lost: {exc or 'no close frame'}")
        self._sending.cut()
        self._receiving.cut()
        if self._close_timer:
            self._close_timer.cancel()
        self.gone.set_result(None)

    def _handle_events(self) -> None:
        for event in self._ws.events_received():
            if isinstance(event, Frame):
                self._take_frame(event)
            elif isinstance(event, Response):
                self._take_response(event)
        if self._ws.parser_exc is not None and not self.over.done():
            self._refuse(f"not the WebSocket protocol: {self._ws.parser_exc}")
        self._flush()
        if self._ws.close_expected() and self._close_timer is None:
            self._close_timer = self._loop.call_later(_CLOSE_S, self._transport.abort)

    def _take_response(self, response: Response) -> None:
        if self._ws.handshake_exc is not None:
            self.opened.set_exception(
                StreamRefused(31920, f"HTTP {response.status_code}: {self._ws.handshake_exc}")
            )
            self._transport.abort()
            return
        self._began_ns = self.stream.began_ns = time.monotonic_ns()
        self.opened.set_result(None)
        with self._changed:
            texts = self.stream.begin()
        for text in texts:
            self._send(text)
        self._frame_timer = self._at(self.stream.next_frame_ns, self._frames_due)

    def _take_frame(self, frame: Frame) -> None:
        data = bytes(frame.data)
        match frame.opcode:
            case Opcode.TEXT | Opcode.CONT:
                self._fragments.append(data)
                if frame.fin:
                    message = b"".join(self._fragments)
                    self._fragments.clear()
                    self._receiving.carry(lambda: self._receive(message))
            case Opcode.BINARY:
                self._refuse("a binary message")
            case Opcode.CLOSE:
                why = f"the server closed: {self._ws.close_rcvd or 1005}"
                self._receiving.carry(lambda: self._finish(31921, why))

    def _receive(self, message: bytes) -> None:
        if self.over.done():
            return
        with self._changed:
            now_ns = self.now_ns
            texts = self.stream.echoes(now_ns)
            texts += self.stream.receive(now_ns, message.decode(errors="replace"))
            self._changed.notify_all()
        for text in texts:
            self._send(text)
        self._await_mark()
        self._judge()

    def _refuse(self, what: str) -> None:
        with self._changed:
            self.stream.refuse(what)
            self._changed.notify_all()
        self._judge()

    def _judge(self) -> None:
        if self._tears_down and self.stream.violations and not self.over.done():
            self._finish(31924, self.stream.violations[-1])
            self._close()

    # Time

    def _at(self, when_ns: int, deed: Callable[[], None]) -> asyncio.TimerHandle:
        # The loop's clock is time.monotonic, in seconds.
        return self._loop.call_at((self._began_ns + when_ns) / 1e9, deed)

    def _frames_due(self) -> None:
        # Several at once after a delay: a frame left out would be audio lost.
        while self.stream.next_frame_ns <= self.now_ns and not self.over.done():
            with self._changed:
                late_ms = (self.now_ns - self.stream.next_frame_ns) / 1e6
                self.stream.late_ms = max(self.stream.late_ms, late_ms)
                texts, hangs_up = self.stream.frame()
                self._changed.notify_all()
            if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
                self.stream.dropped_frames += 1
            else:
                for text in texts:
                    self._send(text)
            if hangs_up:
                self._on_hang_up()
                return
        if not self.over.done():
            self._frame_timer = self._at(self.stream.next_frame_ns, self._frames_due)

    def _await_mark(self) -> None:
        if self._mark_timer:
            self._mark_timer.cancel()
            self._mark_timer = None
        due_ns = self.stream.playout.next_due_ns
        if due_ns is not None and not self.over.done():
            self._mark_timer = self._at(due_ns, self._marks_due)

    def _marks_due(self) -> None:
        with self._changed:
            texts = self.stream.echoes(self.now_ns)
            self._changed.notify_all()
        for text in texts:
            self._send(text)
        self._await_mark()

    # Out

    def _send(self, text: str) -> None:
        self._sending.carry(lambda: self._write(text))

    def _write(self, text: str) -> None:
        # A connection that is lost says so only after all frames that are due.
        if self._ws.state is State.OPEN and not self._transport.is_closing():
            self._ws.send_text(text.encode())
            self._flush()

    def _close(self) -> None:
        if self._ws.state is State.OPEN:
            self._ws.send_close(1000)
            self._flush()
        if self._close_timer is None:
            self._close_timer = self._loop.call_later(_CLOSE_S, self._transport.abort)

    def _flush(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()

    def _finish(self, code: int, why: str) -> None:
        for timer in (self._frame_timer, self._mark_timer):
            if timer:
                timer.cancel()
        if not self.over.done():
            with self._changed:
                if self.opened.done():
                    self.stream.advance(self.now_ns)
            self.over.set_result((code, why))


async def open_socket(url: str, make: Callable[[], PhoneSocket], routes: Mapping[str, str]) -> PhoneSocket:
    """Connect, upgrade, begin the stream.

    Args:
        routes: where a host and port are really reached, if elsewhere.

    Raises:
        StreamRefused: with Twilio's code: 31901 no answer in time, 31902 not reachable,
            31910 TLS failed, 31920 any answer but 101.
    """
    try:
        uri = parse_uri(url)
    except InvalidURI as error:
        raise StreamRefused(31920, str(error)) from error
    netloc = urlsplit(url).netloc
    there = urlsplit("//" + routes.get(netloc, netloc))
    tls = ssl.create_default_context() if uri.secure else None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_CONNECT_S):
            transport, socket = await loop.create_connection(
                make, there.hostname or uri.host, there.port or uri.port, ssl=tls
            )
            try:
                await socket.opened
            except BaseException:
                transport.abort()
                raise
    except TimeoutError as error:
        raise StreamRefused(31901, f"no answer within {_CONNECT_S} s") from error
    except ssl.SSLError as error:
        raise StreamRefused(31910, str(error)) from error
    except OSError as error:
        raise StreamRefused(31902, str(error)) from error
    return socket
