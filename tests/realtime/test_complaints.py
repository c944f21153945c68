"""What becomes of the errors that the service reports."""

from __future__ import annotations

import json

import pytest

from callapp.conversation.events import ModelLost, RequestFailed, RequestRefused, ServiceComplained
from callapp.errors import LegLost
from callapp.realtime.leg import BENIGN_CODES, ModelEvent, ModelLeg
from tests.realtime.conftest import FakeConnection


def error(code: str, event_id: str | None = None) -> bytes:
    known = {"type": "invalid_request_error", "code": code, "message": "no", "param": None}
    return json.dumps({"type": "error", "error": {**known, "event_id": event_id}}).encode()


@pytest.mark.parametrize("code", sorted(BENIGN_CODES))
def test_a_race_that_the_protocol_cannot_avoid_is_no_fault(
    leg: ModelLeg, connection: FakeConnection, code: str
) -> None:
    leg._confirmed = True  # before that, an error belongs to the handshake
    connection.messages = [error(code)]
    assert leg.receive() == []


@pytest.mark.parametrize(
    ("code", "events"),
    [
        ("invalid_value", [ServiceComplained("invalid_value", "no"), RequestFailed("ours")]),
        ("conversation_already_has_active_response", [RequestRefused("ours")]),
        ("insufficient_quota", [ModelLost("openai.refused", hopeless=True)]),
    ],
)
def test_an_error_is_told_as_what_it_means(
    leg: ModelLeg, connection: FakeConnection, code: str, events: list[ModelEvent]
) -> None:
    leg._confirmed = True
    connection.messages = [error(code, "ours")]
    assert leg.receive() == events


def test_an_error_that_answers_no_request_is_told_all_the_same(
    leg: ModelLeg, connection: FakeConnection
) -> None:
    leg._confirmed = True
    connection.messages = [error("invalid_value")]
    assert leg.receive() == [ServiceComplained("invalid_value", "no")]


def test_a_session_that_the_service_ends_for_its_age_is_told_as_that_and_not_as_a_fault_of_the_line(
    leg: ModelLeg, connection: FakeConnection
) -> None:
    leg._confirmed = True
    connection.messages = [error("session_expired")]
    leg.receive()
    assert leg.meaning_of(LegLost("model", 1001, "")) == ModelLost("openai.session_expired")


def test_a_request_that_comes_too_soon_is_told_with_the_time_to_wait(
    leg: ModelLeg, connection: FakeConnection
) -> None:
    leg._confirmed = True
    connection.messages = [
        error("rate_limit_exceeded", "ours").replace(b'"no"', b'"Please try again in 2s."')
    ]
    assert leg.receive()[1:] == [RequestFailed("ours", 2_000)]
