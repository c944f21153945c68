"""The way from Twilio to the server, gone from here: PUBLIC_URL, proxies, signature, media socket."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import urlsplit

import requests
import websocket
from twilio.request_validator import RequestValidator

from callapp.doctor.finding import Finding, fault, ok, warning
from callapp.sentences import N_, Quoted, Sentence
from callapp.settings import Settings
from callapp.values import is_loopback

WAIT_S = 5.0
# A call that there is not: to note its status changes nothing.
_NOBODYS_CALL = {"CallSid": "CA" + "0" * 32, "CallStatus": "queued"}
_WHERE_TWILIO_REACHES_IT = N_(
    "set it to where Twilio reaches the server, e.g. https://example.ngrok-free.app"
)
_LOOK_INTO_THE_LOG = N_("look into the server's log")
_SAME_SETTINGS = N_(
    "the running server needs the same TWILIO_AUTH_TOKEN, and PUBLIC_URL set to this address, or else "
    "TRUSTED_PROXIES set to the number of proxies in front of it (Heroku, Cloud Run, ngrok: 1)"
)


def check_address(settings: Settings) -> tuple[Finding, bool]:
    """Whether PUBLIC_URL can be what Twilio is told; and whether it is worth knocking there."""
    origin = settings.public_url
    if origin is None:
        return warning(
            N_("PUBLIC_URL is not set, so it is taken from each request, and the way in cannot be checked"),
            _WHERE_TWILIO_REACHES_IT,
        ), False
    here = is_loopback(urlsplit(origin).hostname or "")
    if here and not is_loopback(urlsplit(settings.twilio_api_url).hostname or ""):
        return fault(
            N_("PUBLIC_URL is %(origin)s, which only this machine reaches", origin=origin),
            _WHERE_TWILIO_REACHES_IT,
        ), True
    if not here and origin.startswith("http:"):
        return fault(
            N_(
                "PUBLIC_URL is %(origin)s; Twilio sends no media stream to an address without TLS",
                origin=origin,
            ),
            N_("set it to an https:// address"),
        ), True
    return ok(N_("PUBLIC_URL is %(origin)s", origin=origin)), True


def check_reachable(origin: str) -> Finding:
    """Whether callapp answers there."""
    try:
        health = _ask("GET", f"{origin}/healthz")
        name = _ask("GET", f"{origin}/")
    except requests.exceptions.SSLError:
        return fault(
            N_("the certificate of %(origin)s is not one that everybody trusts", origin=origin),
            N_("get one, e.g. from Let's Encrypt"),
        )
    except requests.RequestException as error:
        return fault(
            N_("%(url)s does not answer: %(error)s", url=origin, error=_kind(error)),
            N_("start the server (flask run, or gunicorn wsgi:app) and the tunnel or proxy that leads to it"),
        )
    try:
        known = health.status_code == 200 and name.json()["name"] == "callapp"
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        return fault(
            N_(
                "what answers at %(origin)s is not callapp (HTTP %(status)s to /healthz)",
                origin=origin,
                status=health.status_code,
            ),
            N_(
                "correct PUBLIC_URL, or start the server (flask run, or gunicorn wsgi:app) and the tunnel or "
                "proxy that leads to it"
            ),
        )
    return ok(N_("callapp answers at %(origin)s", origin=origin))


def check_signature(origin: str, auth_token: str) -> Finding:
    """Whether the server takes Twilio's webhooks, and takes them from nobody else."""
    url = f"{origin}/call-status"
    signature = RequestValidator(auth_token).compute_signature(url, _NOBODYS_CALL)
    try:
        right = _ask("POST", url, signature).status_code
        wrong = _ask("POST", url, "bm90IFR3aWxpbydz").status_code
    except requests.RequestException as error:
        return fault(
            N_("%(url)s does not answer: %(error)s", url=url, error=_kind(error)), _LOOK_INTO_THE_LOG
        )
    if right == 403:
        return fault(
            N_("%(origin)s takes webhooks with Twilio's signature for forged ones (403)", origin=origin),
            _SAME_SETTINGS,
        )
    if right != 204:
        return fault(
            N_("%(url)s answers HTTP %(status)s to a webhook of Twilio's", url=url, status=right),
            _LOOK_INTO_THE_LOG,
        )
    if wrong != 403:
        return warning(
            N_(
                "%(origin)s takes webhooks whose signature is wrong, so anybody can pretend to be Twilio",
                origin=origin,
            ),
            N_("remove TWILIO_VALIDATE_SIGNATURES=false from the settings of the server"),
        )
    return ok(N_("a webhook with Twilio's signature passes, one without is refused"))


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
            return fault(
                N_("%(url)s takes Twilio's signature for a forged one (403)", url=url), _SAME_SETTINGS
            )
        return fault(
            N_(
                "%(url)s answers HTTP %(status)s instead of opening a WebSocket",
                url=url,
                status=error.status_code,
            ),
            N_("let the proxy in front pass upgrades on (the README has an nginx.conf), over HTTP/1.1"),
        )
    except (websocket.WebSocketException, OSError) as error:
        return fault(
            N_("no WebSocket at %(url)s: %(error)s", url=url, error=_kind(error)),
            N_("let the proxy in front pass upgrades on"),
        )
    with closing(dialled):
        dialled.close(timeout=1)
    return ok(N_("a media stream's WebSocket opens"))


def _ask(method: str, url: str, signature: str | None = None) -> requests.Response:
    return requests.request(
        method,
        url,
        data=None if signature is None else _NOBODYS_CALL,
        headers={} if signature is None else {"X-Twilio-Signature": signature},
        timeout=WAIT_S,
        allow_redirects=False,
    )


def _kind(error: Exception) -> Sentence | Quoted:
    """What went wrong, in a word or two: the messages of `requests` are whole paragraphs."""
    if isinstance(error, requests.Timeout):
        return N_("not within %(seconds)g s", seconds=WAIT_S)
    if isinstance(error, requests.ConnectionError):
        return N_("no connection")
    return Quoted(str(error).partition("\n")[0] or type(error).__name__)
