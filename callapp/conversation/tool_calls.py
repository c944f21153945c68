"""The model's tool calls: each is answered exactly once, whatever becomes of the tool.

Calls made in one response are a batch: when the response is over and all of them are answered,
the model is asked once to go on. A batch is a *round*; a model that goes round and round while the
caller says nothing is stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TOOL_MS = 15_000
# So many rounds may follow one another without a word of the caller.
MOST_ROUNDS = 8


@dataclass(slots=True)
class Call:
    """One call of a tool."""

    name: str
    response_id: str
    since_ms: float
    deadline_ms: float
    answered: bool = False
    taken: bool = False
    silent: bool = False


class ToolCalls:
    """The tool calls of one phone call."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        # Open calls of sessions that are gone, and until when they may take.
        self._left: dict[str, float] = {}
        self._rounds: set[str] = set()  # since the caller last spoke: responses that called tools

    @property
    def looping(self) -> bool:
        """Whether the model has used up its rounds: no tool is run until the caller speaks."""
        return len(self._rounds) > MOST_ROUNDS

    def caller_spoke(self) -> None:
        """Whatever the tools are used for now, somebody has asked for it."""
        self._rounds.clear()

    def count_round(self, name: str) -> None:
        """Count a round once, by its response."""
        self._rounds.add(name)

    def open(self, tool_call_id: str, name: str, response_id: str, at_ms: float) -> bool:
        """Note a call. False when it is known already: a call is told more than once."""
        if tool_call_id in self._calls:
            return False
        self._calls[tool_call_id] = Call(name, response_id, at_ms, at_ms + TOOL_MS)
        self.count_round(response_id)
        return True

    def wait_for_caller(self, tool_call_id: str) -> None:
        """Let a call stay open: it waits for the caller, who has no deadline of ours."""
        self._calls[tool_call_id].deadline_ms = math.inf

    def answer(self, tool_call_id: str, *, silent: bool = False) -> Call | None:
        """Close a call and return it, or ``None`` when there is nothing left to answer.

        Args:
            silent: the answer gives the model nothing to speak about.
        """
        self._left.pop(tool_call_id, None)
        call = self._open.get(tool_call_id)
        if call is not None:
            call.answered = True
            call.silent = silent
        return call

    def taken(self, tool_call_id: str) -> None:
        """The output stands in the model's conversation."""
        if tool_call_id in self._calls:
            self._calls[tool_call_id].taken = True

    @property
    def all_taken(self) -> bool:
        """Whether no output is still on its way into the model's conversation."""
        return all(call.taken for call in self._calls.values() if call.answered)

    def abandon(self) -> list[tuple[str, str]]:
        """Forget all calls but until when they may take: their session is gone.

        Returns:
            Those still open, with their names.
        """
        left = [(tool_call_id, call.name) for tool_call_id, call in self._open.items()]
        self._left = self._deadlines
        self._calls.clear()
        return left

    def response_of(self, tool_call_id: str) -> str | None:
        """The response that made a call which is still open."""
        call = self._open.get(tool_call_id)
        return None if call is None else call.response_id

    def made_by(self, response_id: str) -> bool:
        """Whether the response made calls."""
        return any(call.response_id == response_id for call in self._calls.values())

    def batch_done(self, response_id: str) -> bool:
        """Whether the response made calls, all are answered, and the model has something to go on from."""
        batch = [call for call in self._calls.values() if call.response_id == response_id]
        return all(call.answered for call in batch) and any(not call.silent for call in batch)

    @property
    def pending(self) -> bool:
        """Whether a call is open."""
        return bool(self._open)

    @property
    def running_since_ms(self) -> float:
        """Since when a tool has been at work; one that waits for the caller is not. Infinite if none is."""
        return min(
            (call.since_ms for call in self._open.values() if call.deadline_ms < math.inf), default=math.inf
        )

    def expired(self, at_ms: float) -> list[str]:
        """Calls that should have been answered by now, also those that a lost session has left."""
        return [tool_call_id for tool_call_id, until_ms in self._deadlines.items() if at_ms >= until_ms]

    @property
    def deadline_ms(self) -> float:
        """When the next open call expires."""
        return min(self._deadlines.values(), default=math.inf)

    @property
    def _deadlines(self) -> dict[str, float]:
        return self._left | {tool_call_id: call.deadline_ms for tool_call_id, call in self._open.items()}

    @property
    def _open(self) -> dict[str, Call]:
        return {tool_call_id: call for tool_call_id, call in self._calls.items() if not call.answered}
