"""A small application for a pretend phone to call. It shares nothing with callapp."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Lock, Thread
from typing import Any, Self

from flask import Flask, Response, abort, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from werkzeug.serving import WSGIRequestHandler, make_server

from callapp.simulators.phone import Carrier

SILENT_CALL = '<Response><Connect><Stream url="{ws}"/></Connect></Response>'


class Hangup(Exception):
    """The phone has closed the stream."""


class Wire:
    """The application's end of one stream."""

    def __init__(self, ws: Server) -> None:
        self.ws = ws
        self.lock = Lock()
        self.seen: list[dict[str, Any]] = []
        self.stream_sid = ""

    def read(self) -> dict[str, Any]:
        """Return the next message; raises Hangup after the last."""
        try:
            text = self.ws.receive(timeout=10)
        except ConnectionClosed as closed:
            raise Hangup from closed
        assert isinstance(text, str)
        message: dict[str, Any] = json.loads(text)
        self.seen.append(message)
        if message["event"] == "start":
            self.stream_sid = message["streamSid"]
        return message

    def read_until(self, event: str) -> dict[str, Any]:
        """Return the next message of that event."""
        while (message := self.read())["event"] != event:
            pass
        return message

    def drain(self) -> None:
        """Read to the end."""
        try:
            while True:
                self.read()
        except Hangup:
            pass

    def write(self, event: str, **body: object) -> None:
        with self.lock:
            self.ws.send(json.dumps({"event": event, "streamSid": self.stream_sid, **body}))

    def play(self, audio: bytes) -> None:
        self.write("media", media={"payload": base64.b64encode(audio).decode()})

    def mark(self, name: str) -> None:
        self.write("mark", mark={"name": name})

    def clear(self) -> None:
        self.write("clear")

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.seen if message["event"] == event]

    @property
    def audio(self) -> bytes:
        return b"".join(base64.b64decode(message["media"]["payload"]) for message in self.of("media"))


@dataclass
class Hook:
    """A webhook that came, and whether Twilio's own validator takes it for theirs."""

    method: str
    path: str
    fields: dict[str, str]
    valid: bool


class App:
    """A server on loopback; ``on_stream`` is what it does with each stream."""

    def __init__(self, carrier: Carrier, on_stream: Callable[[Wire], None] = Wire.drain) -> None:
        self.carrier = carrier
        self.on_stream = on_stream
        self.twiml = SILENT_CALL
        self.documents: dict[str, str] = {}
        """TwiML for paths of their own."""
        self.hooks: list[Hook] = []
        self.wires: list[Wire] = []
        self.changed = Condition()
        flask = Flask("phone_app")
        flask.add_url_rule("/<path:path>", view_func=self.hook, methods=["GET", "POST"])
        Sock(flask).route("/ws")(self.stream)
        self.server = make_server("127.0.0.1", 0, flask, threaded=True, request_handler=Quiet)
        self.server.daemon_threads = False  # server_close then waits for every stream
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.ws_url = f"ws://127.0.0.1:{self.server.port}/ws"
        self.thread = Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.carrier.close()  # its streams end, so that our threads can
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def client(self) -> Client:
        """Twilio's own client, pointed at the pretend one."""
        client = Client(self.carrier.account_sid, self.carrier.auth_token)
        client.api.base_url = self.carrier.url
        return client

    def dial(self, **options: Any) -> Any:
        options = {"to": "+819012345678", "from_": "+15005550006", "url": f"{self.url}/voice"} | options
        return self.client().calls.create(**options)

    def hook(self, path: str) -> Response:
        validator = RequestValidator(self.carrier.auth_token)
        signature = request.headers.get("X-Twilio-Signature", "")
        valid = validator.validate(request.url, request.form, signature)
        fields = request.values.to_dict()
        with self.changed:
            self.hooks.append(Hook(request.method, f"/{path}", fields, valid))
            self.changed.notify_all()
        if path == "broken":
            abort(500)
        if path == "status":
            return Response(status=204)
        document = self.documents.get(f"/{path}", self.twiml)
        document = document.replace("{ws}", self.ws_url).replace("{url}", self.url)
        return Response(document, content_type="text/xml")

    def stream(self, ws: Server) -> None:
        validator = RequestValidator(self.carrier.auth_token)
        assert validator.validate(self.ws_url, {}, request.headers["X-Twilio-Signature"])
        wire = Wire(ws)
        with self.changed:
            self.wires.append(wire)
            self.changed.notify_all()
        assert wire.read()["event"] == "connected"
        assert wire.read()["event"] == "start"
        with contextlib.suppress(Hangup):
            self.on_stream(wire)
        # Werkzeug would go on reading until the phone gives up, and write an HTTP answer before.
        with contextlib.suppress(ConnectionClosed):
            ws.close()
        ws.sock.shutdown(socket.SHUT_RDWR)

    def fields_of(self, path: str) -> list[dict[str, str]]:
        """What the hooks of a path were told."""
        return [hook.fields for hook in self.hooks if hook.path == path]

    def statuses(self) -> list[str]:
        return [hook.fields["CallStatus"] for hook in self.hooks if hook.path == "/status"]

    def wait_for_wire(self, timeout: float = 5) -> Wire:
        with self.changed:
            assert self.changed.wait_for(lambda: self.wires, timeout)
            return self.wires[-1]


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"  # else the connection is kept for another request after a stream

    def log(self, *args: Any) -> None:
        pass
