"""The address at which the world reaches us."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from callapp.services import services
from callapp.settings import Settings
from callapp.values import is_loopback


def apply_proxy_fix(app: Flask, settings: Settings) -> None:
    """Believe ``X-Forwarded-*`` of as many hops as the operator trusts; of none by default."""
    hops = settings.trusted_proxies
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def public_origin() -> str:
    """``https://host``: PUBLIC_URL, or else where the request came to."""
    # Some proxies, Traefik for one, say ``wss`` of an upgrade.
    scheme = {"ws": "http", "wss": "https"}.get(request.scheme, request.scheme)
    return services().settings.public_url or f"{scheme}://{request.host}"


def public_url() -> str:
    """The whole URL of the request as the other side wrote it."""
    query = request.query_string.decode("latin-1")
    url = public_origin() + request.path
    return f"{url}?{query}" if query else url


def reachable(origin: str) -> bool:
    """False if the origin can only mean this machine, where Twilio is not."""
    host = urlsplit(origin).hostname or ""
    try:
        unspecified = ip_address(host).is_unspecified
    except ValueError:
        unspecified = False
    return bool(host) and not unspecified and not is_loopback(host)
