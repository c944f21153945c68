"""The built-in tool that has the caller press keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from callapp.conversation.wishes import CollectDigits
from callapp.tools.declare import tool

MOST_DIGITS = 32


@tool
def collect_digits(
    count: Annotated[int, Field(ge=1, le=MOST_DIGITS)], sensitive: bool = False
) -> CollectDigits:
    """Have the caller type digits on the phone's keys, e.g. a customer number. Ask for them first, in
    the same turn: say what to type, how many digits, and that # ends the entry early. You get what was
    typed, and whether it ended by its count, by the end key #, or by a pause. After a pause too few
    digits were typed: ask again, or offer to have the number said aloud.

    Args:
        count: How many digits to collect.
        sensitive: True for what must not be written down, such as a card number or a PIN. Never
            repeat such digits aloud.
    """
    return CollectDigits(count, sensitive)
