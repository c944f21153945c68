"""POST /outgoing-call: every status, in the documented order, and nothing kept that was not used."""

from __future__ import annotations

import io
import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from callapp.call.pairing import PAIR
from callapp.call_log.idempotency import IdempotencyKeys
from callapp.call_log.models import IdempotencyKeyRow
from callapp.call_log.reading import find_call
from callapp.errors import CarrierRefused, CarrierTimeout, CarrierUnreachable
from tests.web.conftest import API_KEY, FROM, ORIGIN, TO, MakeWorld, World, slots_after, unavailable

BEARER = {"Authorization": f"Bearer {API_KEY}"}
SHOP = {"agent": "shop", "parameters": {"customerId": "12345", "customerName": "山田"}}


def detail(answer: TestResponse, status: int) -> str:
    """The detail of a problem; checks that it is a whole one."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    problem = json.loads(answer.text)
    assert problem["status"] == status
    assert problem["type"]
    assert problem["title"]
    return str(problem["detail"])


# -- 201 ------------------------------------------------------------------------------------------


def test_the_curl_that_people_use_places_a_call(world: World) -> None:
    answer = world.client.post(
        "/outgoing-call",
        headers={"Content-Type": "application/json"},
        data='{"phoneNumber": "+819012345678"}',
    )
    assert answer.status_code == 201
    assert answer.json == {
        "callSid": f"CA{1:032d}",
        "status": "queued",
        "to": TO,
        "from": FROM,
        "agent": "operator",
    }


def test_the_dial_names_our_webhooks_and_the_webhooks_find_the_call(world: World) -> None:
    world.call({"phoneNumber": TO, **SHOP})
    [dial] = world.carrier.dialled
    assert (dial["to"], dial["from_"]) == (TO, FROM)
    url, status = urlsplit(dial["url"]), urlsplit(dial["status_callback"])
    assert f"{url.scheme}://{url.netloc}" == ORIGIN
    assert (url.path, status.path) == ("/incoming-call", "/call-status")
    query = parse_qs(url.query)
    assert query["agent"] == ["shop"]
    assert parse_qs(status.query)["placed"] == query["placed"]
    placed = world.services.store.find_placed(query["placed"][0])
    assert placed is not None
    assert (placed.agent, placed.parameters, placed.call_sid) == ("shop", SHOP["parameters"], f"CA{1:032d}")


def test_the_callee_falls_back_to_the_setting(make_world: MakeWorld) -> None:
    answer = make_world(to_phone_number="+81312345678").call({})
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["to"] == "+81312345678"


def test_what_a_call_does_not_give_its_agents_file_does(world: World) -> None:
    """Also what no text asks for: a tool may need it."""
    order = {"phoneNumber": TO, "agent": "branch"}
    assert "customerId" in detail(world.call(order), 400)
    assert world.call({**order, "parameters": {"customerId": "12345"}}).status_code == 201
    (dial,) = world.carrier.dialled
    placed = world.services.store.find_placed(parse_qs(urlsplit(dial["url"]).query)["placed"][0])
    assert placed is not None
    assert placed.parameters == {"customerId": "12345", "shop": "Shibuya"}


def test_numbers_and_booleans_among_the_parameters_become_text(world: World) -> None:
    world.call({"phoneNumber": TO, "parameters": {"a": 1, "b": 1.5, "c": True, "d": "x", "e": "改行\n可"}})
    placed_id = parse_qs(urlsplit(world.carrier.dialled[0]["url"]).query)["placed"][0]
    placed = world.services.store.find_placed(placed_id)
    assert placed is not None
    assert placed.parameters == {"a": "1", "b": "1.5", "c": "true", "d": "x", "e": "改行\n可"}


def test_a_slot_is_held_for_the_call_under_its_sid(world: World) -> None:
    world.call()
    assert world.slots == 1
    world.services.registry.give_back(f"CA{1:032d}")
    assert world.slots == 0


def test_a_phone_of_which_nothing_is_heard_any_more_keeps_no_line(world: World) -> None:
    world.call()
    assert [slots_after(s, world.services.registry) for s in (179, 181)] == [1, 0]


def test_without_public_url_the_request_says_where_we_are(make_world: MakeWorld) -> None:
    world = make_world(public_url=None, callapp_api_key=API_KEY)
    answer = world.call(headers=BEARER, base_url="https://callapp.example.org")
    assert answer.status_code == 201
    assert world.carrier.dialled[0]["url"].startswith("https://callapp.example.org/incoming-call?")


def test_a_loopback_origin_that_was_set_is_taken(make_world: MakeWorld) -> None:
    assert make_world(public_url="http://127.0.0.1:5000").call().status_code == 201


# -- 401 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": API_KEY},
        {"Authorization": f"Basic {API_KEY}"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \xe9"},
    ],
)
def test_a_key_that_is_missing_or_wrong(make_world: MakeWorld, headers: dict[str, str]) -> None:
    answer = make_world(callapp_api_key=API_KEY).call(headers=headers)
    assert "CALLAPP_API_KEY" in detail(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_right_key_is_let_in_from_anywhere(make_world: MakeWorld, scheme: str) -> None:
    answer = make_world(callapp_api_key=API_KEY).call(
        headers={"Authorization": f"{scheme} {API_KEY}"},
        environ_base={"REMOTE_ADDR": "203.0.113.5"},
        base_url="https://voice.example.com",
    )
    assert answer.status_code == 201


# -- 413, 415 -------------------------------------------------------------------------------------


def test_a_body_over_16_kib(world: World) -> None:
    fits = json.dumps({"phoneNumber": TO}).ljust(16 * 1024)
    assert world.call(data=fits, json=None, content_type="application/json").status_code == 201
    detail(world.call(data=fits + " ", json=None, content_type="application/json"), 413)


@pytest.mark.parametrize(("size", "status"), [(16 * 1024, 201), (16 * 1024 + 1, 413), (40_000, 413)])
def test_a_chunked_body_over_16_kib(world: World, size: int, status: int) -> None:
    """It does not say its length; cut where it is too long, it could still be JSON."""
    body = io.BytesIO(json.dumps({"phoneNumber": TO}).ljust(size).encode())
    chunked = {"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = world.call(json=None, content_type="application/json", environ_overrides=chunked)
    assert answer.status_code == status
    assert len(world.carrier.dialled) == (status == 201)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "text/json", "", None]
)
def test_a_body_that_is_not_declared_json(world: World, content_type: str | None) -> None:
    answer = world.call(data=json.dumps({"phoneNumber": TO}), json=None, content_type=content_type)
    assert "application/json" in detail(answer, 415)


def test_json_may_name_its_charset(world: World) -> None:
    answer = world.call(
        data=json.dumps({"phoneNumber": TO}), json=None, content_type="application/json; charset=utf-8"
    )
    assert answer.status_code == 201


# -- 400 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"+819012345678"',
        b"\xff{}",
        '{"phoneNumber": NaN}',
        "[" * 16000,
        '{"phoneNumber": "+819012345678", "phoneNumber": "+819012345679"}',
        '{"parameters": {"a": ' + "9" * 5000 + "}}",
    ],
)
def test_what_is_not_a_json_object(world: World, body: str | bytes) -> None:
    detail(world.call(data=body, json=None, content_type="application/json"), 400)


@pytest.mark.parametrize(
    "number",
    [
        "",
        "09012345678",
        "819012345678",
        "+81 90 1234 5678",
        "+81-90-1234-5678",
        "+8190",
        "+81901234567",
        "+8109012345678",
        "+999123456789",
        "+14155550",
        "+15555550100000000",
        "tel:+819012345678",
        "+８１９０１２３４５６７８",
        "+819012345678\n",
        "+819012345678;ext=5",
        819012345678,
        None,
        ["+819012345678"],
    ],
)
def test_what_is_not_an_e164_number_that_exists(make_world: MakeWorld, number: Any) -> None:
    world = make_world(to_phone_number=TO)
    assert "phoneNumber" in detail(world.call({"phoneNumber": number}), 400)
    assert world.carrier.dialled == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"phoneNumber": TO, "phone": "x"}, "'phone'"),
        ({"phoneNumber": TO, "agent": 5}, "agent"),
        ({"phoneNumber": TO, "agent": None}, "agent"),
        ({"phoneNumber": TO, "parameters": []}, "parameters"),
        ({"phoneNumber": TO, "parameters": None}, "parameters"),
        ({"phoneNumber": TO, "parameters": {"a": None}}, "'a'"),
        ({"phoneNumber": TO, "parameters": {"a": {"b": "c"}}}, "'a'"),
        ({"phoneNumber": TO, "parameters": {"a": ["b"]}}, "'a'"),
        ({"phoneNumber": TO, "parameters": {"": "b"}}, "''"),
        ({"phoneNumber": TO, "parameters": {"a": "\x00"}}, "'a'"),
        ({"phoneNumber": TO, "parameters": {"a": "\ud800"}}, "'a'"),
        ({"phoneNumber": TO, "parameters": {"a\ud800": "b"}}, "parameter"),
        ({"phoneNumber": TO, "agent": "shop", "parameters": {"customerName": "x"}}, "customerId"),
        ({"phoneNumber": TO, "agent": "shop"}, "customerId, customerName"),
    ],
)
def test_a_wrong_field_is_named(world: World, body: dict[str, Any], says: str) -> None:
    assert says in detail(world.call(body), 400)
    assert world.carrier.dialled == []


def test_a_number_too_large_is_no_parameter(world: World) -> None:
    body = '{"phoneNumber": "+819012345678", "parameters": {"a": 1e999}}'
    detail(world.call(data=body, json=None, content_type="application/json"), 400)


def test_nobody_to_call(world: World) -> None:
    assert "TO_PHONE_NUMBER" in detail(world.call({}), 400)


@pytest.mark.parametrize(
    "host", ["localhost:3000", "127.0.0.1:3000", "127.8.8.8", "[::1]:3000", "LOCALHOST", "0.0.0.0:3000"]
)
def test_no_public_url_says_what_to_set(make_world: MakeWorld, host: str) -> None:
    world = make_world(public_url=None, callapp_api_key=API_KEY)
    assert "PUBLIC_URL" in detail(world.call(headers=BEARER, base_url=f"http://{host}"), 400)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_of_no_use(world: World, key: str) -> None:
    assert "Idempotency-Key" in detail(world.call(headers={"Idempotency-Key": key}), 400)


# -- 404, 403 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nobody", "", "\ud800", "../operator"])
def test_no_such_agent(world: World, name: str) -> None:
    assert "operator" in detail(world.call({"phoneNumber": TO, "agent": name}), 404)


def test_a_destination_that_is_not_allowed(make_world: MakeWorld) -> None:
    world = make_world(allowed_destinations=("+81", "+1415"), to_phone_number="+442079460000")
    assert world.call().status_code == 201
    assert world.call({"phoneNumber": "+14155550100"}).status_code == 201
    assert "+81, +1415" in detail(world.call({"phoneNumber": "+12125550100"}), 403)
    detail(world.call({}), 403)


# -- 429 ------------------------------------------------------------------------------------------


def test_too_many_requests_of_one_key(make_world: MakeWorld) -> None:
    world = make_world(rate_limit_per_key="2/minute")
    assert world.call().status_code == 201
    assert world.call().status_code == 201
    answer = world.call()
    assert "RATE_LIMIT_PER_KEY" in detail(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert len(world.carrier.dialled) == 2


def test_requests_that_fail_count_for_the_key(make_world: MakeWorld) -> None:
    world = make_world(rate_limit_per_key="2/minute")
    detail(world.call({"phoneNumber": "nonsense"}), 400)
    detail(world.call({"agent": "nobody", "phoneNumber": TO}), 404)
    detail(world.call(), 429)


def test_requests_without_the_key_do_not_count(make_world: MakeWorld) -> None:
    world = make_world(rate_limit_per_key="1/minute", callapp_api_key=API_KEY)
    for _ in range(3):
        detail(world.call(), 401)
    assert world.call(headers=BEARER).status_code == 201


def test_too_many_calls_of_one_callee(make_world: MakeWorld) -> None:
    world = make_world(rate_limit_per_callee="1/minute")
    assert world.call().status_code == 201
    answer = world.call()
    assert "RATE_LIMIT_PER_CALLEE" in detail(answer, 429)
    assert int(answer.headers["Retry-After"]) >= 1
    assert world.call({"phoneNumber": "+819012345679"}).status_code == 201
    assert world.slots == 2


# -- 503 ------------------------------------------------------------------------------------------


def test_at_capacity(make_world: MakeWorld) -> None:
    world = make_world(max_concurrent_calls=1)
    assert world.call().status_code == 201
    answer = world.call()
    detail(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1
    assert len(world.carrier.dialled) == 1


def test_draining(world: World) -> None:
    world.services.registry.drain_requested = True
    answer = world.call()
    detail(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("name", ["twilio_account_sid", "twilio_auth_token", "from_phone_number"])
def test_what_a_dial_needs_is_demanded_when_one_is_made(make_world: MakeWorld, name: str) -> None:
    world = make_world(**{name: None})
    assert name.upper() in detail(world.call(), 503)
    assert world.slots == 0


def test_a_database_that_is_down_places_no_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.services.store, "place_call", unavailable)
    answer = world.call()
    assert "database" in detail(answer, 503)
    assert "Retry-After" in answer.headers
    assert world.carrier.dialled == []
    assert world.slots == 0


def test_a_database_that_fails_once_the_phone_rings_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.services.store, "call_dialled", unavailable)
    monkeypatch.setattr(IdempotencyKeys, "remember", unavailable)
    assert world.call(headers={"Idempotency-Key": "k"}).status_code == 201


# -- 502, 504 -------------------------------------------------------------------------------------


def test_a_refusal_of_twilio_is_passed_on_whole(world: World) -> None:
    more_info = "https://www.twilio.com/docs/errors/21215"
    world.carrier.error = CarrierRefused(
        400, 21215, "Account not authorized to call +819012345678.", more_info
    )
    answer = world.call()
    assert "Account not authorized" in detail(answer, 502)
    assert answer.json is not None
    assert (answer.json["code"], answer.json["more_info"]) == (21215, more_info)
    assert answer.json["message"] == "Account not authorized to call +819012345678."
    assert world.slots == 0


def test_twilio_cannot_be_reached(world: World) -> None:
    world.carrier.error = CarrierUnreachable("Twilio could not be reached: ConnectionError")
    assert "could not be reached" in detail(world.call(), 502)
    assert world.slots == 0


def test_twilio_does_not_answer_in_time_and_the_call_may_exist(world: World) -> None:
    world.carrier.error = CarrierTimeout("Twilio did not answer within 10 s")
    detail(world.call(), 504)
    assert world.slots == 1, "the phone may ring: its slot waits for the stream"


@pytest.mark.parametrize("first_heard", ["in-progress", "completed", "webhook"])
def test_a_call_that_twilio_placed_though_its_answer_was_lost_is_no_failed_one(
    world: World, first_heard: str
) -> None:
    """A connection that breaks, or a 500, does not tell whether the dial was taken."""
    world.carrier.error = CarrierUnreachable("Twilio could not be reached: ConnectionError")
    detail(world.call(), 502)
    (dial,) = world.carrier.dialled
    sid = f"CA{7:032d}"

    def hear(url: str, **fields: str) -> None:
        parts = urlsplit(url)
        answer = world.webhook(f"{parts.path}?{parts.query}", {"CallSid": sid, **fields})
        assert answer.status_code in (200, 204)

    if first_heard == "webhook":
        hear(dial["url"], From=FROM, To=TO)
    else:
        hear(dial["status_callback"], CallStatus=first_heard, SequenceNumber="2")
    call = find_call(world.services.store, sid)
    assert call is not None
    assert call.status == ("completed" if first_heard == "completed" else "in-progress")
    assert (call.ended_at is None) == (first_heard != "completed")
    hear(dial["status_callback"], CallStatus="busy", SequenceNumber="3")
    call = find_call(world.services.store, sid)
    assert call is not None
    assert call.status == ("completed" if first_heard == "completed" else "busy")


def test_a_bug_gives_everything_back(world: World) -> None:
    world.carrier.error = RuntimeError("a bug")
    detail(world.call(headers={"Idempotency-Key": "k"}), 500)
    assert world.slots == 0
    world.carrier.error = None
    assert world.call(headers={"Idempotency-Key": "k"}).status_code == 201


# -- the order of the checks ----------------------------------------------------------------------


def test_the_checks_come_in_the_documented_order(make_world: MakeWorld) -> None:
    world = make_world(
        callapp_api_key=API_KEY,
        rate_limit_per_key="1/hour",
        max_concurrent_calls=1,
        allowed_destinations=("+81",),
    )
    world.services.registry.take_slot("another call")
    world.carrier.error = CarrierUnreachable("Twilio could not be reached")
    world.services.rate_limits.count_key("someone else")

    big = {"data": "x" * 20000, "json": None, "content_type": "text/plain"}
    detail(world.call(**big), 401)
    detail(world.call(**big, headers=BEARER), 413)  # from here on the limit of the key is used up
    detail(world.call(data="x", json=None, content_type="text/plain", headers=BEARER), 415)
    detail(world.call({"phoneNumber": "x", "agent": "nobody"}, headers=BEARER), 400)
    detail(world.call({"phoneNumber": "+14155550100", "agent": "nobody"}, headers=BEARER), 404)
    detail(world.call({"phoneNumber": "+14155550100"}, headers=BEARER), 403)
    detail(world.call(headers=BEARER), 429)

    world = make_world(max_concurrent_calls=1)
    world.services.registry.take_slot("another call")
    world.carrier.error = CarrierUnreachable("Twilio could not be reached")
    detail(world.call(), 503)
    world.services.registry.give_back("another call")
    detail(world.call(), 502)


# -- Idempotency-Key ------------------------------------------------------------------------------

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def test_the_same_key_and_body_dial_once(world: World) -> None:
    first = world.call(headers=KEY)
    again = world.call(headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json == again.json
    assert len(world.carrier.dialled) == 1
    assert world.slots == 1


def test_the_body_is_the_same_however_it_is_written(world: World) -> None:
    first = world.call({"phoneNumber": TO, "agent": "plain"}, headers=KEY)
    again = world.call(
        data='{"agent":"plain",   "phoneNumber":"+819012345678"}',
        json=None,
        headers=KEY,
        content_type="application/json",
    )
    assert first.json == again.json


def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    world.call(headers=KEY)
    assert "Idempotency-Key" in detail(world.call({"phoneNumber": "+819012345679"}, headers=KEY), 422)
    assert len(world.carrier.dialled) == 1


def test_a_number_is_not_kept_with_the_answer(world: World) -> None:
    """There it would outlive the call by up to a day, also when its owner wants to be forgotten."""
    first = world.call(headers=KEY)
    with world.services.store.transaction() as session:
        (kept,) = session.scalars(select(IdempotencyKeyRow.answer_body))
    assert TO not in json.dumps(kept)
    assert world.call(headers=KEY).json == first.json


def test_who_is_called_by_a_setting_is_a_part_of_what_is_asked_for(make_world: MakeWorld) -> None:
    """An answer with the new number would be of a call to the old one."""
    assert make_world(to_phone_number=TO).call({}, headers=KEY).status_code == 201
    detail(make_world(to_phone_number="+819012345679").call({}, headers=KEY), 422)


def test_another_key_dials_again(world: World) -> None:
    world.call(headers=KEY)
    world.call(headers={"Idempotency-Key": "another"})
    assert len(world.carrier.dialled) == 2


@pytest.mark.parametrize(
    "error", [CarrierRefused(400, 21211, "no", None), CarrierUnreachable("no"), CarrierTimeout("no")]
)
def test_only_a_201_is_remembered(world: World, error: Exception) -> None:
    world.carrier.error = error
    assert world.call(headers=KEY).status_code in (502, 504)
    world.carrier.error = None
    assert world.call(headers=KEY).status_code == 201
    assert len(world.carrier.dialled) == 2


def test_neither_a_full_house_nor_a_limit_is_remembered(make_world: MakeWorld) -> None:
    world = make_world(max_concurrent_calls=1)
    world.services.registry.take_slot("another call")
    detail(world.call(headers=KEY), 503)
    world.services.registry.give_back("another call")
    assert world.call(headers=KEY).status_code == 201


def test_a_replay_passes_the_limit_of_the_callee_and_a_full_house(make_world: MakeWorld) -> None:
    world = make_world(rate_limit_per_callee="1/hour", max_concurrent_calls=1)
    first = world.call(headers=KEY)
    assert world.call(headers=KEY).json == first.json
    assert world.call(headers=KEY).status_code == 201


def test_a_replay_counts_for_the_key(make_world: MakeWorld) -> None:
    world = make_world(rate_limit_per_key="2/hour")
    world.call(headers=KEY)
    world.call(headers=KEY)
    detail(world.call(headers=KEY), 429)


def test_a_concurrent_request_is_told_to_wait_and_the_phone_rings_once(world: World) -> None:
    dialling, go_on = threading.Event(), threading.Event()

    def slow(dial: dict[str, str]) -> None:
        dialling.set()
        assert go_on.wait(10)

    world.carrier.before_answer = slow
    first: list[TestResponse] = []
    thread = threading.Thread(
        target=lambda: first.append(
            world.app.test_client().post("/outgoing-call", json={"phoneNumber": TO}, headers=KEY)
        )
    )
    thread.start()
    assert dialling.wait(10)
    second = world.call(headers=KEY)
    go_on.set()
    thread.join(10)
    detail(second, 409)
    assert int(second.headers["Retry-After"]) >= 1
    assert first[0].status_code == 201
    assert world.call(headers=KEY).json == first[0].json
    assert len(world.carrier.dialled) == 1


def test_a_webhook_may_outrun_the_answer_to_the_dial(world: World) -> None:
    def ring(dial: dict[str, str]) -> None:
        url = urlsplit(dial["url"])
        sid = f"CA{1:032d}"
        fields = {"CallSid": sid, "From": FROM, "To": TO}
        answer = world.webhook(f"{url.path}?{url.query}", fields)
        assert "<Stream" in answer.text

    world.carrier.before_answer = ring
    assert world.call().status_code == 201
    assert world.slots == 1


def test_a_call_that_is_over_before_the_dial_is_answered_leaves_no_slot(world: World) -> None:
    def end(dial: dict[str, str]) -> None:
        url = urlsplit(dial["status_callback"])
        fields = {"CallSid": f"CA{1:032d}", "CallStatus": "busy", "SequenceNumber": "2"}
        assert world.webhook(f"{url.path}?{url.query}", fields).status_code == 204

    world.carrier.before_answer = end
    assert world.call().status_code == 201
    assert world.slots == 0


def test_a_number_never_reaches_the_log_whole(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    world.call()
    assert "dialled" in caplog.text
    assert TO not in caplog.text


# -- two people -----------------------------------------------------------------------------------

OTHER = "+442079460000"
TWO = {"phoneNumber": "+819012345678", "agent": "interpreter", "parameters": {"otherPhoneNumber": OTHER}}


def test_an_interpreter_calls_both_and_tells_of_both(make_world: MakeWorld) -> None:
    world = make_world()
    answer = world.call(TWO)
    assert answer.status_code == 201
    assert [dial["to"] for dial in world.carrier.dialled] == [TWO["phoneNumber"], OTHER]
    assert answer.json is not None
    assert answer.json["otherTo"] == OTHER
    assert answer.json["otherCallSid"] != answer.json["callSid"]


@pytest.mark.parametrize(
    ("parameters", "status", "words"),
    [
        ({}, 400, "give the number of the other in parameters, as otherPhoneNumber"),
        (
            {"otherPhoneNumber": "020 7946 0000"},
            400,
            "otherPhoneNumber has to be a string in E.164",
        ),
        ({"otherPhoneNumber": "+81901234567890"}, 400, "is not a number that exists"),
        ({"otherPhoneNumber": "+819012345678"}, 400, "are the same"),
        ({"otherPhoneNumber": "+14155550100"}, 403, "ALLOWED_DESTINATIONS permits +81, +44"),
    ],
)
def test_both_numbers_are_checked_before_anybodys_phone_rings(
    make_world: MakeWorld, parameters: dict[str, str], status: int, words: str
) -> None:
    world = make_world(allowed_destinations=("+81", "+44"))
    assert words in detail(world.call({**TWO, "parameters": parameters}), status)
    assert world.carrier.dialled == []


def test_where_two_lines_are_not_free_nobodys_phone_rings(make_world: MakeWorld) -> None:
    """It would ring again at each of the repetitions that the 503 asks for."""
    world = make_world(max_concurrent_calls=1)
    detail(world.call(TWO), 503)
    assert world.carrier.dialled == []
    assert world.slots == 0


def test_when_the_first_cannot_be_dialled_both_lines_are_free(make_world: MakeWorld) -> None:
    world = make_world(max_concurrent_calls=2)
    world.carrier.error = CarrierRefused(400, 21215, "not allowed", None)
    detail(world.call(TWO), 502)
    assert len(world.carrier.dialled) == 1
    assert world.slots == 0


@pytest.mark.parametrize("late", [TWO["phoneNumber"], OTHER])
def test_where_twilio_does_not_answer_a_dial_neither_phone_rings_on(make_world: MakeWorld, late: str) -> None:
    """It has taken the dial all the same, and has told so before we gave up waiting."""
    world = make_world()

    def be_late(dial: dict[str, str]) -> None:
        if dial["to"] == late:
            fields = {"CallSid": "CA" + "9" * 32, "CallStatus": "ringing", "SequenceNumber": "1"}
            assert world.webhook(dial["status_callback"].removeprefix(ORIGIN), fields).status_code == 204
            raise CarrierTimeout("Twilio did not answer within 10 s")

    world.carrier.before_answer = be_late
    detail(world.call(TWO), 504)
    assert "CA" + "9" * 32 in world.carrier.canceled
    assert len(set(world.carrier.canceled)) == len(world.carrier.dialled)


def test_when_the_second_cannot_be_dialled_the_first_is_called_off(world: World) -> None:
    """Somebody whose phone rings for nobody would pick up, and hear nobody."""

    def refuse_the_second(dial: dict[str, str]) -> None:
        if dial["to"] == OTHER:
            raise CarrierRefused(400, 21215, "not allowed", None)

    world.carrier.before_answer = refuse_the_second
    detail(world.call(TWO), 502)
    assert len(world.carrier.dialled) == 2
    place = world.services.store.find_placed(world.carrier.dialled[0]["url"].rpartition("placed=")[2])
    assert place is not None
    assert world.services.pairs.is_over(place.parameters[PAIR]), "who has picked up by then is told"
    assert world.carrier.canceled == [f"CA{1:032d}"]
    assert world.slots == 0, "Twilio tells nothing of the end of a call that it still has queued"


def test_who_picks_up_and_hangs_up_before_the_second_is_dialled_leaves_no_phone_ringing(
    make_world: MakeWorld,
) -> None:
    world = make_world()

    def hang_up(dial: dict[str, str]) -> None:
        if dial["to"] == OTHER:
            fields = {"CallSid": f"CA{1:032d}", "CallStatus": "completed", "SequenceNumber": "3"}
            callback = world.carrier.dialled[0]["status_callback"].removeprefix(ORIGIN)
            assert world.webhook(callback, fields).status_code == 204

    world.carrier.before_answer = hang_up
    assert world.call(TWO).status_code == 201
    assert world.carrier.canceled == [f"CA{2:032d}"]


def test_both_calls_stand_though_the_database_is_gone_after_the_dials(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world()
    monkeypatch.setattr(world.services.store, "find_placed", unavailable)
    assert world.call(TWO).status_code == 201
    assert world.carrier.canceled == []
    assert "connection refused" in caplog.text
