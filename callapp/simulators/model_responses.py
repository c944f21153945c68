"""One response of a pretend session: its outputs turned into events, at the pace of generation.

A response is a generator that yields how long to wait before it goes on. The session's timer drives
it, so a response costs no thread and a cancel takes effect at once.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from callapp.simulators.model_config import format_fields
from callapp.simulators.model_items import Item, new_id
from callapp.simulators.model_outputs import CalledItem, OpenItem, SpokenItem, WrittenItem
from callapp.simulators.model_script import Ask, Call, CutOff, Fail, McpCall, Output, Pace, Say

if TYPE_CHECKING:
    from callapp.simulators.model_session import Session

Steps = Generator[float, None, None]


class Response:
    """A response from its request to ``response.done``; used by the session's thread only.

    Args:
        session: whose response it is.
        ask: what it was asked for; the script has been consulted with it.
        outputs: what it does, in order.
        ended: called once, when ``response.done`` has been sent.
    """

    def __init__(
        self, session: Session, ask: Ask, outputs: list[Output], ended: Callable[[Response], None]
    ) -> None:
        self.id = new_id("resp")
        self.in_conversation = ask.payload.get("conversation") != "none"
        self.created = False
        self.done = False
        self.audio_ms = 0
        self._session = session
        self._payload = ask.payload
        self._outputs = outputs
        self._ended = ended
        self._items: list[Item] = []
        self._open: OpenItem | None = None
        self._late: OpenItem | None = None
        self._due_s = time.monotonic()
        self._steps = self._run()

    @property
    def text_only(self) -> bool:
        modalities = self._payload.get("output_modalities", self._session.config["output_modalities"])
        return bool(modalities == ["text"])

    @property
    def audio_format(self) -> str:
        own = self._payload.get("audio", {}).get("output", {}).get("format")
        return str((own or self._session.config["audio"]["output"]["format"])["type"])

    def advance(self) -> None:
        """Do all that is due, and ask the session to come back when more is."""
        now = time.monotonic()
        while not self.done and self._due_s <= now and self._session.serving:
            self._due_s += next(self._steps, 0.0)
        if not self.done:
            self._session.at(self._due_s, self.advance)

    def cancel(self, reason: str) -> None:
        """Stop now; what is open ends ``incomplete``. Before ``response.created`` it does nothing."""
        if not self.created or self.done:
            return
        self._steps.close()
        if self._open is not None:
            for _ in range(self._open.pace.late_deltas):
                self._open.advance()
        self._finish_late()
        if self._open is not None:
            self._open.finish("incomplete")
        self._end("cancelled", {"type": "cancelled", "reason": reason})

    # The run

    def _run(self) -> Steps:
        pace = self._pace_of(self._outputs[0] if self._outputs else None)
        yield pace.created_after_ms / 1000
        self.created = True
        self._emit_response("response.created", "in_progress", None, None)
        for output in self._outputs:
            match output:
                case Say():
                    yield from self._say(output)
                case Call():
                    yield from self._call(output)
                case McpCall():
                    yield from self._call_remotely(output)
                case Fail(code=code, message=message, type=kind):
                    self._finish_late()
                    error = {"type": kind, "code": code, "message": message}
                    self._end("failed", {"type": "failed", "error": error})
                    return
                case CutOff(reason=reason):
                    self._finish_late()
                    self._end("incomplete", {"type": "incomplete", "reason": reason})
                    return
                case fault:
                    self._session.strike(fault)
                    yield 0.0  # A stall holds the rest back.
        self._finish_late()
        self._end("completed", None)

    def _say(self, say: Say) -> Steps:
        pace = self._pace_of(say)
        yield pace.first_delta_after_ms / 1000
        clip = self._session.clip_of(say)
        body: dict[str, Any] = {"type": "message", "role": "assistant", "content": []}
        if say.phase is not None:
            body["phase"] = say.phase
        item = self._add(body)
        spoken: OpenItem = (
            WrittenItem(self, item, pace, clip) if self.text_only else SpokenItem(self, item, pace, clip)
        )
        yield from self._produce(spoken)

    def _call(self, call: Call) -> Steps:
        pace = self._pace_of(call)
        yield pace.first_delta_after_ms / 1000
        body = {"type": "function_call", "call_id": new_id("call"), "name": call.name, "arguments": ""}
        yield from self._produce(CalledItem(self, self._add(body), pace, _arguments(call)))

    def _call_remotely(self, call: McpCall) -> Steps:
        pace = self._pace_of(call)
        yield pace.first_delta_after_ms / 1000
        self._finish_late()
        mcp, label, arguments = self._session.mcp, call.server_label, _arguments(call)
        tool = mcp.tool(label, call.name)
        body = {"server_label": label, "name": call.name}
        if mcp.needs_approval(label, call.name):
            asked = {"id": new_id("mcpr"), "type": "mcp_approval_request", **body, "arguments": arguments}
            self.item_done(self._add(asked), "completed")
            return
        item = self._add({"id": new_id("mcp"), "type": "mcp_call", **body, "arguments": ""})
        self._open = opened = OpenItem(self, item, pace)
        item.body["arguments"] = arguments
        if arguments:
            self._emit_of(item, "response.mcp_call_arguments.delta", delta=arguments)
        self._emit_of(item, "response.mcp_call_arguments.done", arguments=arguments)
        index = self._items.index(item)
        self._session.emit("response.mcp_call.in_progress", item_id=item.id, output_index=index)
        yield tool.takes_ms / 1000
        mcp.returned(item, mcp.run(label, call.name, arguments), index)
        self._open = None
        opened.finish("completed")

    def _produce(self, output: OpenItem) -> Steps:
        self._open = output
        output.begin()
        while (took_ms := output.advance()) is not None:
            self._finish_late()
            if math.isfinite(output.pace.speed):
                yield took_ms / 1000 / output.pace.speed
        self._finish_late()
        self._open = None
        if output.pace.late_done:
            self._late = output
        else:
            output.finish("completed")

    def _pace_of(self, output: Output | None) -> Pace:
        own = output.pace if isinstance(output, (Say, Call, McpCall)) else None
        return own or self._session.pace

    def _add(self, body: dict[str, Any]) -> Item:
        item = Item(body if body["type"].startswith("mcp_") else {**body, "status": "in_progress"})
        self._items.append(item)
        index = len(self._items) - 1
        self._emit("response.output_item.added", output_index=index, item=item.wire())
        if self.in_conversation:
            previous = self._session.conversation.insert(item)
            self._session.emit("conversation.item.added", previous_item_id=previous, item=item.wire())
        return item

    def _finish_late(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            late.finish("completed")

    def item_done(self, item: Item, status: str) -> None:
        """Send the two events that end an item."""
        if "status" in item.body:
            item.body["status"] = status
        if self.in_conversation:
            previous = self._session.conversation.before(item)
            self._session.emit("conversation.item.done", previous_item_id=previous, item=item.wire())
        self._emit("response.output_item.done", output_index=self._items.index(item), item=item.wire())

    def _end(self, status: str, details: dict[str, Any] | None) -> None:
        self.done = True
        usage = self._session.answering.usage(self._items)
        self._emit_response("response.done", status, details, usage)
        self._ended(self)

    def _emit(self, event_type: str, **fields: Any) -> None:
        self._session.emit(event_type, response_id=self.id, **fields)

    def emit_part(self, event_type: str, item: Item, **fields: Any) -> None:
        self._emit_of(item, event_type, content_index=0, **fields)

    def emit_arguments(self, event_type: str, item: Item, **fields: Any) -> None:
        self._emit_of(item, event_type, call_id=item.tool_call_id, **fields)

    def _emit_of(self, item: Item, event_type: str, **fields: Any) -> None:
        self._emit(event_type, item_id=item.id, output_index=self._items.index(item), **fields)

    def _emit_response(
        self, event_type: str, status: str, details: dict[str, Any] | None, usage: dict[str, Any] | None
    ) -> None:
        session, payload = self._session, self._payload
        voice = (
            payload.get("audio", {})
            .get("output", {})
            .get("voice", session.config["audio"]["output"]["voice"])
        )
        output_format = format_fields(self.audio_format)
        response = {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [item.wire() for item in self._items] if event_type == "response.done" else [],
            "conversation_id": session.conversation.id if self.in_conversation else None,
            "output_modalities": ["text"] if self.text_only else ["audio"],
            "max_output_tokens": payload.get("max_output_tokens", session.config["max_output_tokens"]),
            "audio": {
                "output": {
                    "format": output_format,
                    "voice": voice["id"] if isinstance(voice, dict) else voice,
                }
            },
            "metadata": payload.get("metadata"),
            "usage": usage,
        }
        session.emit(event_type, response=response)


def _arguments(call: Call | McpCall) -> str:
    given = call.arguments
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
