"""Who sits at the desk: sign-in by the API key, the session, and what every page of the desk is sent with.

The session is a signed cookie, so any process can read it. Its key comes from the API key: a new API key
ends every session. Without one the desk serves this machine alone, as the API does.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, g, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFProtect

from callapp.sentences import N_
from callapp.services import services
from callapp.settings import Settings
from callapp.telephony.twiml import stream_url
from callapp.web.guard import LOCAL_USER, api_user, direct_from_loopback, same_secret
from callapp.web.problems import Problem

SESSION_LIVES = timedelta(hours=12)
COOKIE = "callapp_desk"
_SIGNED_IN = "signed_in"
_ID = "id"
LANGUAGE = "language"
_SIGN_IN = "desk.sign_in"
_OPEN = frozenset({_SIGN_IN, "desk.set_language"})

csrf = CSRFProtect()
blueprint = Blueprint("desk", __name__, url_prefix="/desk")


# -- for the whole app --------------------------------------------------------------------------


def prepare(app: Flask, settings: Settings, instance: Path) -> None:
    """Give the app sessions and CSRF protection; only the desk uses them."""
    app.config.update(
        SECRET_KEY=signing_key(settings, instance),
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_PATH="/",  # of /ws, too
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=SESSION_LIVES,
        WTF_CSRF_CHECK_DEFAULT=False,  # the API and the webhooks have no session that could be abused
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
    )
    app.session_interface = _Sessions(settings)
    csrf.init_app(app)


def signing_key(settings: Settings, instance: Path) -> bytes:
    """The key that signs sessions, the same in all processes.

    Slow to derive: whoever has a cookie could otherwise try API keys against it as fast as they like.
    """
    if settings.callapp_api_key is not None:
        secret = settings.callapp_api_key.get_secret_value().encode()
        return hashlib.scrypt(secret, salt=b"callapp desk session", n=2**14, r=8, p=1, dklen=32)
    # Only this machine is served, so what its processes share can be a file.
    try:
        return _shared_secret(instance / "desk.key")
    except OSError:  # nothing can be written here: each process has sessions of its own
        return secrets.token_bytes(32)


def _shared_secret(path: Path) -> bytes:
    """Read a random secret; whichever process needs it first makes it, whole."""
    if not path.exists():
        mine = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        mine.touch(0o600)
        mine.write_bytes(secrets.token_bytes(32))
        with suppress(FileExistsError):
            path.hardlink_to(mine)
        mine.unlink()
    return path.read_bytes()


class _Sessions(SecureCookieSessionInterface):
    """Cookies that go over TLS only, wherever the page itself came over TLS."""

    def __init__(self, settings: Settings) -> None:
        self._public = urlsplit(settings.public_url or "")

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - what Flask calls
        # A proxy that ends TLS need not be trusted for this: PUBLIC_URL says it, too.
        by_name = self._public.scheme == "https" and request.host == self._public.netloc
        return request.is_secure or by_name


# -- for each request ---------------------------------------------------------------------------


def session_of_request() -> str | None:
    """The id of the session of whoever sits at the desk; ``None`` if nobody does."""
    if services().settings.callapp_api_key is None:
        if not direct_from_loopback():
            return None
    # The cookie's own age is of its newest text: each notice, and each other language, makes it young again.
    elif time.time() - session.get(_SIGNED_IN, 0) > SESSION_LIVES.total_seconds():
        return None
    session_id = session.get(_ID)
    return session_id if isinstance(session_id, str) else None


@blueprint.before_request
def require_sign_in() -> ResponseReturnValue | None:
    """Let only those pass who have signed in; check the token of their forms."""
    key = services().settings.callapp_api_key
    if key is None:
        if not direct_from_loopback():
            raise Problem(
                401, N_("No API key is set, so the desk serves this machine only: set CALLAPP_API_KEY.")
            )
        if _ID not in session:  # a session that is touched is sent again
            session.permanent = True
            session[_ID] = secrets.token_hex(16)
        g.api_user = LOCAL_USER
    elif session_of_request() is not None:
        g.api_user = api_user(key.get_secret_value())
    elif request.endpoint not in _OPEN:
        if request.method == "GET" and request.accept_mimetypes.accept_html:
            return redirect(url_for(_SIGN_IN), 303)
        raise Problem(401, N_("Sign in first."))
    csrf.protect()
    return None


@blueprint.after_request
def add_headers(answer: Response) -> Response:
    """Nothing of a page comes from elsewhere, goes elsewhere, or is kept."""
    # Some browsers do not take 'self' to mean the WebSocket of the same host.
    socket = stream_url(f"{request.scheme}://{request.host}").removesuffix("/ws")
    answer.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
        f"connect-src 'self' {socket}; worker-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers["Permissions-Policy"] = "microphone=(self), camera=(), geolocation=()"
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    """The API key is the password."""
    app = services()
    key = app.settings.callapp_api_key
    if key is None or session_of_request() is not None:
        return redirect(url_for("desk.home"), 303)
    if request.method == "GET":
        return render_template("desk/sign_in.html")
    wait_s = app.rate_limits.count_sign_in(request.remote_addr or "")
    if wait_s is not None:
        fault = _("Too many attempts. Wait a minute, then try again.")
        return render_template("desk/sign_in.html", fault=fault), 429, {"Retry-After": str(wait_s)}
    if not same_secret(request.form.get("key", ""), key.get_secret_value()):
        fault = _("That is not the key. It is what CALLAPP_API_KEY is set to.")
        return render_template("desk/sign_in.html", fault=fault), 403
    _begin_anew()
    session.permanent = True
    session.update({_SIGNED_IN: int(time.time()), _ID: secrets.token_hex(16)})
    return redirect(url_for("desk.home"), 303)


@blueprint.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    _begin_anew()
    return redirect(url_for(_SIGN_IN), 303)


def _begin_anew() -> None:
    """Forget all of a session but the language that its reader has chosen."""
    language = session.get(LANGUAGE)
    session.clear()
    if language is not None:
        session[LANGUAGE] = language
