"""The MCP servers of a pretend session: their tools are listed, approved, and called by the service itself.

    crm = McpServer({"find_customer": RemoteTool(lambda arguments: "Ms Tanaka")}, token="secret")
    with PretendModel(script, mcp_servers={"https://crm.example.com/mcp": crm}) as model: ...

https://developers.openai.com/api/docs/guides/realtime-mcp
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from callapp.simulators.model_errors import ClientError
from callapp.simulators.model_items import Item, new_id

if TYPE_CHECKING:
    from callapp.simulators.model_session import Session

_INVALID_PARAMS = -32602
_LISTED_AFTER_S = 0.02


class RemoteFailure(Exception):
    """Raised by a remote tool that could not do what it was asked to."""


@dataclass(frozen=True)
class RemoteTool:
    """A tool of a pretend MCP server; ``answer`` is given the arguments."""

    answer: Callable[[dict[str, Any]], str]
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    read_only: bool = False
    takes_ms: int = 0


@dataclass(frozen=True)
class McpServer:
    """A pretend MCP server. Without its ``token``, if it has one, nobody gets to see its tools."""

    tools: Mapping[str, RemoteTool]
    token: str | None = None


@dataclass(frozen=True)
class _Listed:
    """The servers of a session as it was told of them, and the tools of each once they are listed."""

    definition: Mapping[str, Any]
    tools: Mapping[str, RemoteTool] | None = None


class Mcp:
    """What a session has of remote tools; used by the session's thread only.

    Args:
        servers: those there are in the world, by URL.
    """

    def __init__(self, session: Session, servers: Mapping[str, McpServer]) -> None:
        self._session = session
        self._servers = servers
        self._listed: dict[str, _Listed] = {}

    # The configuration

    def completed(self, update: dict[str, Any]) -> dict[str, Any]:
        """An update in which a bare ``server_label`` stands for what the session knows of it.

        Raises:
            ClientError: it knows nothing, and is told nothing.
        """
        tools = update.get("tools")
        return update if tools is None else {**update, "tools": [self._complete(tool) for tool in tools]}

    def _complete(self, tool: dict[str, Any]) -> dict[str, Any]:
        if tool["type"] != "mcp" or any(tool.get(way) for way in ("server_url", "connector_id", "tunnel_id")):
            return tool
        known = self._listed.get(tool["server_label"])
        if known is None or set(tool) != {"type", "server_label"}:
            words = "One of 'server_url', 'connector_id' and 'tunnel_id' is required."
            raise ClientError("missing_required_parameter", words, "session.tools")
        return dict(known.definition)

    def configured(self) -> None:
        """The session's configuration may have changed: list what is new in it."""
        wanted = {t["server_label"]: t for t in self._session.config["tools"] if t["type"] == "mcp"}
        for label in self._listed.keys() - wanted.keys():
            del self._listed[label]
        for label, definition in wanted.items():
            if label not in self._listed or self._listed[label].definition != definition:
                self._list(label, definition)

    def _list(self, label: str, definition: dict[str, Any]) -> None:
        session = self._session
        self._listed[label] = _Listed(definition)
        item = Item({"id": new_id("mcpl"), "type": "mcp_list_tools", "server_label": label, "tools": []})
        previous = session.conversation.insert(item)
        session.emit("conversation.item.added", item=item.wire(), previous_item_id=previous)
        session.emit("mcp_list_tools.in_progress", item_id=item.id)
        session.later(_LISTED_AFTER_S, lambda: self._on_listed(label, definition, item, previous))

    def _on_listed(self, label: str, definition: dict[str, Any], item: Item, previous: str | None) -> None:
        session = self._session
        server = self._servers.get(definition.get("server_url") or "")
        if server is None or server.token not in (None, definition.get("authorization")):
            session.emit("mcp_list_tools.failed", item_id=item.id)
            return
        tools = {name: tool for name, tool in server.tools.items() if _allowed(definition, name, tool)}
        self._listed[label] = _Listed(definition, tools)
        item.body["tools"] = [
            {"name": name, "description": tool.description, "input_schema": dict(tool.input_schema)}
            for name, tool in tools.items()
        ]
        session.emit("mcp_list_tools.completed", item_id=item.id)
        session.emit("conversation.item.done", item=item.wire(), previous_item_id=previous)

    # The calls

    def tool(self, label: str, name: str) -> RemoteTool:
        """A tool that the model can call.

        Raises:
            LookupError: it cannot: the session has none of this name, or not yet.
        """
        listed = self._listed.get(label)
        if listed is None or listed.tools is None or name not in listed.tools:
            raise LookupError(f"the session has no tool {name!r} of a server {label!r} that was listed")
        return listed.tools[name]

    def needs_approval(self, label: str, name: str) -> bool:
        """Whether the client is asked before this tool runs."""
        rule = self._listed[label].definition.get("require_approval") or "always"
        if isinstance(rule, str):
            return rule == "always"
        tool = self.tool(label, name)
        return not _matches(rule.get("never", {}), name, tool) or _matches(rule.get("always", {}), name, tool)

    def run(self, label: str, name: str, arguments: str) -> dict[str, Any]:
        """Call a tool; return ``output`` or ``error`` of the item that stands for the call."""
        try:
            given = json.loads(arguments)
        except ValueError:
            error = {"type": "protocol_error", "code": _INVALID_PARAMS, "message": "Invalid arguments"}
            return {"error": error}
        try:
            return {"output": self.tool(label, name).answer(given)}
        except RemoteFailure as failure:
            return {"error": {"type": "tool_execution_error", "message": str(failure)}}

    def returned(self, item: Item, outcome: dict[str, Any], output_index: int) -> None:
        """A call is done: tell the client, and the model when it speaks next."""
        item.body |= outcome
        how = "failed" if "error" in outcome else "completed"
        self._session.emit(f"response.mcp_call.{how}", item_id=item.id, output_index=output_index)
        self._session.answering.take_remote_output(item)

    def approved(self, request: Item, response: Item) -> None:
        """The client has answered a request; a call that it approves is made now, outside any response."""
        if not response.body["approve"]:
            return
        session, asked = self._session, request.body
        told = {name: asked[name] for name in ("server_label", "name", "arguments")}
        item = Item({"id": new_id("mcp"), "type": "mcp_call", **told, "approval_request_id": request.id})
        previous = session.conversation.insert(item)
        session.emit("conversation.item.added", item=item.wire(), previous_item_id=previous)
        session.emit("response.mcp_call.in_progress", item_id=item.id, output_index=0)

        def come_back() -> None:
            self.returned(item, self.run(*told.values()), 0)
            session.emit("conversation.item.done", item=item.wire(), previous_item_id=previous)

        session.later(self.tool(told["server_label"], told["name"]).takes_ms / 1000, come_back)


def _allowed(definition: Mapping[str, Any], name: str, tool: RemoteTool) -> bool:
    allowed = definition.get("allowed_tools")
    if allowed is None:
        return True
    return name in allowed if isinstance(allowed, list) else _matches(allowed, name, tool)


def _matches(rule: Mapping[str, Any], name: str, tool: RemoteTool) -> bool:
    """Whether a filter names a tool: by its name, or as one that only reads."""
    return name in rule.get("tool_names", ()) or (bool(rule.get("read_only")) and tool.read_only)
