"""The built-in tool that puts the caller through to a person."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from callapp.conversation.wishes import Transfer
from callapp.errors import ToolError
from callapp.tools.declare import CallContext, tool

LONGEST_SUMMARY = 600


@tool
def transfer_call(destination: str, call: CallContext, warm: bool = False, summary: str = "") -> Transfer:
    """Put the caller through to a person. Call this when they ask for one, or need what only a person
    can do. Say in the same turn that you are putting them through, and to whom; they leave once they
    have heard it. If nobody takes the call, the caller comes back to you and you are told why.

    Args:
        destination: Who is to take the call.
        warm: True if the person should first hear what it is about and may decline; the caller hears
            music meanwhile. False rings them at once and joins them to the caller.
        summary: For a warm transfer: what the person has to know, in two or three short sentences, as you
            would say it to them: who calls, what they want, what has been said.
    """
    if destination not in call.destinations:
        known = ", ".join(call.destinations) or "nobody"
        raise ToolError(
            f"There is no destination {destination[:64]!r}. You can put callers through to: {known}."
        )
    return Transfer(destination, warm, " ".join(summary.split())[:LONGEST_SUMMARY])


def name_destinations(
    definitions: Sequence[dict[str, Any]], destinations: Sequence[str]
) -> list[dict[str, Any]]:
    """What the model is told of its tools, with the destinations that its agent has."""
    named = []
    for definition in definitions:
        if definition["name"] == transfer_call.__name__:
            definition = deepcopy(definition)
            definition["parameters"]["properties"]["destination"]["enum"] = list(destinations)
        named.append(definition)
    return named
