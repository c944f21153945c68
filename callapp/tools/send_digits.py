"""The built-in tool that presses keys for the other side."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from callapp.conversation.wishes import SendDigits
from callapp.tools.declare import tool

MOST_DIGITS = 40


@tool
def send_digits(
    digits: Annotated[str, Field(pattern=r"^[0-9*#w]+$", max_length=MOST_DIGITS)],
) -> SendDigits:
    """Press keys on the phone, for the other side of the line. Use it when a recorded menu asks for a
    key, such as "press 1 for sales", or for a number, an extension or a code. Listen to the menu until
    you know which key you need; say nothing before and after, and then listen to what comes.

    Args:
        digits: The keys in order: 0-9, * and #; w waits half a second, e.g. "2" or "1ww4711#".
    """
    return SendDigits(digits)
