"""What happened on a call, in the order in which it happened: the words and, between them, the rest. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from callapp.call_log.documents import CallEvent, ToolRun, Utterance, WholeCall

Kind = Literal["said", "tool", "event"]


@dataclass(frozen=True)
class Moment:
    """A line of the story.

    Args:
        key: names it, within this call.
        unsaid: what the agent had meant to say and nobody heard.
    """

    key: str
    kind: Kind
    at_ms: int
    utterance: Utterance | None = None
    unsaid: str = ""
    tool_run: ToolRun | None = None
    arguments: str = ""
    event: CallEvent | None = None


def tell(call: WholeCall) -> list[Moment]:
    """All that is known, by time."""
    meant = {str(one.detail.get("itemId")): str(one.detail.get("meant")) for one in _cuts(call)}
    moments = [
        Moment(
            f"said-{utterance.item_id}",
            "said",
            utterance.start_ms,
            utterance=utterance,
            unsaid=_unsaid(utterance.text or "", meant.get(utterance.item_id, "")),
        )
        for utterance in call.utterances
    ]
    moments += [
        Moment(f"tool-{number}", "tool", run.start_ms, tool_run=run, arguments=as_text(run.arguments))
        for number, run in enumerate(call.tool_runs)
    ]
    moments += [
        Moment(f"event-{number}", "event", event.at_ms, event=event)
        for number, event in enumerate(one for one in call.events if one.type != "cut")
    ]
    return sorted(moments, key=lambda moment: moment.at_ms)


def as_text(value: Any) -> str:
    """A text as it is, any other value as JSON that people can read."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cuts(call: WholeCall) -> list[CallEvent]:
    return [event for event in call.events if event.type == "cut"]


def _unsaid(heard: str, meant: str) -> str:
    """The rest of what was meant; what was heard can end within a word."""
    same = 0
    while heard[same : same + 1] == meant[same : same + 1] != "":
        same += 1
    return meant[same:]
