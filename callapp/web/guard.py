"""Who may use the HTTP API, and whether a webhook is Twilio's.

Both checks are meant for ``blueprint.before_request``, so that a route cannot forget them.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from urllib.parse import urlsplit

from flask import g, request

from callapp.services import services
from callapp.telephony.signature import valid_webhook
from callapp.values import is_loopback
from callapp.web.problems import Problem
from callapp.web.urls import public_url

log = logging.getLogger(__name__)

# Signs of a proxy or a tunnel in between; X-Forwarded-* besides.
PROXY_HEADERS = ("HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
LOCAL_USER = "local"


def require_api_key() -> None:
    """Let a request with the API key pass, or without a key set one that comes directly from this machine.

    ``g.api_user`` then tells users apart: a hash of the key.

    Raises:
        Problem: 401.
    """
    expected = services().settings.callapp_api_key
    if expected is None:
        if not direct_from_loopback():
            raise _unauthorized(
                "No API key is set, so only requests made directly on this machine are served: "
                "set CALLAPP_API_KEY and send it as `Authorization: Bearer …`.",
            )
        g.api_user = LOCAL_USER
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized(
            "Send the API key as `Authorization: Bearer …`; it is what CALLAPP_API_KEY is set to."
        )
    if not same_secret(token.strip(), expected.get_secret_value()):
        raise _unauthorized(
            "The API key is wrong: send what CALLAPP_API_KEY is set to.", error="invalid_token"
        )
    g.api_user = api_user(expected.get_secret_value())


def same_secret(given: str, expected: str) -> bool:
    """Compare in a time that tells nothing of where they differ, or how long they are."""
    return hmac.compare_digest(_digest(given), _digest(expected))


def api_user(key: str) -> str:
    """The name under which the requests of a key are counted and remembered."""
    return _digest(key)


def direct_from_loopback() -> bool:
    """True if the request's peer is this machine, was asked for this machine, and is no proxy.

    The ``Host`` check keeps out web pages that had a name of theirs resolve to 127.0.0.1. What ProxyFix
    made of the request does not count, but what came over the socket.
    """
    environ = request.environ
    raw = {**environ, **environ.get("werkzeug.proxy_fix.orig", {})}
    if any(name.startswith("HTTP_X_FORWARDED_") or name in PROXY_HEADERS for name in environ):
        return False
    try:
        host = urlsplit(f"//{raw.get('HTTP_HOST') or ''}").hostname or ""
    except ValueError:
        return False
    # A socket that takes both families shows an IPv4 peer like this.
    peer = (raw.get("REMOTE_ADDR") or "").removeprefix("::ffff:")
    return is_loopback(peer) and is_loopback(host)


def require_twilio() -> None:
    """Let only Twilio's own requests pass: those that carry its signature over our public URL.

    Raises:
        Problem: 403.
    """
    settings = services().settings
    if not settings.twilio_validate_signatures:
        return
    if settings.twilio_auth_token is None:
        log.error("! webhook refused: set TWILIO_AUTH_TOKEN, without it Twilio's signature cannot be checked")
        raise Problem(403, "TWILIO_AUTH_TOKEN is not set, so the signature cannot be checked.")
    url = public_url()
    signature = request.headers.get("X-Twilio-Signature")
    if not valid_webhook(settings.twilio_auth_token.get_secret_value(), url, request.form, signature):
        # The query stays out of the log: for a GET it holds the caller's number and much else.
        log.warning(
            "! webhook refused: %s signature for %s; if the request was Twilio's, its auth token is not "
            "TWILIO_AUTH_TOKEN or this is not the URL it was sent to (PUBLIC_URL, TRUSTED_PROXIES)",
            "wrong" if signature else "no",
            url.partition("?")[0],
        )
        raise Problem(403, "The X-Twilio-Signature is missing or wrong.")


def _unauthorized(detail: str, error: str | None = None) -> Problem:
    challenge = 'Bearer realm="callapp"' + (f', error="{error}"' if error else "")
    return Problem(401, detail, headers={"WWW-Authenticate": challenge})


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
