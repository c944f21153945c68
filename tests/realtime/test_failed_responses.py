"""A response fails: most are asked for again, but some reasons hold for every other one too."""

from __future__ import annotations

import json

import pytest

from callapp.conversation.events import ModelLost, ResponseEnded
from callapp.realtime.leg import ModelLeg
from tests.realtime.conftest import FakeConnection


def failed(code: str | None, kind: str) -> bytes:
    details = {"type": "failed", "error": {"type": kind, "code": code, "message": "No."}}
    response = {"id": "resp_1", "status": "failed", "status_details": details, "output": []}
    return json.dumps({"type": "response.done", "response": response}).encode()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("credit_balance_exhausted", "insufficient_quota"),
        (None, "insufficient_quota"),
        ("invalid_api_key", "invalid_request_error"),
    ],
)
def test_without_credit_or_a_key_no_other_response_is_asked_for(
    leg: ModelLeg, connection: FakeConnection, code: str | None, kind: str
) -> None:
    """Three tries would be three times the silence, and the same answer."""
    connection.messages = [failed(code, kind)]
    assert leg.receive() == [
        ResponseEnded("resp_1", "failed", code or kind),
        ModelLost("openai.refused", hopeless=True),
    ]


@pytest.mark.parametrize(
    ("code", "kind"), [("rate_limit_exceeded", "invalid_request_error"), (None, "server_error")]
)
def test_what_may_pass_is_tried_again(
    leg: ModelLeg, connection: FakeConnection, code: str | None, kind: str
) -> None:
    connection.messages = [failed(code, kind)]
    assert leg.receive() == [ResponseEnded("resp_1", "failed", code or kind)]
