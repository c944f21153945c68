"""HTTP as jobs use it: to one server, with what the operator has set and nothing that lies around."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from callapp.jobs.deadline import Deadline
from callapp.values import is_loopback
from callapp.version import VERSION

USER_AGENT = f"callapp/{VERSION}"
# A server may ask for a longer pause than ours, within reason.
LONGEST_PAUSE_S = 3600


def by_proxy(url: str) -> bool:
    """Whether a proxy of the environment is asked: the operator's wish, but for a server on this machine."""
    return not is_loopback(urlsplit(url).hostname or "")


def new_session(url: str) -> requests.Session:
    """A session for requests to ``url``, each with a timeout. Close it.

    The head of an answer is there within the timeout, or the request fails with `requests.ReadTimeout`.
    """
    session = requests.Session()
    for scheme in "http://", "https://":
        session.mount(scheme, _WholeHeads())
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


class _WholeHead(HTTPConnection):
    """A connection whose timeout is for an answer's head: urllib3 would wait for as long before each byte."""

    def getresponse(self) -> Any:  # http.client and urllib3 differ in what they call it
        assert self.timeout is not None
        with Deadline(self.timeout) as deadline:
            deadline.watch(self.sock)
            return super().getresponse()


@cache
def _with_whole_heads(kind: type[HTTPConnection]) -> type[HTTPConnection]:
    """Such connections, each a `_WholeHead`: some are by TLS, and others by way of a SOCKS proxy."""
    return kind if issubclass(kind, _WholeHead) else type(kind.__name__, (_WholeHead, kind), {})


class _WholeHeads(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **options)
        pool.ConnectionCls = _with_whole_heads(pool.ConnectionCls)
        return pool
