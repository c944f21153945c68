"""Opening a WebSocket towards the model, in a way that another thread can break off.

websocket-client does the upgrade; the TCP connection and TLS are made here, because a dial under way
has to end with its call, and the library's socket cannot be got at before it is done.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from threading import Lock
from time import monotonic
from urllib.parse import urlencode, urlsplit

import websocket

from callapp.errors import LegLost
from callapp.websocket.connection import NO_CLOSE_FRAME, Connection

# At the start of a call nobody waits for a socket longer than that: the caller sits in silence.
DIAL_S = 3.0
# A service that has been quiet for so long is asked for a sign of life; if it gives none for as long
# again, it is lost, however open its socket is: the caller would sit in silence for ever.
QUIET_S = 1.75
WRITE_S = 5.0
MOST_MESSAGE_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Endpoint:
    """Where the model is, and as whom we come.

    Args:
        url: ``wss://…/v1/realtime``, without the model.
        model: its name, for the query.
        api_key: sent as a bearer token; never logged.
    """

    url: str
    model: str
    api_key: str

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r}, model={self.model!r})"


class Dialling:
    """One attempt. ``open`` is one thread's, ``break_off`` anybody's."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket: socket.socket | None = None
        self._broken_off = False

    def connect(
        self, endpoint: Endpoint, path: str = "", query: Mapping[str, str] | None = None
    ) -> Connection:
        """Open a session's connection. As ``open``, within `DIAL_S`.

        Args:
            path: of this kind of session, below the endpoint.
            query: the model, if not given.
        """
        if not endpoint.api_key:
            raise LegLost("model", 3000, "invalid_api_key: OPENAI_API_KEY is not set")
        url = f"{endpoint.url}{path}?{urlencode(query or {'model': endpoint.model})}"
        return Connection(
            self.open(url, [f"Authorization: Bearer {endpoint.api_key}"], DIAL_S),
            client=True,
            name="model",
            max_message_bytes=MOST_MESSAGE_BYTES,
            quiet_s=QUIET_S,
            asking=True,
            write_s=WRITE_S,
        )

    def open(self, url: str, headers: Sequence[str], within_s: float) -> socket.socket:
        """Return the upgraded socket.

        Args:
            headers: lines of the upgrade request; may hold a key, so no redirect is followed.
            within_s: for each of connecting, TLS and upgrade what is left of it; looking up the
                name has the system's own time, and comes before it.

        Raises:
            LegLost: nobody there, or they do not want us, or it was broken off.
        """
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "wss"
        port = parts.port or (443 if secure else 80)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            deadline = monotonic() + within_s
            sock = _connect([(str(address[0]), port) for *_, address in found], deadline)
            self._hold(sock)
            if secure:
                sock = _tls_context().wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
                self._hold(sock)
                sock.settimeout(max(0.01, deadline - monotonic()))
                sock.do_handshake()
            sock.settimeout(max(0.01, deadline - monotonic()))
            websocket.create_connection(
                url, socket=sock, header=list(headers), suppress_origin=True, redirect_limit=0
            ).sock = None  # its work is done: the socket is ours again
            return sock
        except (websocket.WebSocketException, OSError) as error:
            self.break_off()
            with self._lock:
                if self._socket is not None:
                    self._socket.close()
            raise LegLost("model", NO_CLOSE_FRAME, _words_of(error)) from error

    def break_off(self) -> None:
        """Have an attempt under way fail now, and one that is yet to come."""
        with self._lock:
            self._broken_off = True
            if self._socket is not None:
                with suppress(OSError):
                    # As `TlsSocket.shutdown`: SSLSocket's own drops the TLS state under the feet of ``open``.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _hold(self, sock: socket.socket) -> None:
        """Let ``break_off`` get at the socket."""
        with self._lock:
            self._socket = sock
            if self._broken_off:
                raise ConnectionAbortedError("broken off")


def _words_of(error: Exception) -> str:
    """Why there is no socket, for the log."""
    if not isinstance(error, websocket.WebSocketBadStatusException):
        return str(error).partition("\n")[0]
    # The library's own words hold the headers and the body of the answer, which may repeat the key.
    # OpenAI says that a key is wrong once the socket is open (observed 2026-11), other endpoints before.
    return f"HTTP {error.status_code}" + (", invalid_api_key" if error.status_code == 401 else "")


def _connect(addresses: Sequence[tuple[str, int]], deadline: float) -> socket.socket:
    """Connect to the first that answers.

    Each has its share of the time. One that swallows everything, as IPv6 does where it leads nowhere, would
    leave none for the next.
    """
    for left, address in zip(range(len(addresses), 1, -1), addresses, strict=False):
        with suppress(OSError):
            return socket.create_connection(address, max(0.01, deadline - monotonic()) / left)
    return socket.create_connection(addresses[-1], max(0.01, deadline - monotonic()))


@cache
def _tls_context() -> ssl.SSLContext:
    # Loading the certificates takes 10 ms and some memory: once for all calls.
    return ssl.create_default_context()
