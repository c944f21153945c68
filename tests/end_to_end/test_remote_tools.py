"""Remote MCP servers: OpenAI calls them by itself, and callapp says which of their tools may run."""

from __future__ import annotations

from typing import Any

from callapp.simulators.model_mcp import McpServer, RemoteFailure, RemoteTool
from callapp.simulators.model_script import Ask, McpCall, Output, Say, Script
from callapp.simulators.phone import Callee, HangUp, Hear
from callapp.simulators.phone import Say as Speak
from tests.stage import CRM_TOKEN, Scene, Server, kinds_received, words

QUESTION = words("Where is my order?", 400)
LOOKING = words("One moment, I am looking it up.", 700)
ANSWER = words("It comes tomorrow, Ms Tanaka.", 700)
SORRY = words("I cannot do that by phone.", 600)
FIND = McpCall("crm", "find_customer", {"phone": "+81"})


def erase(_: dict[str, Any]) -> str:
    raise AssertionError("nobody may call this")


def out_of_order(_: dict[str, Any]) -> str:
    raise RemoteFailure("the stock is being counted")


SERVERS = {
    "https://crm.example.com/mcp": McpServer(
        {"find_customer": RemoteTool(lambda _: "Ms Tanaka"), "erase": RemoteTool(erase)}, token=CRM_TOKEN
    ),
    "https://stock.example.com/mcp": McpServer(
        {"count": RemoteTool(lambda _: "7 left"), "reset": RemoteTool(erase)}
    ),
}


def play(scene: Scene, *heard_ms: int) -> list[tuple[str, Any, str, str]]:
    """Ask, listen for so long to one answer after the other, hang up; what the record says of the tools."""
    callee = Callee([Speak(QUESTION), *map(Hear, heard_ms), HangUp()])
    call = scene.ring(callee, agent="remote")
    assert scene.ending(call).reason == "caller.hung_up"
    assert callee.failure is None
    runs = scene.server.record(call.sid, lambda seen: seen["status"] == "completed")["toolRuns"]
    return [(run["name"], run["arguments"], run["output"], run["outcome"]) for run in runs]


def script(told: list[dict[str, str]], *first: Output) -> Script:
    """A model that speaks of what its tools told it."""

    def then(ask: Ask) -> Say:
        told.append(dict(ask.remote_outputs))
        return Say(ANSWER if ask.remote_outputs else SORRY)

    return Script(list(first), then)


def test_a_tool_that_may_run_is_approved_and_its_answer_spoken_of(one_line: Server) -> None:
    told: list[dict[str, str]] = []
    with one_line.scene(script(told, Say(LOOKING), FIND), mcp_servers=SERVERS) as scene:
        runs = play(scene, 600, 600)
        assert runs == [("crm.find_customer", {"phone": "+81"}, "Ms Tanaka", "ok")]
        session = scene.session()
        crm, stock = session.received_events("session.update")[0]["session"]["tools"][1:]
        assert (crm["require_approval"], crm["authorization"]) == ("always", CRM_TOKEN)
        assert (stock["require_approval"], stock["allowed_tools"]) == ("never", ["count"])
        assert kinds_received(session) == ["session.update", "conversation.item.create", "response.create"]
        (answer,) = session.received_events("conversation.item.create")
        assert answer["item"]["approve"] is True
        assert session.conversation.unapproved == []
        assert told == [{"find_customer": "Ms Tanaka"}]
        assert "= remote tool find_customer of crm: approved" in "\n".join(one_line.lines[scene.since :])


def test_a_tool_that_may_not_run_is_refused_and_the_caller_gets_an_answer(one_line: Server) -> None:
    """Without another response the model would wait for an approval, and the caller for the model."""
    told: list[dict[str, str]] = []
    with one_line.scene(script(told, McpCall("crm", "erase")), mcp_servers=SERVERS) as scene:
        play(scene, 500)
        session = scene.session()
        (answer,) = session.received_events("conversation.item.create")
        assert answer["item"]["approve"] is False
        assert "may not be used" in answer["item"]["reason"]
        assert len(session.received_events("response.create")) == 1
        assert told == [{}]


def test_a_tool_that_runs_unasked_needs_no_further_response_if_its_own_goes_on(one_line: Server) -> None:
    """Two answers to one question are one too many."""
    count = McpCall("stock", "count")
    with one_line.scene(Script([Say(LOOKING), count, Say(ANSWER)]), mcp_servers=SERVERS) as scene:
        play(scene, 1_200)
        assert kinds_received(scene.session()) == ["session.update"]


def test_a_response_that_ends_with_a_tool_is_followed_by_another(one_line: Server) -> None:
    told: list[dict[str, str]] = []
    with one_line.scene(script(told, McpCall("stock", "count")), mcp_servers=SERVERS) as scene:
        play(scene, 600)
        assert kinds_received(scene.session()) == ["session.update", "response.create"]
        assert told == [{"count": "7 left"}]


def test_a_tool_that_fails_is_spoken_of_too(one_line: Server) -> None:
    told: list[dict[str, str]] = []
    servers = SERVERS | {"https://stock.example.com/mcp": McpServer({"count": RemoteTool(out_of_order)})}
    with one_line.scene(script(told, McpCall("stock", "count")), mcp_servers=servers) as scene:
        ((name, _, output, outcome),) = play(scene, 600)
        assert (name, outcome) == ("stock.count", "error")
        assert "the stock is being counted" in output
        assert told == [{"count": "the stock is being counted"}]


def test_a_server_that_does_not_let_us_in_costs_its_tools_and_no_more(one_line: Server) -> None:
    servers = {url: McpServer(server.tools, token="changed") for url, server in SERVERS.items()}
    with one_line.scene(Script(Say(SORRY)), mcp_servers=servers) as scene:
        play(scene, 500)
        assert any("cannot be listed" in line for line in scene.warnings())
