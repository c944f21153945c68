"""Tools: typed Python functions that the model may call.

Here is what a tool file needs, and no more, so that importing it is cheap. The rest has its own
modules: ``registry`` finds the tools, ``schema`` turns a function into what the model is told of
it, ``running`` calls it, ``pool`` does so off the audio threads.
"""

from __future__ import annotations

from callapp.conversation.wishes import EndCall
from callapp.errors import ToolError
from callapp.tools.declare import CallContext, tool

__all__ = ["CallContext", "EndCall", "ToolError", "tool"]
