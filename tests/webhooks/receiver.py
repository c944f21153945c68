"""A receiver of webhooks on loopback: a real HTTP server that checks each by the reference library."""

from __future__ import annotations

import base64
import queue
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes!!!!").decode()


@dataclass(frozen=True)
class Received:
    """A webhook that was taken: its path, ID and content."""

    path: str
    id: str
    message: dict[str, Any]
    body: bytes


class Receiver:
    """Answers 200, or what stands first in ``answers``: a status, and headers."""

    def __init__(self) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self.answers: deque[tuple[int, dict[str, str]]] = deque()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.headers["content-type"] == "application/json"
                assert "authorization" not in self.headers
                message = Webhook(SECRET).verify(body, dict(self.headers.items()))
                receiver.received.put(Received(self.path, self.headers["webhook-id"], message, body))
                status, headers = receiver.answers.popleft() if receiver.answers else (200, {})
                self.send_response(status)
                for name, value in {"content-length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?from=callapp"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def get(self, timeout: float = 20.0) -> Received:
        return self.received.get(timeout=timeout)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
