"""The requests the pretend Twilio makes: signed, by form or by query, one connection each.

The signature is computed by Twilio's own ``RequestValidator``, so that ours is judged by theirs.
"""

from __future__ import annotations

import http.client
import ssl
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from twilio.request_validator import RequestValidator

_TIMEOUT_S = 15
_MAX_BODY_BYTES = 1 << 20


class WebhookFailed(Exception):
    """The application could not be reached or did not answer well; Twilio's code says which."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Answer:
    """What the application answered."""

    status: int
    content_type: str
    text: str


@dataclass(frozen=True)
class Request:
    """One request to the application and how it went; ``answer`` is None when it failed."""

    method: str
    url: str
    fields: Mapping[str, str]
    answer: Answer | None
    failure: str = ""


def signed_form(url: str) -> str:
    """Return the URL as Twilio signs it: no user, no fragment, no port over https."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "https":
        host = host.removesuffix(f":{parts.port}")
    return urlunsplit((parts.scheme, host, parts.path, parts.query, ""))


def signature(auth_token: str, url: str, fields: Mapping[str, str]) -> str:
    """Return the ``X-Twilio-Signature`` of a request; ``fields`` are those in the body."""
    computed: str = RequestValidator(auth_token).compute_signature(signed_form(url), dict(fields))
    return computed


def with_query(url: str, fields: Mapping[str, str]) -> str:
    """Return the URL with fields added to its query."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(fields))))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def send(
    auth_token: str,
    method: str,
    url: str,
    fields: Mapping[str, str],
    routes: Mapping[str, str] | None = None,
) -> Answer:
    """Make one signed request and wait for its answer, 15 s at most for each step of it.

    Args:
        routes: where a host and port are really reached, if elsewhere.

    Raises:
        WebhookFailed: no connection (11205), none or a broken answer (11200), a URL that is none
            (11100).
    """
    if method == "GET":
        url, fields = with_query(url, fields), {}
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WebhookFailed(11100, f"not a URL: {url}")
    there = urlsplit("//" + (routes or {}).get(parts.netloc, parts.netloc))
    host = there.hostname or parts.hostname
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, there.port, timeout=_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, there.port, timeout=_TIMEOUT_S)
    headers = {
        "Host": parts.netloc.rpartition("@")[2],
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
        "Connection": "close",
        "X-Twilio-Signature": signature(auth_token, url, fields),
        "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
    }
    if method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
    target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    try:
        try:
            connection.connect()
        except OSError as error:
            raise WebhookFailed(11205, f"{url}: {error}") from error
        try:
            connection.request(method, target, urlencode(fields) or None, headers)
            with connection.getresponse() as response:
                body = response.read(_MAX_BODY_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise WebhookFailed(11200, f"{url}: {error!r}") from error
        return Answer(
            response.status,
            response.getheader("Content-Type", ""),
            body.decode(errors="replace"),
        )
    finally:
        connection.close()
