"""Is a request really from Twilio? Pure: the URL is the one Twilio was told, rebuilt by the caller.

https://www.twilio.com/docs/usage/security#validating-requests
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from twilio.request_validator import RequestValidator


def valid_webhook(auth_token: str, url: str, params: Mapping[str, str], signature: str | None) -> bool:
    """Check ``X-Twilio-Signature`` of an HTTP request.

    Args:
        url: public URL with its query.
        params: form fields of a POST, untouched (a ``MultiDict`` is read with all its values);
            empty for a GET, whose fields are in the URL.
    """
    if not signature:
        return False
    try:
        return bool(RequestValidator(auth_token).validate(url, params, signature))
    except ValueError:  # no URL of ours: its host or port is none
        return False


def valid_upgrade(auth_token: str, stream_url: str, signature: str | None) -> bool:
    """Check ``X-Twilio-Signature`` of a WebSocket upgrade.

    Args:
        stream_url: the URL of the ``<Stream>``, ``wss://…``, as our TwiML wrote it.
    """
    # Twilio's own advice: what it signs may have a slash at its end that the TwiML has not.
    bare = stream_url.rstrip("/")
    return any(valid_webhook(auth_token, url, {}, signature) for url in _with_port(bare, bare + "/"))


def _with_port(*urls: str) -> list[str]:
    """The URLs, and for ``wss`` the same with their default port.

    The validator thinks that the default port of every scheme but ``https`` is 80, so it would not
    recognise a signature over ``wss://host:443/``; given the port, it tries with and without.
    """
    all_urls = list(urls)
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme == "wss" and parts.port is None:
            all_urls.append(urlunsplit(parts._replace(netloc=f"{parts.netloc}:443")))
    return all_urls
