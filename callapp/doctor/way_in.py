"""The way from Twilio to the server, gone from here: PUBLIC_URL, proxies, signature, media socket."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlsplit

import requests
import websocket
from twilio.request_validator import RequestValidator

from callapp.doctor.finding import Finding, fault, ok, warning
from callapp.settings import Settings
from callapp.values import is_loopback

WAIT_S = 5.0
# A call that there is not: to note its status changes nothing.
_NOBODYS_CALL = {"CallSid": "CA" + "0" * 32, "CallStatus": "queued"}
_SAME_SETTINGS = (
    "the running server needs the same TWILIO_AUTH_TOKEN, and PUBLIC_URL set to this address, or else "
    "TRUSTED_PROXIES set to the number of proxies in front of it (Heroku, Cloud Run, ngrok: 1)"
)


def check_address(settings: Settings) -> tuple[Finding, bool]:
    """Whether PUBLIC_URL can be what Twilio is told; and whether it is worth knocking there."""
    origin = settings.public_url
    if origin is None:
        return warning(
            "PUBLIC_URL is not set, so it is taken from each request, and the way in cannot be checked",
            "set it to where Twilio reaches the server, e.g. https://example.ngrok-free.app",
        ), False
    here = is_loopback(urlsplit(origin).hostname or "")
    if here and not is_loopback(urlsplit(settings.twilio_api_url).hostname or ""):
        return fault(
            f"PUBLIC_URL is {origin}, which only this machine reaches",
            "set it to where Twilio reaches the server, e.g. https://example.ngrok-free.app",
        ), True
    if not here and origin.startswith("http:"):
        return fault(
            f"PUBLIC_URL is {origin}; Twilio sends no media stream to an address without TLS",
            "set it to an https:// address",
        ), True
    return ok(f"PUBLIC_URL is {origin}"), True


def check_reachable(origin: str) -> Finding:
    """Whether callapp answers there."""
    advice = "start the server (flask run, or gunicorn wsgi:app) and the tunnel or proxy that leads to it"
    try:
        health = _ask("GET", f"{origin}/healthz")
        name = _ask("GET", f"{origin}/")
    except requests.exceptions.SSLError:
        return fault(
            f"the certificate of {origin} is not one that everybody trusts",
            "get one, e.g. from Let's Encrypt",
        )
    except requests.RequestException as error:
        return fault(f"{origin} does not answer: {_kind(error)}", advice)
    try:
        known = health.status_code == 200 and name.json()["name"] == "callapp"
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        return fault(
            f"what answers at {origin} is not callapp (HTTP {health.status_code} to /healthz)",
            f"correct PUBLIC_URL, or {advice}",
        )
    return ok(f"callapp answers at {origin}")


def check_signature(origin: str, auth_token: str) -> Finding:
    """Whether the server takes Twilio's webhooks, and takes them from nobody else."""
    url = f"{origin}/call-status"
    signature = RequestValidator(auth_token).compute_signature(url, _NOBODYS_CALL)
    try:
        right = _ask("POST", url, signature).status_code
        wrong = _ask("POST", url, "bm90IFR3aWxpbydz").status_code
    except requests.RequestException as error:
        return fault(f"{url} does not answer: {_kind(error)}", "look into the server's log")
    if right == 403:
        return fault(f"{origin} takes webhooks with Twilio's signature for forged ones (403)", _SAME_SETTINGS)
    if right != 204:
        return fault(f"{url} answers HTTP {right} to a webhook of Twilio's", "look into the server's log")
    if wrong != 403:
        return warning(
            f"{origin} takes webhooks whose signature is wrong, so anybody can pretend to be Twilio",
            "remove TWILIO_VALIDATE_SIGNATURES=false from the settings of the server",
        )
    return ok("a webhook with Twilio's signature passes, one without is refused")


def check_media_socket(origin: str, auth_token: str) -> Finding:
    """Whether a WebSocket gets through all that is between."""
    url = "ws" + origin.removeprefix("http") + "/ws"
    signature = RequestValidator(auth_token).compute_signature(url, {})
    try:
        dialled = websocket.create_connection(
            url, timeout=WAIT_S, header=[f"X-Twilio-Signature: {signature}"], suppress_origin=True
        )
    except websocket.WebSocketBadStatusException as error:
        if error.status_code == 403:
            return fault(f"{url} takes Twilio's signature for a forged one (403)", _SAME_SETTINGS)
        return fault(
            f"{url} answers HTTP {error.status_code} instead of opening a WebSocket",
            "let the proxy in front pass upgrades on (the README has an nginx.conf), over HTTP/1.1",
        )
    except (websocket.WebSocketException, OSError) as error:
        return fault(f"no WebSocket at {url}: {_kind(error)}", "let the proxy in front pass upgrades on")
    with closing(dialled):
        dialled.close(timeout=1)
    return ok("a media stream's WebSocket opens")


def _ask(method: str, url: str, signature: str | None = None) -> requests.Response:
    return requests.request(
        method,
        url,
        data=None if signature is None else _NOBODYS_CALL,
        headers={} if signature is None else {"X-Twilio-Signature": signature},
        timeout=WAIT_S,
        allow_redirects=False,
    )


def _kind(error: Exception) -> str:
    """What went wrong, in a word or two: the messages of `requests` are whole paragraphs."""
    if isinstance(error, requests.Timeout):
        return f"not within {WAIT_S:g} s"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error).partition("\n")[0] or type(error).__name__
