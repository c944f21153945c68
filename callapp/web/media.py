"""``GET /ws``: where Twilio's media streams come in, and where a call lives.

The upgrade is Flask-Sock's; from there on the socket belongs to the call. The thread of the request
is the call's uplink, so it stays until the call is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, abort, g, request
from flask_sock import Sock
from simple_websocket import Server

from callapp.call.bridge import Bridge
from callapp.call.making import detection_s
from callapp.call_log.store import StoreUnavailable
from callapp.errors import CallappError, LegLost
from callapp.logs import CallLogger, call_logger
from callapp.services import Services, services
from callapp.telephony.leg import MOST_MESSAGE_BYTES, QUIET_S, WRITE_S, CallerLeg
from callapp.telephony.media_streams import Started
from callapp.telephony.signature import valid_upgrade
from callapp.telephony.twiml import AGENT_PARAMETER, TOKEN_PARAMETER, stream_url
from callapp.web import browser_line
from callapp.web.by_sid import is_call_sid
from callapp.web.desk.sign_in import session_of_request
from callapp.web.problems import Problem
from callapp.web.urls import public_origin
from callapp.websocket.connection import Connection

if TYPE_CHECKING:
    from callapp.call.captions import CaptionedCall
    from callapp.call.interpreter import InterpretedSide

log = logging.getLogger(__name__)

blueprint = Blueprint("media", __name__)
sock = Sock()

START_S = 10.0
WEBSOCKET_VERSION = "13"
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013


class _NoThread:
    """In place of simple-websocket's reader thread: the call's own threads read the socket."""

    name = ""

    def __init__(self, target: object) -> None:
        pass

    def start(self) -> None:
        """Nothing to start."""


SOCK_SERVER_OPTIONS = {"thread_class": _NoThread, "subprotocols": browser_line.SUBPROTOCOL}


@blueprint.before_request
def require_signature() -> None:
    """Refuse an upgrade that is neither Twilio's nor that of a browser at the desk with a 403.

    After the upgrade there is no status to send.
    """
    # simple-websocket takes any compression that is offered; frames here are never compressed.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    settings = services().settings
    ticket = browser_line.offered_ticket()
    g.from_browser = ticket is not None
    if ticket is not None:
        _require_ticket(ticket)
        return
    if not settings.twilio_validate_signatures:
        return
    if settings.twilio_auth_token is None:
        log.error("! stream refused: set TWILIO_AUTH_TOKEN to check signatures with")
        abort(403)
    url = stream_url(public_origin())
    signature = request.headers.get("X-Twilio-Signature")
    if not valid_upgrade(settings.twilio_auth_token.get_secret_value(), url, signature):
        log.warning("! stream refused: no valid signature for %s", url)
        abort(403)


def _require_ticket(ticket: str) -> None:
    app = services()
    session_id = session_of_request()
    if session_id is None or not browser_line.same_origin():
        log.warning("! stream refused: a ticket, but not from a signed-in page of ours")
        abort(403)
    if not app.store.redeem_ticket(ticket, session_id):
        log.warning("! stream refused: its ticket is unknown, used or of another session")
        abort(403)


@blueprint.before_request
def require_handshake() -> None:
    """Refuse what is no WebSocket's handshake, with a 400: the library would fall over it."""
    version = request.headers.get("Sec-WebSocket-Version")
    if version != WEBSOCKET_VERSION or not request.headers.get("Sec-WebSocket-Key"):
        log.warning("! stream refused: no handshake of a WebSocket's (a proxy on the way?)")
        raise Problem(
            400,
            f"This takes a Sec-WebSocket-Key, and Sec-WebSocket-Version: {WEBSOCKET_VERSION}.",
            headers={"Sec-WebSocket-Version": WEBSOCKET_VERSION},
        )


@sock.route("/ws", bp=blueprint)  # type: ignore[untyped-decorator]  # Flask-Sock has no types
def stream(upgraded: Server) -> None:
    """Carry one stream to its end. Nothing escapes: an HTTP error would land on the WebSocket."""
    connection = Connection(
        upgraded.sock,
        client=False,
        name="caller",
        max_message_bytes=MOST_MESSAGE_BYTES,
        quiet_s=QUIET_S,
        write_s=WRITE_S,
    )
    upgraded.connected = False  # its socket is ours: Flask-Sock has nothing to close ...
    upgraded.ws = upgraded.event = None  # ... nor use for these: 5 KB, as long as the call lasts
    try:
        _carry(CallerLeg(connection), services(), from_browser=g.from_browser)
    except LegLost as loss:
        log.warning("! stream refused: %s", loss.reason or loss)
    except StoreUnavailable as error:
        log.error("! stream refused: database: %s", error)
        connection.close(TRY_AGAIN_LATER)
    except Exception:
        log.exception("! bug: a stream ended")
        connection.close(INTERNAL_ERROR)
    finally:
        connection.leave()


def _carry(caller: CallerLeg, parts: Services, *, from_browser: bool) -> None:
    started = caller.wait_for_start(START_S)
    call_sid = started.call_sid
    call_log = call_logger(call_sid)
    caller.log = call_log
    origin = public_origin()
    try:
        admission = parts.store.redeem_token(started.parameters.get(TOKEN_PARAMETER, ""), call_sid)
        away = parts.switchboard.away.take(call_sid) if admission is not None else None
    except StoreUnavailable:
        if not from_browser:
            _apologise_for_the_database(started, parts, origin, call_log)
        raise
    agent = parts.agents.get(admission.agent) if admission is not None else None
    if admission is None or agent is None or from_browser != (admission.direction == "browser"):
        call_log.warning("! stream refused: its token is unknown, used or of another call")
        caller.close(POLICY_VIOLATION, "token")
        return
    live = parts.registry.find(call_sid)
    if away is not None and isinstance(live, Bridge):
        uplink = live.rejoin(caller, away.why)
        if uplink is not None:
            _see_through(partial(live.carry_on, uplink), call_sid, parts)
            return
    call: Bridge | InterpretedSide | CaptionedCall
    # Some are imported here: numpy is not for those who only have assistants.
    match agent.kind:
        case "assistant":
            call = parts.maker.bridge(caller, started, admission, agent, origin, away)
        case "interpreter":
            from callapp.web.interpreting import interpreted_side

            call = interpreted_side(caller, admission, agent, parts, origin)
        case "captions":
            from callapp.web.captioning import captioned_call

            call = captioned_call(caller, admission, agent, parts)
    refusal = parts.registry.enter(admission.slot_key, call_sid, call)
    if refusal is not None:
        call_log.warning("! stream refused: %s", refusal)
        full = refusal == "at capacity"
        # An interpreter's TwiML says goodbye, captions touch no call.
        if full and agent.kind == "assistant" and not from_browser:
            _apologise(parts.maker.apology(call_sid, agent, admission.parameters, origin), call_log)
        caller.close(TRY_AGAIN_LATER if full else POLICY_VIOLATION, refusal)
        if full:  # another process keeps a slot for it, and of one that rang us nobody tells the end
            parts.store.ask_soon(call_sid)
        return

    def carry() -> str | None:  # whatever fails from here on leaves no slot taken
        within_s = detection_s(admission, agent)
        if isinstance(call, Bridge) and within_s is not None:
            # Also of one that comes from another process, which may not have been told before it left.
            before_s = 0.0 if away is None else away.elapsed_ms / 1000
            parts.verdicts.expect(call_sid, call.answered, within_s - before_s)
        return call.run()

    _see_through(carry, call_sid, parts)


def _apologise_for_the_database(started: Started, parts: Services, origin: str, call_log: CallLogger) -> None:
    """Say sorry to a caller of whom nothing is known but what their stream says."""
    call_sid, agent = started.call_sid, parts.agents.get(started.parameters.get(AGENT_PARAMETER, ""))
    if not is_call_sid(call_sid) or parts.registry.find(call_sid) is not None:
        return  # a call that is live goes on, whoever opens a second stream in its name
    if agent is None or agent.kind != "assistant":
        return
    _apologise(parts.maker.apology(call_sid, agent, started.parameters, origin), call_log)


def _apologise(apologise: Callable[[], None] | None, call_log: CallLogger) -> None:
    """Say sorry to a caller who was promised a line, where the TwiML after the stream does not."""
    if apologise is None:
        return
    try:
        apologise()
    except CallappError as error:
        call_log.error("! no apology could be spoken: %s", error)


def _see_through(carry: Callable[[], str | None], call_sid: str, parts: Services) -> None:
    """Carry a call on its stream; its slot is free when it is over, and not when it is only away."""
    over = True
    try:
        over = carry() is not None
    finally:
        if over:
            parts.verdicts.forget(call_sid)
            parts.registry.leave(call_sid)
