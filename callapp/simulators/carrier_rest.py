"""The pretend Twilio's REST API: calls created, changed, fetched and listed over HTTP; the account."""

from __future__ import annotations

import base64
import json
import math
import re
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

from callapp.simulators.carrier_api import Form, Refusal, first_page, is_url, one
from callapp.simulators.carrier_recordings import Recordings
from callapp.simulators.machine_detection import PARAMETERS as OF_DETECTION
from callapp.simulators.machine_detection import read_detection
from callapp.simulators.phone_call import Call
from callapp.simulators.phone_record import Address, Document, Plan, Source, StatusCallback

if TYPE_CHECKING:
    from callapp.simulators.carrier import Carrier

Breakage = Literal["hang", "nonsense", "drop"]

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PARAMETERS = OF_DETECTION | {
    "From",
    "Method",
    "StatusCallback",
    "StatusCallbackEvent",
    "StatusCallbackMethod",
    "Timeout",
    "To",
    "Twiml",
    "Url",
}
_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})
_MAX_TWIML_CHARS = 4000
USD_PER_MINUTE = 0.014
_HANG_S = 60


@dataclass(frozen=True)
class RestRequest:
    """A request the API got.

    ``at_s`` is when it came, by ``time.monotonic()``; ``status`` is what it was answered, 0 for nothing.
    """

    at_s: float
    method: str
    path: str
    form: Form
    status: int


class RestApi:
    """The HTTP server, with a thread of its own and one for each request."""

    def __init__(self, carrier: Carrier, port: int) -> None:
        self.requests: list[RestRequest] = []
        self._carrier = carrier
        self._recordings = Recordings(carrier.account_sid)
        self._lock = Lock()
        self._mishaps: list[tuple[str, Refusal | Breakage | None]] = []  # each with the method it is for
        self._closing = Event()
        self._server = _Server(("127.0.0.1", port), self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(
            target=self._server.serve_forever, args=(0.02,), name="carrier-rest", daemon=True
        )
        self._thread.start()

    def fail_next(self, mishap: Refusal | Breakage, after: int = 0, method: str = "") -> None:
        """Let the next request fail that has no mishap waiting for it yet, after so many that do not.

        Requests of another method than the given one are neither struck nor counted.
        """
        with self._lock:
            self._mishaps.extend([(method, None)] * after)
            self._mishaps.append((method, mishap))

    def close(self) -> None:
        """Stop serving; a request that hangs is let go without an answer."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, target: str, authorization: str, form: Form) -> bytes | None:
        """Return a whole HTTP answer, None for closing the connection without one."""
        at_s, url = time.monotonic(), urlsplit(target)
        with self._lock:
            mishap = self._mishap_for(method)
        status, body = 0, b""
        match mishap:
            case "drop":
                pass
            case "hang":
                self._closing.wait(_HANG_S)
            case "nonsense":
                status, body = 200, b"<html>This is not the API you are looking for.</html>"
            case _:
                try:
                    if mishap is not None:
                        raise mishap
                    status, answer = self._route(method, url.path, parse_qs(url.query), authorization, form)
                except Refusal as refusal:
                    status, answer = refusal.status, refusal.body
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with self._lock:
            self.requests.append(RestRequest(at_s, method, url.path, form, status))
        return _http(status, body) if status else None

    def _mishap_for(self, method: str) -> Refusal | Breakage | None:
        for number, (only, mishap) in enumerate(self._mishaps):
            if only in ("", method):
                del self._mishaps[number]
                return mishap
        return None

    def _route(
        self, method: str, path: str, query: Form, authorization: str, form: Form
    ) -> tuple[int, dict[str, Any] | bytes]:
        given = f"{self._carrier.account_sid}:{self._carrier.auth_token}".encode()
        if authorization != "Basic " + base64.b64encode(given).decode():
            raise Refusal(401, 20003, "Authenticate")
        base = f"/2010-04-01/Accounts/{self._carrier.account_sid}/Calls"
        if path == f"{base}.json":
            if method == "POST":
                # It may be ringing by now; what a creation answers is always the same.
                as_created = {"status": "queued", "start_time": None}
                plan = _plan(form)
                if not self._carrier.account.may_call_from(plan.from_number):
                    raise Refusal(400, 21210, f"'From' phone number not verified: {plan.from_number}")
                return 201, self._resource(self._carrier.dial(plan)) | as_created
            return 200, self._list(path, query)
        answer = self._carrier.account.answer(method, path, query, form)
        if answer is not None:
            return answer
        recorded = self._recordings.answer(method, path)
        if recorded is not None:
            return recorded
        call = None
        if path.startswith(f"{base}/") and path.endswith(".json"):
            call_sid, *below = path.removeprefix(f"{base}/").removesuffix(".json").split("/")
            call = self._carrier.find_call(call_sid) if below in ([], ["Recordings"]) else None
        if call is None:
            raise Refusal(404, 20404, f"The requested resource {path} was not found")
        if method == "POST" and path.endswith("/Recordings.json"):
            return 201, self._recordings.start(call, form)
        if method == "POST":
            self._change(call, form)
        return 200, self._resource(call)

    def _change(self, call: Call, form: Form) -> None:
        status, source = one(form, "Status"), _source(form)
        if status not in ("", "completed", "canceled"):
            raise Refusal(400, 21218, f"Status {status!r} is not completed or canceled")
        with call.changed:
            waiting, live = call.status in ("queued", "ringing"), call.status == "in-progress"
        if not (waiting or live) or (source and not live):
            raise Refusal(400, 21220, "Call is not in-progress. Cannot redirect.")
        if status == "completed" or (status == "canceled" and waiting):
            self._carrier.end_call(call, status)
        elif source:
            self._carrier.redirect_call(call, source)

    def _list(self, path: str, query: Form) -> dict[str, Any]:
        calls = [
            resource
            for resource in map(self._resource, reversed(self._carrier.calls))  # the latest first
            if all(
                one(query, name) in ("", resource[field])
                for name, field in (("Status", "status"), ("To", "to"), ("From", "from"))
            )
        ]
        return first_page("calls", calls, path, query)

    def _resource(self, call: Call) -> dict[str, Any]:
        """Return a call as the API shows it."""
        with call.changed:
            plan, created = call.plan, format_datetime(call.created)
            uri = f"/2010-04-01/Accounts/{self._carrier.account_sid}/Calls/{call.sid}"
            return {
                "sid": call.sid,
                "account_sid": self._carrier.account_sid,
                "answered_by": call.answered_by,
                "api_version": "2010-04-01",
                "caller_name": None,
                "date_created": created,
                "date_updated": created,
                "direction": plan.direction,
                "duration": str(round(call.duration_s)) if call.ended else None,
                "end_time": format_datetime(call.ended_at) if call.ended_at else None,
                "forwarded_from": None,
                "from": plan.from_number,
                "from_formatted": plan.from_number,
                "group_sid": None,
                "parent_call_sid": plan.parent_sid or None,
                "phone_number_sid": None,
                "price": _price(call, self._carrier.price_after_s),
                "price_unit": "USD",
                "queue_time": "0",
                "start_time": format_datetime(call.answered_at) if call.answered_at else None,
                "status": call.status,
                "subresource_uris": {"recordings": f"{uri}/Recordings.json"},
                "to": plan.to_number,
                "to_formatted": plan.to_number,
                "trunk_sid": None,
                "uri": f"{uri}.json",
            }


def _price(call: Call, after_s: float) -> str | None:
    """What the call cost, by the started minute: negative, as all that is charged, and not known at first."""
    if call.ended_at is None or (datetime.now(UTC) - call.ended_at).total_seconds() < after_s:
        return None
    return f"{-USD_PER_MINUTE * math.ceil(call.duration_s / 60):.5f}"


def _plan(form: Form) -> Plan:
    """Return the call that is asked for.

    Raises:
        Refusal: as Twilio would, the first fault only.
    """
    to, from_ = one(form, "To"), one(form, "From")
    if unknown := set(form) - _PARAMETERS:
        # Twilio ignores them: whoever sends one here expects something that would not happen.
        raise Refusal(400, 20001, f"The parameters {sorted(unknown)} are not known here")
    if not to:
        raise Refusal(400, 21201, "No 'To' number is specified")
    if not from_:
        raise Refusal(400, 21213, "No 'From' number is specified")
    if not _E164.fullmatch(to):
        raise Refusal(400, 21211, f"Invalid 'To' Phone Number: {to}")
    if not _E164.fullmatch(from_):
        raise Refusal(400, 21212, f"Invalid 'From' Phone Number: {from_}")
    source = _source(form)
    if source is None:
        raise Refusal(400, 21205, "Url parameter is required.")
    callback = one(form, "StatusCallback")
    # Each is a parameter of its own; one with spaces in it is taken apart.
    events = {event for given in form.get("StatusCallbackEvent", []) for event in given.split()}
    if callback and not is_url(callback):
        raise Refusal(400, 21609, f"Invalid 'StatusCallback' URL: {callback}")
    if strange := events - _EVENTS:
        raise Refusal(400, 21626, f"Invalid 'StatusCallbackEvent': {sorted(strange)}")
    ring_s = one(form, "Timeout") or "60"
    if not ring_s.isdigit() or not 1 <= int(ring_s) <= 600:
        raise Refusal(400, 21208, f"Invalid Timeout: {ring_s}")
    return Plan(
        direction="outbound-api",
        from_number=from_,
        to_number=to,
        source=source,
        status_callback=StatusCallback(
            callback,
            _method(form, "StatusCallbackMethod"),
            frozenset(events or {"completed"}),
        )
        if callback
        else None,
        ring_timeout_s=int(ring_s),
        detection=read_detection(form),
    )


def _source(form: Form) -> Source | None:
    """Return where the TwiML is to come from; ``Twiml`` is ignored beside a ``Url``."""
    if url := one(form, "Url"):
        if not is_url(url):
            raise Refusal(400, 21205, f"Url is not a valid URL: {url}")
        return Address(url, _method(form, "Method"))
    text = one(form, "Twiml")
    if len(text) > _MAX_TWIML_CHARS:
        raise Refusal(400, 21624, "Twiml is longer than 4000 characters")
    return Document(text) if text else None


def _method(form: Form, name: str) -> str:
    method = one(form, name) or "POST"
    if method not in ("GET", "POST"):
        raise Refusal(400, 21209, f"{name} {method!r} is neither GET nor POST")
    return method


_REASONS = {200: "OK", 201: "CREATED", 204: "NO CONTENT", 401: "UNAUTHORIZED", 404: "NOT FOUND"}


def _http(status: int, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'BAD REQUEST')}\r\n"
        "Content-Type: application/json;charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


class _Server(ThreadingHTTPServer):
    # Requests end with their connection, so that close() can wait for the last of them.
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: RestApi) -> None:
        super().__init__(address, _Handler)
        self.api = api

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away in the middle is nothing to print a traceback for.
        pass


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        self._serve({})

    def do_DELETE(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode(errors="replace")
        self._serve(parse_qs(body, keep_blank_values=True))

    def _serve(self, form: Form) -> None:
        authorization = self.headers.get("Authorization", "")
        answer = self.server.api.answer(self.command, self.path, authorization, form)
        self.close_connection = True
        if answer is None:
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass
