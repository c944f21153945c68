"""What became of each tool that the model called: told once, when it is over."""

from __future__ import annotations

import json
from dataclasses import dataclass

from callapp.conversation.events import RemoteToolRan, ToolCalled
from callapp.conversation.facts import Fact, ToolOutcome, ToolRan
from callapp.conversation.tool_rounds import TOO_SLOW


@dataclass(slots=True)
class _Run:
    name: str
    arguments: str
    at_ms: float
    started_ms: float | None = None
    returned_ms: float | None = None
    over: bool = False


class ToolRuns:
    """The tools of one call, for the chronicle.

    Args:
        facts: where what is told is added.
    """

    def __init__(self, facts: list[Fact]) -> None:
        self._facts = facts
        self._runs: dict[str, _Run] = {}
        self._remote: dict[str, float] = {}  # since when the service runs a tool, by item
        self._remote_over: set[str] = set()

    def called(self, call: ToolCalled, at_ms: float) -> None:
        """The model calls a tool. A call is told more than once."""
        self._runs.setdefault(call.tool_call_id, _Run(call.name, call.arguments, at_ms))

    def started(self, tool_call_id: str, at_ms: float) -> None:
        """The tool is being run."""
        self._runs[tool_call_id].started_ms = at_ms

    def returned(self, tool_call_id: str, at_ms: float) -> None:
        """The tool is done; what the model is told of it may come later."""
        run = self._runs.get(tool_call_id)
        if run is not None and run.returned_ms is None:
            run.returned_ms = at_ms

    def answered(self, tool_call_id: str, output: str, sensitive: bool, at_ms: float) -> None:
        """The model was told what came of it, by the call's answer or otherwise."""
        run = self._runs.get(tool_call_id)
        if run is None or run.over:
            return
        outcome: ToolOutcome = "ok"
        if output == TOO_SLOW:
            outcome = "timeout"
        elif run.started_ms is None:
            outcome = "not_run"
        elif _says_error(output):
            outcome = "error"
        self._over(tool_call_id, run, None if sensitive else output, outcome, at_ms)

    def remote_called(self, item_id: str, at_ms: float) -> None:
        """The service runs a tool by itself."""
        self._remote[item_id] = at_ms

    def remote_ran(self, ran: RemoteToolRan, at_ms: float) -> None:
        """The service tells what became of it."""
        if ran.item_id in self._remote_over:
            return
        self._remote_over.add(ran.item_id)
        since_ms = self._remote.pop(ran.item_id, at_ms)
        outcome: ToolOutcome = "error" if ran.failed else "ok"
        self._facts.append(
            ToolRan(since_ms, ran.item_id, ran.name, ran.arguments, ran.output, outcome, at_ms - since_ms)
        )

    def call_ended(self, at_ms: float) -> None:
        """Nobody waits for the rest any more."""
        for tool_call_id, run in self._runs.items():
            if not run.over:
                outcome: ToolOutcome = "not_run" if run.started_ms is None else "abandoned"
                self._over(tool_call_id, run, None, outcome, at_ms)

    def _over(
        self, tool_call_id: str, run: _Run, output: str | None, outcome: ToolOutcome, at_ms: float
    ) -> None:
        run.over = True
        duration_ms = 0.0
        if run.started_ms is not None:
            duration_ms = (at_ms if run.returned_ms is None else run.returned_ms) - run.started_ms
        self._facts.append(
            ToolRan(run.at_ms, tool_call_id, run.name, run.arguments, output, outcome, duration_ms)
        )


def _says_error(output: str) -> bool:
    """Whether a tool's answer is one that tells the model what went wrong."""
    if not output.startswith("{"):
        return False
    try:
        return "error" in json.loads(output)
    except ValueError:
        return False
