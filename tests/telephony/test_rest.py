"""Twilio's REST API as its client really uses it: over HTTP, to a server on loopback."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from callapp.conversation.events import Answered
from callapp.errors import CarrierRefused, CarrierTimeout, CarrierUnreachable, ConfigError
from callapp.settings import Settings
from callapp.telephony import rest, twiml
from callapp.telephony.answering import Detection, read_answered_by
from callapp.telephony.rest import CallState, Carrier, Placed

ACCOUNT = "AC" + "0" * 32
TOKEN = "a-secret-token"
CALL_SID = "CA" + "1" * 32
CALLS = f"/2010-04-01/Accounts/{ACCOUNT}/Calls"
INVALID_TO = {
    "code": 21211,
    "message": "The phone number you are attempting to call, +8190, is not valid.",
    "more_info": "https://www.twilio.com/docs/errors/21211",
    "status": 400,
}
ENDED = {
    "code": 21220,
    "message": "Unable to update record. Call is not in-progress. Cannot redirect.",
    "more_info": "https://www.twilio.com/docs/errors/21220",
    "status": 400,
}
NOT_FOUND = {
    "code": 20404,
    "message": f"The requested resource {CALLS}/{CALL_SID}.json was not found",
    "more_info": "https://www.twilio.com/docs/errors/20404",
    "status": 404,
}


@dataclass
class Twilio:
    """Answers every request with the same answer, and remembers the requests."""

    url: str = ""
    status: int = 201
    body: str = json.dumps({"sid": CALL_SID, "status": "queued", "date_created": None})
    promised_bytes: int = 0  # of the body, beyond those that come
    requests: list[tuple[str, str, dict[str, list[str]], str | None]] = field(default_factory=list)
    answer: threading.Event = field(default_factory=threading.Event)

    def answers(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body if isinstance(body, str) else json.dumps(body)


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    twilio = Twilio()
    twilio.answer.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"] or 0)).decode())
            twilio.requests.append((self.command, self.path, form, self.headers["Authorization"]))
            twilio.answer.wait(10)
            payload = twilio.body.encode()
            self.send_response(twilio.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload) + twilio.promised_bytes))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    twilio.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield twilio
    twilio.answer.set()
    server.shutdown()
    thread.join(5)
    server.server_close()


def settings(url: str, **changes: Any) -> Settings:
    return Settings(
        **{"twilio_account_sid": ACCOUNT, "twilio_auth_token": TOKEN, "twilio_api_url": url, **changes}
    )


@pytest.fixture
def carrier(twilio: Twilio) -> Iterator[Carrier]:
    with closing(Carrier(settings(twilio.url))) as carrier:
        yield carrier


def place(carrier: Carrier) -> Placed:
    return carrier.place_call(
        to="+819012345678",
        from_="+14155550100",
        url="https://voice.example.com/incoming-call?agent=operator&placed=1",
        status_callback="https://voice.example.com/call-status?placed=1",
    )


def test_a_dial_goes_out_as_documented(carrier: Carrier, twilio: Twilio) -> None:
    assert place(carrier) == Placed(CALL_SID, "queued")
    [(method, path, form, authorization)] = twilio.requests
    assert (method, path) == ("POST", f"{CALLS}.json")
    assert form == {
        "To": ["+819012345678"],
        "From": ["+14155550100"],
        "Url": ["https://voice.example.com/incoming-call?agent=operator&placed=1"],
        "Method": ["POST"],
        "StatusCallback": ["https://voice.example.com/call-status?placed=1"],
        "StatusCallbackMethod": ["POST"],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
    }
    assert authorization == "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()


def test_a_dial_that_listens_for_a_machine_does_not_wait_for_it(carrier: Carrier, twilio: Twilio) -> None:
    """Without ``AsyncAmd`` the phone would be silent for seconds after somebody has picked up."""
    carrier.place_call(
        to="+819012345678",
        from_="+14155550100",
        url="https://voice.example.com/incoming-call",
        status_callback="https://voice.example.com/call-status",
        detection=Detection("https://voice.example.com/answered-by?placed=1", 20),
    )
    [(_, _, form, _)] = twilio.requests
    assert {name: values for name, values in form.items() if "Machine" in name or "Amd" in name} == {
        "MachineDetection": ["DetectMessageEnd"],
        "MachineDetectionTimeout": ["20"],
        "AsyncAmd": ["true"],
        "AsyncAmdStatusCallback": ["https://voice.example.com/answered-by?placed=1"],
        "AsyncAmdStatusCallbackMethod": ["POST"],
    }


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("human", Answered(machine=False)),
        ("unknown", Answered(machine=False)),
        ("something new", Answered(machine=False)),
        ("machine_start", Answered(machine=True)),
        ("fax", Answered(machine=True, recording=True)),
        ("machine_end_beep", Answered(machine=True, recording=True)),
        ("machine_end_silence", Answered(machine=True, recording=True)),
        ("machine_end_other", Answered(machine=True, recording=True)),
    ],
)
def test_what_twilio_has_heard(word: str, meaning: Answered) -> None:
    assert read_answered_by(word) == meaning


def test_region_edge_and_proxy_of_the_environment_do_not_move_a_simulator(
    twilio: Twilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_EDGE", "tokyo")
    monkeypatch.setenv("TWILIO_REGION", "jp1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with closing(Carrier(settings(twilio.url))) as carrier:
        assert place(carrier).sid == CALL_SID


def test_a_refusal_carries_twilios_own_words(carrier: Carrier, twilio: Twilio) -> None:
    twilio.answers(400, INVALID_TO)
    with pytest.raises(CarrierRefused) as raised:
        place(carrier)
    error = raised.value
    assert (error.status, error.code, error.message, error.more_info) == (
        400,
        21211,
        INVALID_TO["message"],
        INVALID_TO["more_info"],
    )


def test_a_refusal_in_twilios_newer_form_is_understood(carrier: Carrier, twilio: Twilio) -> None:
    twilio.answers(
        429,
        {
            "type": "https://www.twilio.com/docs/api/errors/20429",
            "title": "Too Many Requests",
            "status": 429,
            "code": 20429,
            "detail": "Slow down",
        },
    )
    with pytest.raises(CarrierRefused) as raised:
        place(carrier)
    assert (raised.value.code, raised.value.message) == (20429, "Slow down")
    assert raised.value.more_info == "https://www.twilio.com/docs/api/errors/20429"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, "<html>Welcome</html>"),
        (201, ""),
        (201, "[]"),
        (201, "null"),
        (201, '"CA1"'),
        (201, "{}"),
        (201, '{"sid": null, "status": "queued"}'),
        (201, '{"sid": 5, "status": "queued"}'),
        (201, '{"sid": "", "status": "queued"}'),
        (200, '{"sid": "CA1"}'),
        (302, ""),
        (500, "<html>Internal error</html>"),
        (503, ""),
        (400, "[]"),
        (400, "{}"),
    ],
)
def test_nonsense_is_as_good_as_not_there(carrier: Carrier, twilio: Twilio, status: int, body: str) -> None:
    twilio.answers(status, body)
    with pytest.raises(CarrierUnreachable):
        place(carrier)


@pytest.mark.parametrize(
    "body", ["<html>Welcome</html>", "[]", "null", "{}", '{"sid": "AC1", "status": "active"}']
)
def test_what_is_no_list_of_numbers_is_nonsense_too(carrier: Carrier, twilio: Twilio, body: str) -> None:
    twilio.answers(200, body)
    with pytest.raises(CarrierUnreachable):
        carrier.own_number("+14155550100")


def test_a_server_that_is_not_there(twilio: Twilio) -> None:
    with closing(Carrier(settings("http://127.0.0.1:9"))) as carrier, pytest.raises(CarrierUnreachable):
        place(carrier)


def test_a_server_that_does_not_answer_in_time(twilio: Twilio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "TIMEOUT_S", 0.2)
    twilio.answer.clear()
    with closing(Carrier(settings(twilio.url))) as carrier, pytest.raises(CarrierTimeout):
        place(carrier)
    assert len(twilio.requests) == 1, "a dial is never sent twice"


def test_an_answer_that_stalls_half_way(twilio: Twilio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "TIMEOUT_S", 0.2)
    twilio.promised_bytes = 10
    with closing(Carrier(settings(twilio.url))) as carrier, pytest.raises(CarrierTimeout):
        place(carrier)


def test_a_recording_that_stalls_half_way(twilio: Twilio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants to hear it is not told that Twilio is not there: 504, and not 502."""
    monkeypatch.setattr(rest, "TIMEOUT_S", 0.2)
    twilio.promised_bytes = 10
    with (
        closing(Carrier(settings(twilio.url))) as carrier,
        pytest.raises(CarrierTimeout, match="did not finish"),
    ):
        carrier.fetch_recording("RE1")


@pytest.mark.parametrize(
    ("status", "duration", "duration_s"),
    [("in-progress", None, None), ("completed", "41", 41), ("completed", 41, 41), ("completed", "x", None)],
)
def test_a_call_tells_how_it_stands(
    carrier: Carrier, twilio: Twilio, status: str, duration: Any, duration_s: int | None
) -> None:
    twilio.answers(200, {"sid": CALL_SID, "status": status, "duration": duration})
    assert carrier.call_state(CALL_SID) == CallState(status, duration_s)
    assert twilio.requests[0][:2] == ("GET", f"{CALLS}/{CALL_SID}.json")


def test_a_call_that_twilio_does_not_know_has_no_state(carrier: Carrier, twilio: Twilio) -> None:
    twilio.answers(404, NOT_FOUND)
    with pytest.raises(CarrierRefused) as raised:
        carrier.call_state(CALL_SID)
    assert raised.value.status == 404


def test_hanging_up_completes_the_call(carrier: Carrier, twilio: Twilio) -> None:
    twilio.answers(200, {"sid": CALL_SID, "status": "completed"})
    carrier.complete_call(CALL_SID)
    [(method, path, form, _)] = twilio.requests
    assert (method, path, form) == ("POST", f"{CALLS}/{CALL_SID}.json", {"Status": ["completed"]})


def test_a_call_that_only_rings_is_called_off_by_a_word_that_cuts_nobody(
    carrier: Carrier, twilio: Twilio
) -> None:
    """It may have been picked up in the same moment."""
    twilio.answers(200, {"sid": CALL_SID, "status": "canceled"})
    carrier.cancel_call(CALL_SID)
    [(method, path, form, _)] = twilio.requests
    assert (method, path, form) == ("POST", f"{CALLS}/{CALL_SID}.json", {"Status": ["canceled"]})


@pytest.mark.parametrize(("status", "body"), [(400, ENDED), (404, NOT_FOUND)])
def test_hanging_up_a_call_that_has_ended_is_done(
    carrier: Carrier, twilio: Twilio, status: int, body: dict[str, Any]
) -> None:
    twilio.answers(status, body)
    carrier.complete_call(CALL_SID)
    carrier.cancel_call(CALL_SID)
    carrier.apologise(CALL_SID, "en-US")


def test_another_refusal_to_hang_up_is_told(carrier: Carrier, twilio: Twilio) -> None:
    twilio.answers(401, {"code": 20003, "message": "Authenticate", "more_info": "https://…", "status": 401})
    with pytest.raises(CarrierRefused, match="Authenticate"):
        carrier.complete_call(CALL_SID)


def test_an_apology_replaces_what_the_call_does(carrier: Carrier, twilio: Twilio) -> None:
    twilio.answers(200, {"sid": CALL_SID, "status": "in-progress"})
    carrier.apologise(CALL_SID, "ja-JP")
    [(_, path, form, _)] = twilio.requests
    assert path == f"{CALLS}/{CALL_SID}.json"
    [document] = form["Twiml"]
    assert document == twiml.apology("ja-JP")


def test_an_apology_may_transfer_the_call(carrier: Carrier, twilio: Twilio) -> None:
    twilio.answers(200, {"sid": CALL_SID, "status": "in-progress"})
    fallback = twiml.Fallback("+815012345678", "https://h/transfer/fallback")
    carrier.apologise(CALL_SID, "ja-JP", fallback)
    assert twilio.requests[0][2]["Twiml"] == [twiml.apology("ja-JP", fallback)]


def test_credentials_are_demanded_when_they_are_needed(twilio: Twilio) -> None:
    with closing(Carrier(settings(twilio.url, twilio_auth_token=None, twilio_account_sid=None))) as carrier:
        with pytest.raises(ConfigError) as raised:
            place(carrier)
        assert [fault.split()[0] for fault in raised.value.faults] == [
            "TWILIO_ACCOUNT_SID",
            "TWILIO_AUTH_TOKEN",
        ]
    assert twilio.requests == []


def test_many_threads_share_it(carrier: Carrier, twilio: Twilio) -> None:
    threads = [threading.Thread(target=place, args=(carrier,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(twilio.requests) == 20


def test_importing_it_does_not_import_twilios_client() -> None:
    program = "import sys; import callapp.telephony.rest; print('twilio.rest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.strip() == "False", done.stderr
