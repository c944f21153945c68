"""HTTP as jobs use it: to one server, with what the operator has set and nothing that lies around."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from callapp.values import is_loopback
from callapp.version import VERSION

# A server may ask for a longer pause than ours, within reason.
LONGEST_PAUSE_S = 3600


def new_session(url: str, bearer: str | None = None) -> requests.Session:
    """A session for requests to ``url``. Close it.

    A proxy of the environment is the operator's wish, but for a server on this machine.
    """

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if bearer is not None:
            request.headers["Authorization"] = f"Bearer {bearer}"
        return request

    session = requests.Session()
    session.trust_env = not is_loopback(urlsplit(url).hostname or "")
    session.auth = authorize  # without one, requests would take what it finds in ~/.netrc
    session.headers["User-Agent"] = f"callapp/{VERSION}"
    return session


def pause_s(answer: requests.Response) -> float | None:
    """Seconds of a ``Retry-After``; its other form, a date, is taken for none."""
    given = answer.headers.get("retry-after", "")
    return float(min(int(given), LONGEST_PAUSE_S)) if given.isascii() and given.isdigit() else None
