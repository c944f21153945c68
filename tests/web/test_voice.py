"""Twilio's webhooks: signed, always answered, and no worse for being late or repeated."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from sqlalchemy import select
from twilio.request_validator import RequestValidator
from werkzeug.test import TestResponse

from callapp.call.pairing import Place
from callapp.call_log import Admission, PlacedCall, StoreUnavailable
from callapp.call_log.models import CallRow
from callapp.errors import CarrierUnreachable
from callapp.web.urls import public_origin
from tests.web.conftest import (
    AUTH_TOKEN,
    CALL_SID,
    FROM,
    ORIGIN,
    TO,
    MakeWorld,
    World,
    slots_after,
    unavailable,
)

FIELDS = {"CallSid": CALL_SID, "From": FROM, "To": TO}
NUMBERED = "+815012345678"
PLACED = PlacedCall("f" * 32, "shop", {"customerId": "12345", "customerName": "山田"}, FROM, TO)


def document(answer: TestResponse) -> ElementTree.Element:
    assert answer.status_code == 200
    assert answer.content_type == "text/xml; charset=utf-8"
    return ElementTree.fromstring(answer.data)


def verbs(answer: TestResponse) -> list[str]:
    return [verb.tag for verb in document(answer)]


def parameters(answer: TestResponse) -> dict[str | None, str | None]:
    found = document(answer).findall("Connect/Stream/Parameter")
    return {parameter.get("name"): parameter.get("value") for parameter in found}


def token(answer: TestResponse) -> str:
    return parameters(answer)["callapp_token"] or ""


def assert_apology(answer: TestResponse) -> None:
    assert verbs(answer) == ["Say", "Hangup"]
    assert "お繋ぎできません" in answer.text


# -- a phone rings --------------------------------------------------------------------------------


def test_a_ringing_phone_is_connected_to_the_default_agent(world: World) -> None:
    answer = world.webhook("/incoming-call")
    assert verbs(answer) == ["Say", "Connect", "Say", "Hangup"]
    xml = document(answer)
    assert [say.text for say in xml.findall("Say")] == [
        "こんにちは。オペレーターにお繋ぎします。",
        "以上でオペレーターとの通話を終了します。",
    ]
    assert {say.get("language") for say in xml.findall("Say")} == {"ja-JP"}
    stream = xml.find("Connect/Stream")
    assert stream is not None
    assert stream.get("url") == "wss://voice.example.com/ws"
    assert parameters(answer)["agent"] == "operator"


def test_the_token_admits_this_call_and_holds_its_slot(world: World) -> None:
    answer = world.webhook("/incoming-call")
    assert world.slots == 1
    assert world.services.store.redeem_token(token(answer), CALL_SID) == Admission(
        slot_key=CALL_SID,
        call_sid=CALL_SID,
        agent="operator",
        parameters={},
        direction="incoming",
        from_number=FROM,
        to_number=TO,
    )


def test_a_get_is_answered_as_a_post_is(world: World) -> None:
    path = f"/incoming-call?agent=plain&{urlencode(FIELDS)}"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(ORIGIN + path, {})
    answer = world.client.get(path, headers={"X-Twilio-Signature": signature})
    assert parameters(answer)["agent"] == "plain"
    assert verbs(answer) == ["Connect", "Hangup"]
    assert world.services.store.redeem_token(token(answer), CALL_SID) is not None


def test_an_http_origin_means_an_unencrypted_stream(make_world: MakeWorld) -> None:
    world = make_world(public_url="http://127.0.0.1:3000")
    answer = world.webhook("/incoming-call", origin="http://127.0.0.1:3000")
    assert 'url="ws://127.0.0.1:3000/ws"' in answer.text


def test_a_repeated_webhook_takes_no_second_slot(world: World) -> None:
    first, second = world.webhook("/incoming-call"), world.webhook("/incoming-call")
    assert token(first) != token(second)
    assert world.slots == 1


def test_a_call_whose_stream_never_comes_keeps_no_line(world: World) -> None:
    world.webhook("/incoming-call")
    assert [slots_after(s, world.services.registry) for s in (59, 61)] == [1, 0]


@pytest.mark.parametrize(
    ("path", "to", "agent"),
    [
        ("/incoming-call?agent=plain", NUMBERED, "plain"),
        ("/incoming-call", NUMBERED, "numbered"),
        ("/incoming-call", TO, "operator"),
    ],
)
def test_the_agent_is_the_one_named_then_the_numbers_then_the_default(
    make_world: MakeWorld, tmp_path: Path, path: str, to: str, agent: str
) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "numbered.md").write_text(f"---\nnumbers: [{NUMBERED}]\n---\nBe kind.\n")
    answer = make_world().webhook(path, {**FIELDS, "To": to})
    assert parameters(answer)["agent"] == agent


def test_an_unknown_agent_gets_an_apology(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert_apology(world.webhook("/incoming-call?agent=nobody"))
    assert "there is no agent 'nobody'" in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert world.slots == 0


def test_a_missing_value_is_left_empty(world: World, caplog: pytest.LogCaptureFixture) -> None:
    answer = world.webhook("/incoming-call?agent=shop")
    assert verbs(answer) == ["Say", "Connect", "Hangup"]
    assert document(answer)[0].text == "様、こんにちは。"
    assert "customerId, customerName" in caplog.text
    assert "ERROR" in caplog.text


def test_a_call_that_comes_in_has_the_parameters_of_its_agents_file(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    answer = world.webhook("/incoming-call?agent=branch")
    assert document(answer)[0].text == "This is Shibuya."
    assert parameters(answer)["shop"] == "Shibuya"
    assert "lacks values for: customerId" in caplog.text


def test_at_capacity_a_busy_line_is_spoken(make_world: MakeWorld) -> None:
    world = make_world(max_concurrent_calls=1)
    world.services.registry.take_slot("another call")
    answer = world.webhook("/incoming-call")
    assert verbs(answer) == ["Say", "Hangup"]
    assert document(answer)[0].get("language") == "ja-JP"
    assert "混み合って" in answer.text
    answer = world.webhook("/incoming-call?agent=plain")
    assert document(answer)[0].get("language") == "en-GB"
    assert "busy" in answer.text


def test_draining_counts_as_full(world: World) -> None:
    world.services.registry.drain_requested = True
    assert "混み合って" in world.webhook("/incoming-call").text


@pytest.mark.parametrize("error", [StoreUnavailable("connection refused"), RuntimeError("a bug")])
@pytest.mark.parametrize("path", ["/incoming-call", f"/incoming-call?agent=shop&placed={PLACED.id}"])
def test_whatever_breaks_a_ringing_phone_hears_an_apology(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    path: str,
) -> None:
    def broken(*args: Any) -> None:
        raise error

    world.services.store.place_call(PLACED)
    monkeypatch.setattr(world.services.store, "issue_token", broken)
    assert_apology(world.webhook(path))
    assert str(error) in caplog.text
    assert world.slots == 0
    monkeypatch.setattr(world.services.store, "find_placed", broken)
    assert verbs(world.webhook(path)) == ["Say", "Hangup"]


def test_a_number_never_reaches_the_log_whole(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    world.webhook("/incoming-call")
    assert CALL_SID in {getattr(record, "call_sid", None) for record in caplog.records}
    assert FROM not in caplog.text


# -- a call we placed -----------------------------------------------------------------------------


def test_a_call_we_placed_gets_what_was_asked_for(world: World) -> None:
    world.services.store.place_call(PLACED)
    world.services.registry.take_slot(PLACED.id)
    # The agent of the query is for people who read logs; what counts is what was written down.
    answer = world.webhook(
        f"/incoming-call?agent=plain&placed={PLACED.id}", {**FIELDS, "From": "+1", "To": "+2"}
    )
    assert document(answer)[0].text == "山田様、こんにちは。"
    assert parameters(answer) == {
        "callapp_token": token(answer),
        "agent": "shop",
        "customerId": "12345",
        "customerName": "山田",
    }
    assert world.slots == 1
    assert world.services.store.redeem_token(token(answer), CALL_SID) == Admission(
        slot_key=PLACED.id,
        call_sid=CALL_SID,
        agent="shop",
        parameters=PLACED.parameters,
        direction="outgoing",
        from_number=FROM,
        to_number=TO,
    )


def test_a_call_dialled_by_another_process_takes_a_slot_here(world: World) -> None:
    world.services.store.place_call(PLACED)
    assert "<Stream" in world.webhook(f"/incoming-call?placed={PLACED.id}").text
    assert world.slots == 1


def test_a_call_that_nobody_placed_gets_an_apology(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert_apology(world.webhook("/incoming-call?agent=plain&placed=unknown"))
    assert "no call was placed" in caplog.text


# -- status callbacks -----------------------------------------------------------------------------


def status(world: World, value: str, sequence: object, query: str = f"?placed={PLACED.id}") -> int:
    fields = {"CallSid": CALL_SID, "CallStatus": value}
    if sequence is not None:
        fields["SequenceNumber"] = str(sequence)
    return world.webhook(f"/call-status{query}", fields).status_code


def noted(world: World) -> str:
    placed = world.services.store.find_placed(PLACED.id)
    assert placed is not None
    return placed.status


def test_statuses_are_noted_in_whatever_order_they_come(world: World) -> None:
    world.services.store.place_call(PLACED)
    for value, sequence, then in [
        ("ringing", 1, "ringing"),
        ("initiated", 0, "ringing"),
        ("completed", 3, "completed"),
        ("in-progress", 2, "completed"),
        ("completed", 3, "completed"),
    ]:
        assert status(world, value, sequence) == 204
        assert noted(world) == then


@pytest.mark.parametrize("value", ["completed", "busy", "failed", "no-answer", "canceled"])
def test_the_end_of_a_call_gives_its_slot_back(world: World, value: str) -> None:
    world.services.store.place_call(PLACED)
    world.services.registry.take_slot(PLACED.id)
    status(world, "ringing", 1)
    assert world.slots == 1
    status(world, value, 2)
    assert world.slots == 0
    assert status(world, value, 2) == 204


def test_the_end_of_an_incoming_call_gives_its_slot_back(world: World) -> None:
    world.webhook("/incoming-call")
    assert status(world, "completed", None, query="") == 204
    assert world.slots == 0


def test_the_end_of_a_call_is_heard_without_a_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.services.registry.take_slot(PLACED.id)
    monkeypatch.setattr(world.services.store, "note_status", unavailable)
    assert status(world, "completed", 3) == 204
    assert world.slots == 0


PAIR_OF_TWO = Place("0" * 32, 0)
OTHER_SID = "CA" + "2" * 32


def ring_other(world: World) -> str:
    """Dial the other of two; return the query of the first one's callbacks."""
    for place in (PAIR_OF_TWO, PAIR_OF_TWO.other):
        world.services.store.place_call(replace(PLACED, id=place.placed_id))
    world.services.store.call_dialled(PAIR_OF_TWO.other.placed_id, OTHER_SID, "queued")
    return f"?placed={PAIR_OF_TWO.placed_id}&pair={PAIR_OF_TWO.pair}"


@pytest.mark.parametrize("value", ["completed", "busy"])
def test_when_one_of_two_is_gone_the_others_phone_rings_no_longer(world: World, value: str) -> None:
    query = ring_other(world)
    world.services.registry.take_slot(PAIR_OF_TWO.other.placed_id)
    assert status(world, value, 2, query) == 204
    assert world.carrier.canceled == [OTHER_SID]
    assert world.slots == 0, "Twilio tells nothing of the end of a call that it still has queued"
    with world.services.store.transaction() as session:  # so it is asked, for other processes' sake
        due = session.scalars(select(CallRow.settle_at).where(CallRow.call_sid == OTHER_SID)).one()
    assert due is not None
    assert due < datetime.now(UTC) + timedelta(seconds=30)


@pytest.mark.parametrize("end", ["answered", "over"])
def test_when_one_of_two_is_gone_a_call_that_does_not_ring_is_left_alone(world: World, end: str) -> None:
    """Whoever has picked up is told, on the stream or instead of it."""
    query = ring_other(world)
    if end == "answered":
        world.webhook(f"/incoming-call?placed={PAIR_OF_TWO.other.placed_id}", {"CallSid": OTHER_SID})
    else:
        world.services.store.note_status(OTHER_SID, "no-answer", 2)
    assert status(world, "completed", 2, query) == 204
    assert world.carrier.canceled == []


@pytest.mark.parametrize("value", ["initiated", "ringing"])
def test_a_phone_that_rings_after_the_other_was_told_that_it_cannot_be_reached_is_called_off(
    world: World, value: str
) -> None:
    """Twilio took the dial, and its answer to us was lost."""
    place = PAIR_OF_TWO
    world.services.store.place_call(replace(PLACED, id=place.placed_id))
    query = f"?placed={place.placed_id}&pair={place.pair}"
    assert status(world, value, 0, query) == 204
    assert world.carrier.canceled == [], "nobody has given up yet"
    world.services.pairs.give_up(place.pair, "other.unreachable")
    assert status(world, value, 0, query) == 204
    assert world.carrier.canceled == [CALL_SID]


def test_that_the_others_phone_rings_on_since_twilio_is_away_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    query = ring_other(world)
    world.carrier.error = CarrierUnreachable("Twilio was not there")
    assert status(world, "completed", 2, query) == 204
    assert "could not be called off: Twilio was not there" in caplog.text


@pytest.mark.parametrize("sequence", ["", "x", "9" * 30])
def test_a_strange_sequence_number_is_no_accident(world: World, sequence: str) -> None:
    world.services.store.place_call(PLACED)
    assert status(world, "ringing", sequence) == 204


# -- who answered ---------------------------------------------------------------------------------


def told(world: World, answered_by: str, call_sid: str = CALL_SID) -> int:
    fields = {"CallSid": call_sid, "AnsweredBy": answered_by, "MachineDetectionDuration": "4000"}
    return world.webhook(f"/answered-by?placed={PLACED.id}", fields).status_code


def test_who_answered_is_noted_and_told_to_the_call_once(world: World) -> None:
    heard: list[str] = []
    world.services.store.place_call(PLACED)
    world.services.verdicts.expect(CALL_SID, heard.append, 30)
    try:
        assert [told(world, "machine_end_beep"), told(world, "machine_end_beep")] == [204, 204]
    finally:
        world.services.verdicts.close()
    assert heard == ["machine_end_beep"]
    assert world.services.store.find_answered_by([CALL_SID]) == {CALL_SID: "machine_end_beep"}


def test_who_answered_a_call_of_another_process_is_noted_for_it(world: World) -> None:
    world.services.store.place_call(PLACED)
    assert told(world, "human") == 204
    assert world.services.store.find_answered_by([CALL_SID]) == {CALL_SID: "human"}


def test_who_answered_a_call_that_nobody_knows_harms_nothing(world: World) -> None:
    assert told(world, "human", "CA" + "9" * 32) == 204
    assert world.webhook("/answered-by", {"CallSid": CALL_SID}).status_code == 400


def test_the_call_is_told_who_answered_also_while_the_database_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is written down once the database is there: Twilio does not say it again."""
    heard: list[str] = []
    there, store = threading.Event(), world.services.store
    note_answered_by = store.note_answered_by

    def down(*args: Any) -> bool:
        if there.is_set():
            return note_answered_by(*args)
        raise StoreUnavailable("no connection")

    store.place_call(PLACED)
    monkeypatch.setattr(store, "note_answered_by", down)
    monkeypatch.setattr(world.services.verdicts, "_find", down)
    world.services.verdicts.expect(CALL_SID, heard.append, 30)
    try:
        assert told(world, "human") == 204
    finally:
        world.services.verdicts.close()
    assert heard == ["human"]
    there.set()
    assert world.services.later.flush(20)
    world.services.later.close()
    assert store.find_answered_by([CALL_SID]) == {CALL_SID: "human"}


# -- what is no webhook ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/incoming-call", "/call-status", "/answered-by"])
def test_a_webhook_without_a_call_is_refused(world: World, path: str) -> None:
    answer = world.webhook(path, {"From": FROM, "CallStatus": "ringing"})
    assert answer.status_code == 400
    assert "CallSid" in json.loads(answer.text)["detail"]


def test_a_status_callback_without_a_status_is_refused(world: World) -> None:
    assert world.webhook("/call-status", {"CallSid": CALL_SID}).status_code == 400


@pytest.mark.parametrize("path", ["/incoming-call", "/call-status", "/answered-by"])
@pytest.mark.parametrize("signature", [None, "", "wrong", "é"])
def test_a_webhook_without_a_valid_signature_is_refused(
    world: World, path: str, signature: str | None
) -> None:
    headers = {} if signature is None else {"X-Twilio-Signature": signature}
    answer = world.client.post(path, data={**FIELDS, "CallStatus": "completed"}, headers=headers)
    assert answer.status_code == 403
    assert world.slots == 0


def test_a_signature_is_no_good_for_other_fields_or_another_agent(world: World) -> None:
    signature = RequestValidator(AUTH_TOKEN).compute_signature(f"{ORIGIN}/incoming-call?agent=plain", FIELDS)
    headers = {"X-Twilio-Signature": signature}
    post = world.client.post
    assert post("/incoming-call?agent=plain", data=FIELDS, headers=headers).status_code == 200
    assert post("/incoming-call?agent=shop", data=FIELDS, headers=headers).status_code == 403
    assert (
        post("/incoming-call?agent=plain", data={**FIELDS, "From": "+1"}, headers=headers).status_code == 403
    )
    assert world.client.get(f"/incoming-call?{urlencode(FIELDS)}", headers=headers).status_code == 403


def test_fields_are_signed_as_they_are_blank_and_spaced(world: World) -> None:
    assert (
        world.webhook("/incoming-call", {**FIELDS, "CallerName": "", "FromCity": " 渋谷+区 "}).status_code
        == 200
    )


def test_a_signature_over_the_url_behind_a_proxy(make_world: MakeWorld) -> None:
    world = make_world(public_url=None, trusted_proxies=1)
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "voice.example.com",
        "X-Forwarded-For": "3.3.3.3",
    }
    answer = world.webhook("/incoming-call?agent=plain", headers=forwarded, base_url="http://10.0.0.5:3000")
    assert 'url="wss://voice.example.com/ws"' in answer.text


def test_a_proxy_that_is_not_trusted_is_not_believed(make_world: MakeWorld) -> None:
    world = make_world(public_url=None)
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "voice.example.com"}
    answer = world.webhook("/incoming-call", headers=forwarded, base_url="http://10.0.0.5:3000")
    assert answer.status_code == 403


def test_only_the_hops_that_are_trusted_are_believed(make_world: MakeWorld) -> None:
    world = make_world(public_url=None, trusted_proxies=1)
    forwarded = {
        "X-Forwarded-Proto": "http, https",
        "X-Forwarded-Host": "evil.example.com, voice.example.com",
    }
    assert world.webhook("/incoming-call", headers=forwarded).status_code == 200


@pytest.mark.parametrize(
    ("proto", "origin"), [("wss", "https://h.example.com"), ("ws", "http://h.example.com")]
)
def test_a_proxy_that_names_the_scheme_of_an_upgrade(make_world: MakeWorld, proto: str, origin: str) -> None:
    """Twilio signs the address that our TwiML gave it, which the request of the TwiML made."""
    world = make_world(public_url=None)
    with world.app.test_request_context("/ws", base_url=f"{proto}://h.example.com"):
        assert public_origin() == origin


def test_public_url_counts_whatever_the_request_says(world: World) -> None:
    forwarded = {"X-Forwarded-Host": "evil.example.com", "Host": "evil.example.com"}
    assert 'url="wss://voice.example.com/ws"' in world.webhook("/incoming-call", headers=forwarded).text


def test_without_the_token_nothing_passes_and_the_log_says_why(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    assert make_world(twilio_auth_token=None).webhook("/incoming-call").status_code == 403
    assert "set TWILIO_AUTH_TOKEN" in caplog.text


def test_a_refusal_does_not_log_the_callers_number(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert world.client.get(f"/incoming-call?{urlencode(FIELDS)}").status_code == 403
    assert "webhook refused" in caplog.text
    assert "4155550100" not in caplog.text


def test_signatures_can_be_switched_off_for_experiments(make_world: MakeWorld) -> None:
    world = make_world(twilio_validate_signatures=False, twilio_auth_token=None)
    assert world.client.post("/incoming-call", data=FIELDS).status_code == 200
