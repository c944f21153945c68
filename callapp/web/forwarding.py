"""Callers who are put through to a person while we listen: the TwiML for it, and what comes after.

They are put through whatever happens here: without a slot, or without a database, the call has no captions,
and goes on.
"""

from __future__ import annotations

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from callapp.agents import Agent, CannotFill
from callapp.call_log.records import TERMINAL_STATUSES, Admission
from callapp.call_log.store import StoreUnavailable
from callapp.logs import CallLogger, call_logger, mask_number
from callapp.services import services
from callapp.telephony import twiml
from callapp.web.guard import require_twilio

# From our TwiML to the media stream; the opening is spoken in between.
STREAM_WITHIN_S = 60
TOKEN_LIVES_S = 300

blueprint = Blueprint("forwarding", __name__)
blueprint.before_request(require_twilio)


def forward(admission: Admission, agent: Agent, origin: str, log: CallLogger) -> str:
    """TwiML that puts a caller through, and lets us listen where we can.

    Args:
        admission: of a call that came in.
        origin: where Twilio reaches us.
    """
    app = services()
    number, key = agent.forward_to, admission.slot_key
    assert number is not None, "an agent file of captions without a forward_to is refused"
    opening = _opening(agent, log)
    uncaptioned = twiml.forward(number, language=agent.language, opening=opening)
    if not app.registry.take_slot(key):
        log.warning("! no captions: %s", "draining" if app.registry.draining else "all lines are busy")
        return uncaptioned
    app.registry.expect_stream(key, STREAM_WITHIN_S)
    try:
        token = app.store.issue_token(admission, TOKEN_LIVES_S)
    except Exception as error:  # whatever is wrong on our side, the two have to be connected
        app.registry.give_back(key)
        if isinstance(error, StoreUnavailable):
            log.error("! no captions: database: %s", error)
        else:
            log.exception("! bug: no captions")
        return uncaptioned
    log.info("< put through by agent %s, from %s", agent.name, mask_number(admission.from_number))
    return twiml.forward(
        number,
        language=agent.language,
        opening=opening,
        stream_url=twiml.stream_url(origin),
        token=token,
        agent=agent.name,
        action=f"{origin}/captions/over?agent={agent.name}",
    )


@blueprint.post("/captions/over")
def over() -> ResponseReturnValue:
    """The person whom a caller was put through to has hung up, or did not answer; or the caller is gone."""
    app, fields = services(), request.form
    call_sid = fields.get("CallSid", "")
    log = call_logger(call_sid, __name__)
    agent = app.agents.get(request.args.get("agent", "")) or app.agents.default
    if fields.get("CallStatus") in TERMINAL_STATUSES:  # the caller; the stream tells so itself
        return _xml(twiml.hang_up())
    reached = fields.get("DialCallStatus") in ("completed", "answered")
    reason = "other.hung_up" if reached else "other.unreachable"
    log.info("= dial: %s", fields.get("DialCallStatus"))
    try:
        # Another process may have the stream, which only says that it is over.
        app.store.note_end_reason(call_sid, reason)
    except StoreUnavailable as error:
        log.error("! end reason not noted: %s", error)
    live = app.registry.find(call_sid)
    if live is not None:
        live.cut(reason)
    return _xml(twiml.part(agent.language, agent.line("closing", {}), reached=reached))


def _opening(agent: Agent, log: CallLogger) -> str | None:
    try:
        return agent.line("opening", {})
    except CannotFill as error:
        log.error("! agent %s: %s", agent.name, error)
        return None


def _xml(document: str) -> Response:
    return Response(document, content_type="text/xml; charset=utf-8")
