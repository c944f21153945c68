"""The built-in tool that writes a message down."""

from __future__ import annotations

from callapp.errors import ToolError
from callapp.office.messages import Message, Messages
from callapp.tools.declare import CallContext, tool

LONGEST_MESSAGE = 2_000
LONGEST_NAME = 100


@tool
def take_message(
    caller_name: str,
    message: str,
    messages: Messages,
    call: CallContext,
    phone: str = "",
    for_whom: str = "",
) -> str:
    """Write down a message for somebody, once the caller has confirmed it. Use this once for each
    message, and say that it was taken only after this has worked.

    Args:
        caller_name: Who is calling.
        message: What they want, in full sentences, with every number and date they gave.
        phone: The number to call back. Leave it out if it is the one of this call.
        for_whom: The person or department the message is for. Leave it out if nobody in particular.
    """
    text = message.strip()[:LONGEST_MESSAGE]
    if not text:
        raise ToolError("The message is empty. Ask the caller what it is about.")
    kept = Message(
        caller_name=_line(caller_name),
        phone=_line(phone) or call.caller_number,
        text=text,
        for_whom=_line(for_whom),
    )
    messages.keep(kept, call_sid=call.call_sid, agent=call.agent)
    return '{"status": "taken"}'


def _line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_NAME]
