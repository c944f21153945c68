"""HTTP as jobs use it: to one server, with what the operator has set and nothing that lies around."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from callapp.values import is_loopback
from callapp.version import VERSION

USER_AGENT = f"callapp/{VERSION}"
# A server may ask for a longer pause than ours, within reason.
LONGEST_PAUSE_S = 3600


def by_proxy(url: str) -> bool:
    """Whether a proxy of the environment is asked: the operator's wish, but for a server on this machine."""
    return not is_loopback(urlsplit(url).hostname or "")


def new_session(url: str) -> requests.Session:
    """A session for requests to ``url``. Close it."""
    session = requests.Session()
    session.trust_env = by_proxy(url)
    session.auth = lambda request: request  # without one, requests would take what it finds in ~/.netrc
    session.headers["User-Agent"] = USER_AGENT
    return session


def pause_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a ``Retry-After``; its other form, a date, is taken for none.

    So is 0, which some proxies say while their server is down: each attempt would follow the last at once.
    """
    given = headers.get("retry-after", "")
    seconds = min(int(given), LONGEST_PAUSE_S) if given.isascii() and given.isdigit() else 0
    return float(seconds) or None
