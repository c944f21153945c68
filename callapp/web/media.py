"""``GET /ws``: where Twilio's media streams come in, and where a call lives.

The upgrade is Flask-Sock's; from there on the socket belongs to the call. The thread of the request
is the call's uplink, so it stays until the call is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, abort, g, request
from flask_sock import Sock
from simple_websocket import Server

from callapp.agents import Agent
from callapp.call.bridge import Bridge, Outside
from callapp.call.journal import Journal, Particulars
from callapp.call.lines import hold_line
from callapp.call.pricing import pricing
from callapp.call.switchboard import resumed
from callapp.call_log.records import Admission, AwayCall
from callapp.call_log.store import StoreUnavailable
from callapp.conversation.asides import Manners
from callapp.conversation.hearing import Ears
from callapp.conversation.plan import Plan
from callapp.errors import LegLost
from callapp.logs import call_logger
from callapp.realtime.leg import Endpoint, ModelLeg
from callapp.realtime.session import RemoteTools, SessionConfig, spoken_instructions
from callapp.recording.at_twilio import orders
from callapp.recording.tape import Tape
from callapp.services import Services, services
from callapp.settings import read_variable
from callapp.simulators import stand_in
from callapp.telephony.leg import MOST_MESSAGE_BYTES, QUIET_S, WRITE_S, CallerLeg
from callapp.telephony.media_streams import Started
from callapp.telephony.signature import valid_upgrade
from callapp.telephony.twiml import AGENT_PARAMETER, TOKEN_PARAMETER, stream_url
from callapp.tools import CallContext
from callapp.tools.transfer_call import name_destinations
from callapp.web import browser_line
from callapp.web.desk.sign_in import session_of_request
from callapp.web.urls import public_origin
from callapp.websocket.connection import Connection

if TYPE_CHECKING:
    from callapp.call.interpreter import InterpretedSide

log = logging.getLogger(__name__)

blueprint = Blueprint("media", __name__)
sock = Sock()

START_S = 10.0
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
    ticket = browser_line.offered_ticket(request)
    g.from_browser = ticket is not None
    if ticket is not None:
        _require_ticket(ticket)
        return
    if not settings.twilio_validate_signatures:
        return
    if settings.twilio_auth_token is None:
        log.error("! stream refused: set TWILIO_AUTH_TOKEN to check signatures with")
        abort(403)
    url = stream_url(public_origin(settings, request))
    signature = request.headers.get("X-Twilio-Signature")
    if not valid_upgrade(settings.twilio_auth_token.get_secret_value(), url, signature):
        log.warning("! stream refused: no valid signature for %s", url)
        abort(403)


def _require_ticket(ticket: str) -> None:
    app = services()
    session_id = session_of_request()
    if session_id is None or not browser_line.same_origin(request, app.settings):
        log.warning("! stream refused: a ticket, but not from a signed-in page of ours")
        abort(403)
    if not app.store.redeem_ticket(ticket, session_id):
        log.warning("! stream refused: its ticket is unknown, used or of another session")
        abort(403)


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
    upgraded.connected = False  # its socket is ours: Flask-Sock has nothing to close
    try:
        _carry(CallerLeg(connection), services(), from_browser=g.from_browser)
    except LegLost as loss:
        log.warning("! stream refused: %s", loss.reason)
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
    admission = parts.store.redeem_token(started.parameters.get(TOKEN_PARAMETER, ""), call_sid)
    agent = parts.agents.get(admission.agent) if admission is not None else None
    if admission is None or agent is None or from_browser != (admission.direction == "browser"):
        call_log.warning("! stream refused: its token is unknown, used or of another call")
        caller.close(POLICY_VIOLATION, "token")
        return
    origin = public_origin(parts.settings, request)
    away = parts.switchboard.away.take(call_sid)
    live = parts.registry.find(call_sid)
    if away is not None and isinstance(live, Bridge) and live.rejoin(caller, away.why):
        _see_through(partial(live.carry_on, caller), call_sid, parts)
        return
    call: Bridge | InterpretedSide
    if agent.kind == "interpreter":
        # Imported here: numpy is not for those who only have assistants.
        from callapp.web.interpreting import interpreted_side

        call = interpreted_side(caller, call_sid, admission, agent, parts, origin)
    else:
        call = _bridge(caller, started, admission, agent, parts, origin, away)
    refusal = parts.registry.enter(admission.slot_key, call_sid, call)
    if refusal is not None:
        call_log.warning("! stream refused: %s", refusal)
        full = refusal == "at capacity"
        caller.close(TRY_AGAIN_LATER if full else POLICY_VIOLATION, refusal)
        return
    detection_s = _detection_s(admission, agent)
    if isinstance(call, Bridge) and detection_s is not None and away is None:
        parts.verdicts.expect(call_sid, call.answered, detection_s)
    _see_through(call.run, call_sid, parts)


def _see_through(carry: Callable[[], str | None], call_sid: str, parts: Services) -> None:
    """Carry a call on its stream; its slot is free when it is over, and not when it is only away."""
    over = True
    try:
        over = carry() is not None
    finally:
        if over:
            parts.verdicts.forget(call_sid)
            parts.registry.leave(call_sid)


def _detection_s(admission: Admission, agent: Agent) -> int | None:
    """For how long Twilio listens for a machine: to calls that we placed, if the agent wants it."""
    return agent.detection_s if admission.direction == "outgoing" else None


def _bridge(
    caller: CallerLeg,
    started: Started,
    admission: Admission,
    agent: Agent,
    parts: Services,
    origin: str,
    away: AwayCall | None = None,
) -> Bridge:
    """Make what carries a call.

    Args:
        origin: where Twilio reaches us.
        away: what the call was before, if it has left another process and comes back here.
    """
    settings = parts.settings
    call_sid = started.call_sid
    call_log = call_logger(call_sid)
    custom = {k: v for k, v in started.parameters.items() if k not in (TOKEN_PARAMETER, AGENT_PARAMETER)}
    parameters = {**admission.parameters, **custom}
    tools = parts.tools.only(agent.tools)
    context = CallContext(
        call_sid=call_sid,
        agent=agent.name,
        parameters=parameters,
        from_number=admission.from_number,
        to_number=admission.to_number,
        direction=admission.direction,
        destinations=tuple(agent.transfer_to),
    )
    endpoint = _endpoint(admission, agent, parts)
    config = SessionConfig(
        instructions=_instructions(agent, parameters, call_log),
        voice=agent.voice,
        language=agent.language,
        tools=name_destinations(tools.definitions(), tuple(agent.transfer_to)),
        remote_tools=[
            RemoteTools(server, read_variable(server.authorization) if server.authorization else None)
            for server in agent.mcp
        ],
        speed=agent.speed,
        reasoning=agent.reasoning,
        transcription=agent.transcription,
        turn_detection=agent.turn_detection,
        noise_reduction=agent.noise_reduction,
    )
    greeting, message = agent.line("greeting", parameters), agent.line("voicemail", parameters)
    most_usd = settings.max_call_cost_usd
    heard_by = agent.transcription.model if agent.transcription is not None else ""
    most_ms = 1000 * min(settings.max_call_seconds, agent.max_call_seconds or settings.max_call_seconds)
    plan = Plan(
        greeting=spoken_instructions(greeting, agent.language) if greeting else None,
        message=spoken_instructions(message, agent.language) if message else None,
        detects_machines=_detection_s(admission, agent) is not None,
        hold_line=hold_line(agent.language),
        most_usd=most_usd,
        usd_of=None if most_usd is None else pricing(endpoint.model, heard_by),
        most_ms=most_ms if away is None else max(0, most_ms - away.elapsed_ms),
        session_ms=1000 * settings.model_session_seconds,
        manners=_manners(agent),
        ears=_ears(agent),
        transcribed=agent.transcription is not None,
        keys_as_sound=agent.dtmf == "inband",
        resumed=None if away is None else resumed(away),
    )
    before_ms = 0 if away is None else away.elapsed_ms
    particulars = Particulars(
        call_sid=call_sid,
        direction=admission.direction,
        from_number=admission.from_number,
        to_number=admission.to_number,
        agent=agent.name,
        parameters=parameters,
        model=endpoint.model,
        transcription_model=agent.transcription.model if agent.transcription is not None else None,
        began_at=datetime.now(UTC) - timedelta(milliseconds=before_ms),
        resumed=away is not None,
    )
    in_browser = admission.direction == "browser"  # no phone company has a part in it
    listeners = parts.listeners
    tape = Tape() if agent.record.by == "ours" else None
    if tape is not None:
        listeners = (*listeners, parts.recorder.of(tape))
    elif agent.record.by == "twilio" and not in_browser:
        listeners = (*listeners, orders(parts.carrier.start_recording, f"{origin}/recording-status"))
    outside = Outside(
        new_model=lambda: ModelLeg(endpoint, config, call_log),
        run_tool=lambda name, arguments, done: parts.tool_pool.submit(
            tools.find(name), arguments, context, done
        ),
        complete_call=caller.close if in_browser else lambda: parts.carrier.complete_call(call_sid),
        # With a closing line in the TwiML, closing the stream is enough: that line is heard.
        apologise=None
        if in_browser or (agent.line("closing", parameters) and agent.fallback_number is None)
        else lambda: parts.carrier.apologise(call_sid, agent.language, agent.fallback_number),
        extension=None
        if in_browser
        else parts.switchboard.extension(replace(admission, parameters=parameters), agent, origin),
        journal=Journal(particulars, listeners, before_ms),
        tape=tape,
    )
    return Bridge(caller, plan, outside, call_log)


def _endpoint(admission: Admission, agent: Agent, parts: Services) -> Endpoint:
    """The model of a call; without a key a browser, which costs nobody anything, talks to the stand-in."""
    settings = parts.settings
    key = settings.openai_api_key
    if key is None and admission.direction == "browser":
        return Endpoint(parts.stand_in.url(), stand_in.MODEL, stand_in.API_KEY)
    return Endpoint(
        settings.openai_realtime_url,
        agent.model or settings.openai_realtime_model,
        key.get_secret_value() if key else "",
    )


def _manners(agent: Agent) -> Manners:
    return Manners(
        language=agent.language,
        nudge_ms=agent.idle.nudge_seconds * 1000 or None,
        waiting_lines=agent.waiting,
        shortest_speech_ms=agent.interruptions.min_speech_ms,
        most_interruptions=agent.interruptions.most_in_30_seconds or None,
        noise_line=agent.interruptions.noise_line,
    )


def _ears(agent: Agent) -> Ears:
    turns = agent.turn_detection
    if turns.type == "semantic_vad":  # how long it waits depends on what was said
        return Ears()
    return Ears(turns.prefix_padding_ms, turns.silence_duration_ms)


def _instructions(
    agent: Agent, parameters: dict[str, str], call_log: logging.LoggerAdapter[logging.Logger]
) -> str:
    missing = agent.missing(parameters)
    if missing:
        call_log.error("! agent %s: no value for %s, left empty", agent.name, ", ".join(missing))
    return agent.fill(parameters, strict=False)
