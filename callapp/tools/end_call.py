"""The built-in tool that ends the call."""

from __future__ import annotations

from callapp.conversation.wishes import EndCall
from callapp.tools.declare import tool

LONGEST_REASON = 200


@tool
def end_call(reason: str = "") -> EndCall:
    """Hang up the phone. Call this when the caller has said goodbye, has nothing more to ask, asks
    you to hang up, or does not answer any more. Say a short goodbye first, in the same turn; the
    line stays open until the caller has heard it. Never call this in the middle of a request, and
    never to get out of a difficult question.

    Args:
        reason: Why the call ends, in a few words, for the record. The caller does not hear it.
    """
    return EndCall(" ".join(reason.split())[:LONGEST_REASON])
