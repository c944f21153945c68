"""The model's tool calls: each is answered exactly once, whatever becomes of the tool.

Calls made in one response are a batch: when the response is over and all of them are answered,
the model is asked once to go on.
"""

from __future__ import annotations

from dataclasses import dataclass

TOOL_MS = 15_000


@dataclass(slots=True)
class _Call:
    response_id: str
    deadline_ms: float
    answered: bool = False


class ToolCalls:
    """The tool calls of one phone call."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    def open(self, tool_call_id: str, response_id: str, at_ms: float) -> bool:
        """Note a call. False when it is known already: a call is told more than once."""
        if tool_call_id in self._calls:
            return False
        self._calls[tool_call_id] = _Call(response_id, at_ms + TOOL_MS)
        return True

    def answer(self, tool_call_id: str) -> str | None:
        """Close a call; return its response, or ``None`` when there is nothing left to answer."""
        call = self._calls.get(tool_call_id)
        if call is None or call.answered:
            return None
        call.answered = True
        return call.response_id

    def response_of(self, tool_call_id: str) -> str | None:
        """The response that made a call which is still open."""
        call = self._calls.get(tool_call_id)
        return None if call is None or call.answered else call.response_id

    def batch_done(self, response_id: str) -> bool:
        """Whether the response made calls and all of them are answered."""
        batch = [call.answered for call in self._calls.values() if call.response_id == response_id]
        return bool(batch) and all(batch)

    def expired(self, at_ms: float) -> list[str]:
        """Calls that should have been answered by now."""
        return [
            tool_call_id
            for tool_call_id, call in self._calls.items()
            if not call.answered and at_ms >= call.deadline_ms
        ]

    @property
    def deadline_ms(self) -> float | None:
        """When the next open call expires."""
        return min(
            (c.deadline_ms for c in self._calls.values() if not c.answered),
            default=None,
        )
