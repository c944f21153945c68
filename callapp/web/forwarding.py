"""Callers who are put through to a person while we listen: the TwiML for it, and what comes after.

They are put through whatever happens here: without a slot, or without a database, the call has no captions,
and goes on.
"""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from callapp.agents import Agent
from callapp.call_log.records import TERMINAL_STATUSES, Admission
from callapp.call_log.store import StoreUnavailable
from callapp.logs import CallLogger, call_logger, mask_number
from callapp.services import services
from callapp.telephony import twiml
from callapp.web.guard import require_twilio
from callapp.web.urls import public_origin

# From our TwiML to the media stream; the opening is spoken in between.
STREAM_WITHIN_S = 60
TOKEN_LIVES_S = 300

blueprint = Blueprint("forwarding", __name__)
blueprint.before_request(require_twilio)


def forward(admission: Admission, agent: Agent, log: CallLogger) -> str:
    """TwiML that puts somebody who rang us through, and lets us listen where we can."""
    listening = _listening(admission, agent, log)
    if listening is not None:
        log.info("< put through by agent %s, from %s", agent.name, mask_number(admission.from_number))
    assert agent.forward_to is not None, "an agent file of captions without a forward_to is refused"
    return twiml.forward(
        agent.forward_to,
        language=agent.language,
        opening=agent.line("opening", {}),
        listening=listening,
    )


def _listening(admission: Admission, agent: Agent, log: CallLogger) -> twiml.Listening | None:
    """A slot, and how its stream gets into it; ``None`` where that cannot be."""
    app, key = services(), admission.slot_key
    if not app.registry.take_slot(key):
        log.warning("! no captions: %s", "draining" if app.registry.drain_requested else "all lines are busy")
        return None
    app.registry.expect_stream(key, STREAM_WITHIN_S)
    try:
        token = app.store.issue_token(admission, TOKEN_LIVES_S)
    except Exception as error:  # whatever is wrong on our side, the two have to be connected
        app.registry.give_back(key)
        if isinstance(error, StoreUnavailable):
            log.error("! no captions: database: %s", error)
        else:
            log.exception("! bug: no captions")
        return None
    origin = public_origin()
    over_url = f"{origin}/captions/over?{urlencode({'agent': agent.name})}"
    return twiml.Listening(twiml.stream_url(origin), token, agent.name, over_url)


@blueprint.post("/captions/over")
def over() -> ResponseReturnValue:
    """The person whom a caller was put through to has hung up, or did not answer; or the caller is gone."""
    app, fields = services(), request.form
    call_sid = fields.get("CallSid", "")
    log = call_logger(call_sid, __name__)
    agent = app.agents.get(request.args.get("agent", "")) or app.agents.default
    caller_gone = fields.get("CallStatus") in TERMINAL_STATUSES  # the stream tells so itself
    reached = fields.get("DialCallStatus") in ("completed", "answered")
    reason = "other.hung_up" if reached else "other.unreachable"
    log.info("= dial: %s", fields.get("DialCallStatus"))
    try:
        if not caller_gone:
            # Another process may have the stream, which only says that it is over.
            app.store.note_end_reason(call_sid, reason)
        app.store.ask_soon(call_sid)  # that process may have been killed, and nobody else closes the call
    except StoreUnavailable as error:
        log.error("! end of the call not noted: %s", error)
    if caller_gone:
        return _xml(twiml.hang_up())
    live = app.registry.find(call_sid)
    if live is not None:
        live.cut(reason)
    if not reached:
        return _xml(twiml.nobody_there(agent.language))
    return _xml(twiml.part(agent.language, agent.line("closing", {})))


def _xml(document: str) -> Response:
    return Response(document, content_type="text/xml; charset=utf-8")
