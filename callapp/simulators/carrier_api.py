"""What all parts of the pretend Twilio's REST API take and answer: forms in, pages of lists and refusals out.

Bodies of errors are Twilio's: ``code``, ``message``, ``more_info``, ``status``
(https://www.twilio.com/docs/usage/twilios-response, codes: https://www.twilio.com/docs/api/errors).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

Form = Mapping[str, list[str]]
"""Of a body or a query."""


class Refusal(Exception):
    """An answer of Twilio's that says no."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "code": code,
            "message": message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }


def one(form: Form, name: str) -> str:
    """Return a field's last value, empty when there is none."""
    return form.get(name, [""])[-1]


def is_url(text: str) -> bool:
    """Tell whether Twilio could ask there."""
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def first_page(name: str, found: Sequence[dict[str, Any]], path: str, query: Form) -> dict[str, Any]:
    """Return the first page of a list, after which none follows here."""
    size = int(one(query, "PageSize") or 50)
    first = f"{path}?{urlencode({'PageSize': size, 'Page': 0})}"
    return {
        name: found[:size],
        "start": 0,
        "end": max(0, min(size, len(found)) - 1),
        "page": 0,
        "page_size": size,
        "uri": first,
        "first_page_uri": first,
        "next_page_uri": None,
        "previous_page_uri": None,
    }
