"""The conversation of a pretend session: its items in order, and what may be done to them."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from typing import Any

from callapp.simulators import ulaw
from callapp.simulators.model_errors import ClientError, encode_audio


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:20]}"


class Item:
    """One item.

    Args:
        body: as it stands in events; ``id``, ``object`` and ``status`` are filled in.
        audio: what was said, mu-law; of the caller or of the model.
    """

    def __init__(self, body: dict[str, Any], audio: bytes = b"") -> None:
        # Those of MCP have neither an object nor a status.
        common = {} if body["type"].startswith("mcp_") else {"object": "realtime.item", "status": "completed"}
        self.body: dict[str, Any] = {"id": new_id("item"), **common, **copy.deepcopy(body)}
        self.audio = bytearray(audio)
        self.truncated_ms: int | None = None

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def role(self) -> str | None:
        """Of a message; ``None`` for other items."""
        return self.body.get("role")

    @property
    def status(self) -> str:
        return str(self.body.get("status", "completed"))

    @property
    def text(self) -> str:
        """A message's words, a call's arguments or a tool's output."""
        if self.type == "message":
            parts = (part.get("text") or part.get("transcript") or "" for part in self.body["content"])
            return " ".join(part for part in parts if part)
        return str(self.body.get("arguments", self.body.get("output", "")))

    @property
    def tool_call_id(self) -> str | None:
        return self.body.get("call_id")

    @property
    def audio_ms(self) -> int:
        """How much audio it holds: heard, or produced and not truncated."""
        return len(self.audio) // ulaw.BYTES_PER_MS

    def wire(self) -> dict[str, Any]:
        """The item as it goes into an event; later changes do not reach it."""
        return copy.deepcopy(self.body)

    def wire_with_audio(self, audio_format: str) -> dict[str, Any]:
        """The same with its audio, as ``conversation.item.retrieved`` has it."""
        body = self.wire()
        if self.audio:
            body["content"][0]["audio"] = encode_audio(ulaw.from_ulaw(bytes(self.audio), audio_format))
        return body


class Conversation:
    """Items in order. Raises ``ClientError`` for what the API would refuse."""

    def __init__(self) -> None:
        self.id = new_id("conv")
        self._items: list[Item] = []
        self._answered: set[str] = set()

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def find(self, item_id: str) -> Item | None:
        return next((item for item in self._items if item.id == item_id), None)

    def insert(self, item: Item, after: str | None = None) -> str | None:
        """Add an item; return the id of the one before it.

        Args:
            item: of any type.
            after: the id of the item to follow, ``"root"`` for the start, ``None`` for the end.
        """
        at = len(self._items)
        if after == "root":
            at = 0
        elif after is not None:
            at = next((n for n, one in enumerate(self._items, 1) if one.id == after), -1)
            if at < 0:
                words = f"Previous item with id '{after}' does not exist."
                raise ClientError("invalid_value", words, "previous_item_id")
        self._items.insert(at, item)
        return self._items[at - 1].id if at else None

    def before(self, item: Item) -> str | None:
        """The id of the item before this one; ``None`` if it is the first, or deleted."""
        at = self._items.index(item) if item in self._items else 0
        return self._items[at - 1].id if at else None

    def create(self, item: Item, after: str | None) -> str | None:
        """Add an item a client made; return the id of the one before it."""
        if self.find(item.id) is not None:
            raise ClientError("invalid_value", f"An item with id '{item.id}' exists already.", "item.id")
        if item.type == "function_call_output":
            self._check_output(item)
        if item.type == "mcp_approval_response":
            self._check_approval(item)
        previous = self.insert(item, after)
        if item.type == "function_call_output":
            self._answered.add(str(item.tool_call_id))
        return previous

    @property
    def unanswered(self) -> list[str]:
        """Tool calls, by ``call_id``, that no output has answered."""
        calls = (str(item.tool_call_id) for item in self._items if item.type == "function_call")
        return [call for call in calls if call not in self._answered]

    @property
    def unapproved(self) -> list[str]:
        """Requests to approve a remote tool, by their ids, that nobody has answered: the model is stuck."""
        asked = (item.id for item in self._items if item.type == "mcp_approval_request")
        return [request for request in asked if request not in self._approvals]

    @property
    def _approvals(self) -> set[str]:
        responses = (item for item in self._items if item.type == "mcp_approval_response")
        return {str(response.body["approval_request_id"]) for response in responses}

    def _check_approval(self, response: Item) -> None:
        request = response.body["approval_request_id"]
        if request in self._approvals:
            words = f"Approval request '{request}' has been answered already."
            raise ClientError("invalid_value", words, "item.approval_request_id")
        if request not in self.unapproved:
            words = f"Approval request '{request}' not found in conversation."
            raise ClientError("invalid_value", words, "item.approval_request_id")

    def _check_output(self, item: Item) -> None:
        calls = {one.tool_call_id for one in self._items if one.type == "function_call"}
        if item.tool_call_id not in calls:
            words = f"Tool call ID '{item.tool_call_id}' not found in conversation."
            raise ClientError("invalid_tool_call_id", words, "item.call_id")
        if item.tool_call_id in self._answered:
            words = f"Tool call ID '{item.tool_call_id}' has an output already."
            raise ClientError("invalid_tool_call_id", words, "item.call_id")

    def delete(self, item_id: str) -> None:
        item = self.find(item_id)
        if item is None:
            words = f"Error deleting item: the item with id '{item_id}' does not exist."
            raise ClientError("item_delete_invalid_item_id", words, "item_id")
        self._items.remove(item)

    def retrieve(self, item_id: str) -> Item:
        item = self.find(item_id)
        if item is None:
            words = f"Error retrieving item: the item with id '{item_id}' does not exist."
            raise ClientError("item_retrieve_invalid_item_id", words, "item_id")
        return item

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """Cut the model's audio to what was heard, and forget its words."""
        item = self.find(item_id)
        if item is None:
            words = f"Error truncating item: the item with id '{item_id}' does not exist."
            raise ClientError("item_truncate_invalid_item_id", words, "item_id")
        if item.role != "assistant" or not item.audio:
            words = "Only model output audio messages can be truncated"
            raise ClientError("unsupported_content_type", words, "item_id")
        if content_index != 0:
            raise ClientError("invalid_value", "Invalid 'content_index': must be 0.", "content_index")
        if audio_end_ms <= 0:
            raise ClientError("invalid_value", "Invalid 'audio_end_ms': must be above 0.", "audio_end_ms")
        if audio_end_ms > item.audio_ms:
            words = f"Audio content of {item.audio_ms}ms is already shorter than {audio_end_ms}ms"
            raise ClientError("invalid_value", words)
        del item.audio[audio_end_ms * ulaw.BYTES_PER_MS :]
        item.truncated_ms = audio_end_ms
        item.body["content"][0]["transcript"] = ""
