"""Remote MCP tools: the service asks before it calls one, and is answered by the agent file's rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callapp.conversation.events import RemoteToolCalled, RemoteToolRan, RemoteToolReturned
from callapp.realtime.leg import ModelLeg
from tests.realtime.conftest import FakeConnection


def request(name: str, request_id: str = "mcpr_1", label: str = "crm") -> dict[str, Any]:
    return {
        "type": "mcp_approval_request",
        "id": request_id,
        "server_label": label,
        "name": name,
        "arguments": "{}",
    }


def told(kind: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "response_id": "resp_1", "output_index": 0, "item": item}).encode()


def test_a_tool_of_the_list_is_approved_once(leg: ModelLeg, connection: FakeConnection) -> None:
    asked = request("find")
    connection.messages = [told("response.output_item.done", asked), told("conversation.item.done", asked)]
    assert leg.receive() == []
    (answer,) = connection.sent
    assert answer["type"] == "conversation.item.create"
    assert answer["item"].pop("id").startswith("approval_")
    assert answer["item"] == {
        "type": "mcp_approval_response",
        "approval_request_id": "mcpr_1",
        "approve": True,
    }


def test_a_call_that_was_approved_is_told_as_no_part_of_a_response(
    leg: ModelLeg, connection: FakeConnection
) -> None:
    """Its events look like those of a call that a response makes; only its item says whence it comes."""
    connection.messages = [
        told("conversation.item.added", {"type": "mcp_call", "id": "m", "approval_request_id": "mcpr_1"}),
        json.dumps({"type": "response.mcp_call.in_progress", "item_id": "m", "output_index": 0}).encode(),
    ]
    assert leg.receive() == [RemoteToolCalled("m", approved=True)]


@pytest.mark.parametrize("asked", [request("delete"), request("find", label="other")])
def test_any_other_tool_is_refused_and_the_model_asked_to_go_on(
    leg: ModelLeg, connection: FakeConnection, asked: dict[str, Any]
) -> None:
    """Without a further response the caller would wait for an answer that nobody gives."""
    connection.messages = [told("conversation.item.done", asked)]
    assert leg.receive() == [RemoteToolReturned()]
    assert connection.sent[0]["item"]["approve"] is False
    assert connection.sent[0]["item"]["reason"]


def test_two_requests_are_two_answers_with_ids_of_their_own(
    leg: ModelLeg, connection: FakeConnection
) -> None:
    connection.messages = [
        told("response.output_item.done", request("find", "mcpr_1")),
        told("response.output_item.done", request("find", "mcpr_2")),
    ]
    leg.receive()
    ids = [answer["item"]["id"] for answer in connection.sent]
    assert len(set(ids)) == 2
    assert all(len(one) <= 32 for one in ids)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("in_progress", RemoteToolCalled("i")),
        ("completed", RemoteToolReturned("i")),
        ("failed", RemoteToolReturned("i")),
    ],
)
def test_a_call_that_the_service_makes_is_told(
    leg: ModelLeg, connection: FakeConnection, kind: str, event: object
) -> None:
    connection.messages = [
        json.dumps({"type": f"response.mcp_call.{kind}", "item_id": "i", "output_index": 0}).encode()
    ]
    assert leg.receive() == [event]


CALL = {
    "id": "mcp_1",
    "type": "mcp_call",
    "server_label": "crm",
    "name": "find",
    "arguments": '{"who": "Sato"}',
}


@pytest.mark.parametrize("kind", ["response.output_item.done", "conversation.item.done"])
@pytest.mark.parametrize(
    ("outcome", "output", "failed"),
    [
        ({"output": "Ms Sato"}, "Ms Sato", False),
        (
            {"error": {"type": "http_error", "code": 500, "message": "no"}},
            '{"type":"http_error","code":500,"message":"no"}',
            True,
        ),
    ],
)
def test_what_became_of_a_call_of_the_services_is_told_for_the_record(
    leg: ModelLeg,
    connection: FakeConnection,
    kind: str,
    outcome: dict[str, Any],
    output: str,
    failed: bool,
) -> None:
    connection.messages = [told(kind, CALL | outcome)]
    assert leg.receive() == [RemoteToolRan("mcp_1", "crm.find", CALL["arguments"], output, failed)]


def test_a_call_that_has_not_come_back_is_not_told(leg: ModelLeg, connection: FakeConnection) -> None:
    connection.messages = [told("response.output_item.done", CALL | {"output": None, "error": None})]
    assert leg.receive() == []


def test_a_server_whose_tools_cannot_be_had_is_told_to_the_operator(
    leg: ModelLeg, connection: FakeConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """The call goes on without them, and nobody would know why."""
    connection.messages = [json.dumps({"type": "mcp_list_tools.failed", "item_id": "i"}).encode()]
    assert leg.receive() == []
    assert "cannot be listed; one of: crm" in caplog.text


def test_other_items_of_the_conversation_are_none_of_ours(leg: ModelLeg, connection: FakeConnection) -> None:
    connection.messages = [
        told("conversation.item.done", {"type": "mcp_list_tools", "id": "i", "server_label": "crm"}),
        told("conversation.item.done", {"type": "message", "id": "i"}),
    ]
    assert leg.receive() == []
    assert connection.sent == []
