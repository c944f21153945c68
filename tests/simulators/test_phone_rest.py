"""The REST API, asked by Twilio's own client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from callapp.simulators.phone import Callee, Carrier, OwnNumber

HANGUP = "<Response><Hangup/></Response>"
WAITING = '<Response><Pause length="30"/></Response>'
NUMBERS = {"to": "+819012345678", "from_": "+15005550006"}


@pytest.fixture
def client(carrier: Carrier) -> Client:
    return client_of(carrier, carrier.auth_token)


def client_of(carrier: Carrier, auth_token: str) -> Client:
    http = TwilioHttpClient(timeout=0.5, pool_connections=False)
    client = Client(carrier.account_sid, auth_token, http_client=http)
    client.api.base_url = carrier.url
    return client


@contextmanager
def refused(code: int, status: int = 400) -> Iterator[None]:
    with pytest.raises(TwilioRestException) as caught:
        yield
    assert (caught.value.status, caught.value.code) == (status, code)


def test_a_call_is_created_fetched_listed_and_ended(carrier: Carrier, client: Client) -> None:
    created = client.calls.create(**NUMBERS, twiml=WAITING)
    assert (created.status, created.direction) == ("queued", "outbound-api")
    assert len(created.sid) == 34
    assert created.date_created is not None
    call = carrier.wait_for_call(5)
    assert call.sid == created.sid
    call.wait_for(lambda: call.status == "in-progress", 5)
    assert client.calls(call.sid).fetch().status == "in-progress"
    assert [listed.sid for listed in client.calls.list(status="in-progress")] == [call.sid]
    assert client.calls.list(to="+15005550001") == []
    client.calls(call.sid).update(status="completed")
    call.wait_ended(5)
    fetched = client.calls(call.sid).fetch()
    assert (fetched.status, fetched.duration) == ("completed", "0")
    assert fetched.end_time >= fetched.start_time
    assert [(request.method, request.status) for request in carrier.requests] == [
        ("POST", 201),
        ("GET", 200),
        ("GET", 200),
        ("GET", 200),
        ("POST", 200),
        ("GET", 200),
    ]
    assert carrier.requests[0].form["Twiml"] == [WAITING]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to": ""}, 21201),
        ({"from_": ""}, 21213),
        ({"to": "09012345678"}, 21211),
        ({"to": "+0"}, 21211),
        ({"from_": "callapp"}, 21212),
        ({"url": "/voice"}, 21205),
        ({"url": "ftp://host/voice"}, 21205),
        ({"twiml": ""}, 21205),
        ({"method": "PUT", "url": "http://host/"}, 21209),
        ({"timeout": 601}, 21208),
        ({"status_callback": "host/status"}, 21609),
        ({"status_callback": "http://host/", "status_callback_event": ["begun"]}, 21626),
        ({"twiml": f"<Response>{' ' * 4000}</Response>"}, 21624),
    ],
)
def test_a_wrong_request_is_refused_in_twilios_words(
    carrier: Carrier, client: Client, fields: dict[str, str], code: int
) -> None:
    with refused(code):
        client.calls.create(**{**NUMBERS, "twiml": HANGUP} | fields)
    assert not carrier.calls


def test_an_error_body_has_the_four_fields(carrier: Carrier) -> None:
    url = f"{carrier.url}/2010-04-01/Accounts/{carrier.account_sid}/Calls.json"
    auth = (carrier.account_sid, carrier.auth_token)
    answer = requests.post(url, auth=auth, data={"To": "1", "From": "+15005550006"}, timeout=5)
    assert answer.status_code == 400
    assert answer.json() == {
        "code": 21211,
        "message": "Invalid 'To' Phone Number: 1",
        "more_info": "https://www.twilio.com/docs/errors/21211",
        "status": 400,
    }


def test_a_wrong_token_is_refused(carrier: Carrier) -> None:
    with refused(20003, 401):
        client_of(carrier, "wrong").calls.create(**NUMBERS, twiml=HANGUP)


def test_an_unknown_call_is_not_found(client: Client) -> None:
    for ask in (client.calls("CA" + "0" * 32).fetch, lambda: client.calls("CA1").update(status="completed")):
        with refused(20404, 404):
            ask()


def test_a_call_that_has_ended_cannot_be_changed(carrier: Carrier, client: Client) -> None:
    client.calls.create(**NUMBERS, twiml=HANGUP)
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    for change in ({"status": "completed"}, {"twiml": HANGUP}):
        with refused(21220):
            client.calls(call.sid).update(**change)


def test_a_ringing_call_can_be_ended_but_not_redirected(carrier: Carrier, client: Client) -> None:
    carrier.next_callee(Callee(rings_ms=20_000))
    client.calls.create(**NUMBERS, twiml=WAITING)
    call = carrier.wait_for_call(5)
    call.wait_for(lambda: call.status == "ringing", 5)
    with refused(21220):
        client.calls(call.sid).update(twiml=HANGUP)
    client.calls(call.sid).update(status="canceled")
    call.wait_ended(5)
    assert call.status == "canceled"
    assert not call.answered


def test_a_live_call_is_redirected(carrier: Carrier, client: Client) -> None:
    client.calls.create(**NUMBERS, twiml=WAITING)
    call = carrier.wait_for_call(5)
    call.wait_for(lambda: call.answered, 5)
    client.calls(call.sid).update(twiml="<Response><Say>Goodbye.</Say></Response>")
    call.wait_ended(5)
    assert [said.text for said in call.said] == ["Goodbye."]
    assert call.status == "completed"


def test_the_next_request_fails_on_demand_and_only_that(carrier: Carrier, client: Client) -> None:
    carrier.fail_next(21215, message="Account not authorized to call +81")
    carrier.fail_next(20429, status=429)
    for status, code in ((400, 21215), (429, 20429)):
        with refused(code, status):
            client.calls.create(**NUMBERS, twiml=HANGUP)
    assert not carrier.calls
    assert client.calls.create(**NUMBERS, twiml=HANGUP).status == "queued"


def test_a_mishap_may_be_for_one_method_only(carrier: Carrier, client: Client) -> None:
    """A server asks for prices whenever it likes; a test that means the dial must not strike that."""
    carrier.fail_next(21215, method="POST")
    assert client.calls.list() == []
    with pytest.raises(TwilioRestException):
        client.calls.create(**NUMBERS, twiml=HANGUP)


def test_a_request_hangs_is_dropped_or_answered_with_nonsense_on_demand(
    carrier: Carrier, client: Client
) -> None:
    carrier.break_next("hang")
    with pytest.raises(requests.exceptions.ReadTimeout):
        client.calls.create(**NUMBERS, twiml=HANGUP)
    carrier.break_next("drop")
    with pytest.raises(requests.exceptions.ConnectionError):
        client.calls.create(**NUMBERS, twiml=HANGUP)
    carrier.break_next("nonsense")
    with pytest.raises(ValueError):
        client.calls.create(**NUMBERS, twiml=HANGUP)
    assert not carrier.calls


def test_a_closed_carrier_refuses_connections() -> None:
    with Carrier() as carrier:
        client = client_of(carrier, carrier.auth_token)
    with pytest.raises(requests.exceptions.ConnectionError):
        client.calls.create(**NUMBERS, twiml=HANGUP)


def test_busy_unanswered_and_failed_calls_run_no_twiml(carrier: Carrier, client: Client) -> None:
    for outcome in ("busy", "no-answer", "failed"):
        carrier.next_callee(Callee(picks_up=outcome, rings_ms=10))
        client.calls.create(**NUMBERS, twiml="<Response><Say>Hello</Say></Response>")
        call = carrier.wait_for_call(5)
        call.wait_ended(5)
        assert call.status == outcome
        assert not call.said


def test_the_account_is_shown_as_it_is(client: Client, carrier: Carrier) -> None:
    account = client.api.v2010.accounts(carrier.account_sid).fetch()
    assert (account.sid, account.status, account.type) == (carrier.account_sid, "active", "Full")
    with Carrier(account_kind="Trial", account_status="suspended") as other:
        account = client_of(other, other.auth_token).api.v2010.accounts(other.account_sid).fetch()
        assert (account.status, account.type) == ("suspended", "Trial")


def test_nobody_elses_account_is_shown(client: Client, carrier: Carrier) -> None:
    with refused(20404, 404):
        client.api.v2010.accounts("AC" + "9" * 32).fetch()
    with refused(20003, 401):
        client_of(carrier, "wrong").api.v2010.accounts(carrier.account_sid).fetch()


@pytest.fixture
def numbers() -> Iterator[Client]:
    """The account of a customer with three numbers, one of them for messages only."""
    own = [OwnNumber("+14155550100"), OwnNumber("+14155550101"), OwnNumber("+819012345670", voice=False)]
    with Carrier(numbers=own) as carrier:
        yield client_of(carrier, carrier.auth_token)


def test_numbers_are_listed_and_looked_up_by_a_part(numbers: Client) -> None:
    def found(pattern: str | None = None) -> list[str]:
        listed = numbers.incoming_phone_numbers
        return [own.phone_number for own in (listed.list(phone_number=pattern) if pattern else listed.list())]

    assert found() == ["+14155550100", "+14155550101", "+819012345670"]
    assert found("+14155550101") == ["+14155550101"]
    assert found("555010*") == ["+14155550100", "+14155550101"]
    assert found("+14155550109") == []
    assert [own.capabilities["voice"] for own in numbers.incoming_phone_numbers.list()] == [True, True, False]


def test_the_webhook_of_a_number_can_be_set(numbers: Client) -> None:
    own = numbers.incoming_phone_numbers.list(phone_number="+14155550100")[0]
    assert (own.voice_url, own.voice_method) == ("", "POST")
    changed = numbers.incoming_phone_numbers(own.sid).update(
        voice_url="https://voice.example.com/incoming-call", voice_method="GET"
    )
    assert changed.voice_url == "https://voice.example.com/incoming-call"
    fetched = numbers.incoming_phone_numbers(own.sid).fetch()
    assert (fetched.voice_url, fetched.voice_method) == ("https://voice.example.com/incoming-call", "GET")
    assert numbers.incoming_phone_numbers.list(phone_number="+14155550101")[0].voice_url == ""


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"voice_url": "voice.example.com"}, 21402),
        ({"voice_url": "wss://voice.example.com/ws"}, 21402),
        ({"voice_method": "PUT"}, 21403),
        ({"sms_url": "https://voice.example.com/sms"}, 20001),
    ],
)
def test_a_number_is_not_changed_to_what_cannot_be(
    numbers: Client, fields: dict[str, str], code: int
) -> None:
    own = numbers.incoming_phone_numbers.list()[0]
    with refused(code):
        numbers.incoming_phone_numbers(own.sid).update(**fields)
    assert numbers.incoming_phone_numbers(own.sid).fetch().voice_url == ""


def test_a_number_that_is_not_there_cannot_be_changed(numbers: Client) -> None:
    with refused(20404, 404):
        numbers.incoming_phone_numbers("PN" + "0" * 32).update(voice_url="https://voice.example.com/")


@pytest.mark.parametrize("from_", ["+14155550199", "+819012345670"])
def test_a_customer_with_numbers_calls_from_those_that_can_only(numbers: Client, from_: str) -> None:
    with refused(21210):
        numbers.calls.create(to="+819012345678", from_=from_, twiml=HANGUP)
    assert numbers.calls.create(to="+819012345678", from_="+14155550100", twiml=HANGUP).status == "queued"
