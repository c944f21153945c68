"""The built-in tool that says nothing."""

from __future__ import annotations

from callapp.conversation.wishes import StaySilent
from callapp.tools.declare import tool


@tool
def wait() -> StaySilent:
    """Stay silent and go on listening. Call this, and say nothing, when what you hear is not meant for
    you: people talking in the background, a television, hold music, noise, or a caller who asks for a
    moment.
    """
    return StaySilent()
