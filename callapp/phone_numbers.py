"""Phone numbers as people write them, and in E.164. Pure."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import phonenumbers

# As people write numbers, with the dashes of Japanese keyboards, and as the desk shows them; besides, what
# cannot be seen and is copied along with them: marks of direction, above all.
_BETWEEN_DIGITS = re.compile(r"[\s().\u2010-\u2015\u2212\u30fc\u200b-\u200f\u202a-\u202e\u2060-\u2069-]")


def without_spaces(text: str) -> str:
    """What is left of a number without all that people put between its digits: those, perhaps with a plus."""
    return _BETWEEN_DIGITS.sub("", unicodedata.normalize("NFKC", text))  # ０ is 0


def e164(text: str, region: str | None = None) -> str | None:
    """Read a number into E.164; ``None`` if it is none.

    Args:
        region: where it is dialled, as of ``region_of``, if it may be without its country code.
    """
    number = _parsed(text, region)
    return None if number is None else _format(number)


def existing_e164(text: str) -> str | None:
    """Read a number with its country code into E.164; ``None`` if there can be no such number."""
    number = _parsed(text, None)
    return _format(number) if number is not None and phonenumbers.is_valid_number(number) else None


def possible_e164(text: str) -> str | None:
    """As ``existing_e164``, of any number that is as long as one there; libphonenumber need not know it."""
    number = _parsed(text, None)
    return _format(number) if number is not None and phonenumbers.is_possible_number(number) else None


@lru_cache(maxsize=4096)  # the desk shows the same ones again and again
def as_read(text: str) -> str:
    """A number as people read it, ``+81 90-1234-5678``; whatever else the phone company says, as it is."""
    number = _parsed(text, None)
    if number is None:
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def region_of(number: str) -> str | None:
    """Where a number in E.164 is at home, in two letters; ``None`` if that is nowhere."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(number, None))


def _parsed(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


def _format(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
