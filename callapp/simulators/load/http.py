"""The little HTTP a load needs: a signed request to the server, and the upgrade to a WebSocket."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from callapp.simulators.load.loop import Loop
from callapp.simulators.load.wire import Peer
from callapp.simulators.webhooks import signature

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def content_length(head: bytes) -> int:
    """Read ``Content-Length``; 0 if there is none."""
    return int(header(head, b"content-length") or 0)


def header(head: bytes, wanted: bytes) -> bytes:
    """Return a header's value; nothing if there is none."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == wanted:
            return value.strip()
    return b""


class Webhook:
    """One signed POST on a connection of its own.

    Args:
        done: called once, with the status and the body; with 0 when there was no answer.
    """

    def __init__(
        self,
        loop: Loop,
        auth_token: str,
        url: str,
        fields: Mapping[str, str],
        done: Callable[[int, bytes], None],
    ) -> None:
        self._done = done
        self._answer = b""
        self._peer = Peer.dial(loop, url, self._received, self._lost)
        parts = urlsplit(url)
        body = urlencode(fields).encode()
        self._peer.send(
            f"POST {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1\r\n"
            f"Host: {parts.netloc}\r\nConnection: close\r\nUser-Agent: TwilioProxy/1.1\r\n"
            f"X-Twilio-Signature: {signature(auth_token, url, fields)}\r\n"
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    def _received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if end and len(body) >= content_length(head):
            self._peer.close()
            self._done(int(head[9:12]), body)

    def _lost(self) -> None:
        self._done(0, b"")


def upgrade_request(url: str, auth_token: str) -> bytes:
    """Ask for a WebSocket as Twilio does."""
    parts = urlsplit(url)
    return (
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n"
        f"X-Twilio-Signature: {signature(auth_token, url, {})}\r\n\r\n"
    ).encode()


def upgrade_answer(request_head: bytes) -> bytes:
    """Agree to a WebSocket."""
    key = header(request_head, b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324  what the protocol wants
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
