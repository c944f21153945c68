"""Remote MCP tools of the pretend model: listed, called and asked about as the reference has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from callapp.simulators.model import PretendModel
from callapp.simulators.model_mcp import McpServer, RemoteFailure, RemoteTool
from callapp.simulators.model_script import INSTANT, Ask, McpCall, Output, Say, Script
from tests.simulators.realtime_client import MODEL, PCMU, Client

URL = "https://crm.example.com/mcp"
CRM = {"type": "mcp", "server_label": "crm", "server_url": URL, "authorization": "secret"}


def find(arguments: dict[str, Any]) -> str:
    return f"Ms Tanaka, {arguments['phone']}"


def delete(_: dict[str, Any]) -> str:
    raise RemoteFailure("not allowed")


SERVER = McpServer(
    {
        "find": RemoteTool(find, "Find a customer.", read_only=True),
        "delete": RemoteTool(delete),
    },
    token="secret",
)
FIND = McpCall("crm", "find", {"phone": "+81"})
DONE = Say("Done.")
Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:

        def begin(*outputs: Output, then: Any = DONE) -> Client:
            script = Script(list(outputs), then)
            model = PretendModel(script, pace=INSTANT, mcp_servers={URL: SERVER})
            stack.enter_context(model)
            return stack.enter_context(Client(model.url + MODEL))

        yield begin


def listed(client: Client, **changes: Any) -> dict[str, Any]:
    """Configure the server; return the item that lists its tools."""
    client.update(**PCMU, tools=[CRM | changes])
    client.next("mcp_list_tools.completed")
    item: dict[str, Any] = client.next("conversation.item.done")["item"]
    return item


def respond(client: Client) -> dict[str, Any]:
    client.send("response.create")
    response: dict[str, Any] = client.next("response.done")["response"]
    return response


def test_the_tools_of_a_server_are_listed_once_it_is_in_the_session(connect: Connect) -> None:
    client = connect()
    item = listed(client)
    assert (item["type"], item["server_label"]) == ("mcp_list_tools", "crm")
    assert [tool["name"] for tool in item["tools"]] == ["find", "delete"]
    assert item["tools"][0]["description"] == "Find a customer."
    assert client.types()[2:] == [
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "conversation.item.done",
    ]


@pytest.mark.parametrize("allowed", [["find"], {"tool_names": ["find"]}, {"read_only": True}])
def test_only_the_tools_that_are_allowed_are_listed(connect: Connect, allowed: Any) -> None:
    assert [tool["name"] for tool in listed(connect(), allowed_tools=allowed)["tools"]] == ["find"]


@pytest.mark.parametrize("changes", [{"authorization": "guessed"}, {"server_url": "https://nowhere/mcp"}])
def test_a_server_that_cannot_be_had_fails_to_be_listed_and_no_more(
    connect: Connect, changes: dict[str, str]
) -> None:
    client = connect(Say("Hello."))
    client.update(**PCMU, tools=[CRM | changes])
    client.next("mcp_list_tools.failed")
    assert respond(client)["status"] == "completed"


def test_a_label_alone_stands_for_what_the_session_knows(connect: Connect) -> None:
    client = connect()
    listed(client)
    bare = {"type": "mcp", "server_label": "crm"}
    assert client.update(tools=[bare])["tools"] == [CRM]
    client.send("session.update", session={"type": "realtime", "tools": [bare | {"server_label": "other"}]})
    assert client.error()["code"] == "missing_required_parameter"


def test_a_tool_that_needs_no_approval_is_called_within_the_response(connect: Connect) -> None:
    client = connect(FIND, Say("She is Ms Tanaka."))
    listed(client, require_approval="never")
    before = len(client.events)
    response = respond(client)
    call, said = response["output"]
    assert (call["type"], call["name"], call["output"]) == ("mcp_call", "find", "Ms Tanaka, +81")
    assert said["type"] == "message"
    kinds = [event["type"] for event in client.events[before:]]
    assert kinds[:9] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
    ]


def test_a_tool_that_fails_says_how(connect: Connect) -> None:
    client = connect(McpCall("crm", "delete"), McpCall("crm", "find", '{"phone": '))
    listed(client, require_approval="never")
    failed, invalid = respond(client)["output"]
    assert failed["error"] == {"type": "tool_execution_error", "message": "not allowed"}
    assert invalid["error"]["type"] == "protocol_error"
    assert len(client.of_type("response.mcp_call.failed")) == 2


def test_a_tool_that_needs_approval_waits_for_it_and_runs_outside_the_response(connect: Connect) -> None:
    told: list[dict[str, str]] = []

    def then(ask: Ask) -> Say:
        told.append(dict(ask.remote_outputs))
        return Say("She is Ms Tanaka.")

    client = connect(FIND, then=then)
    listed(client)  # "always" is the default
    (request,) = respond(client)["output"]
    assert request["type"] == "mcp_approval_request"
    assert request["arguments"] == '{"phone": "+81"}'
    answer = {
        "type": "mcp_approval_response",
        "id": "approval_1",
        "approval_request_id": request["id"],
        "approve": True,
    }
    client.send("conversation.item.create", item=answer)
    client.next("response.mcp_call.completed")
    call = client.next("conversation.item.done")["item"]
    assert (call["output"], call["approval_request_id"]) == ("Ms Tanaka, +81", request["id"])
    respond(client)
    assert told == [{"find": "Ms Tanaka, +81"}]
    client.send("conversation.item.create", item=answer | {"id": "approval_2"})
    assert "answered already" in client.next("error")["error"]["message"]


def test_a_tool_that_is_refused_does_not_run(connect: Connect) -> None:
    client = connect(FIND)
    listed(client)
    (request,) = respond(client)["output"]
    refusal = {"approval_request_id": request["id"], "approve": False, "reason": "No."}
    client.send(
        "conversation.item.create", item={"type": "mcp_approval_response", "id": "approval_1", **refusal}
    )
    client.next("conversation.item.done")
    respond(client)
    assert client.of_type("response.mcp_call.in_progress") == []


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        ("never", []),
        ({"never": {"read_only": True}}, ["delete"]),
        ({"never": {"tool_names": ["delete"]}}, ["find"]),
        ({"always": {"tool_names": ["delete"]}}, ["find", "delete"]),
    ],
)
def test_the_rule_says_which_tools_are_asked_about(connect: Connect, rule: Any, asked: list[str]) -> None:
    client = connect(FIND, McpCall("crm", "delete"))
    listed(client, require_approval=rule)
    output = respond(client)["output"]
    assert [item["name"] for item in output if item["type"] == "mcp_approval_request"] == asked
