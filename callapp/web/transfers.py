"""What Twilio asks about calls that are away from their stream: how a dial went, what a colleague does.

Which call it is about, these requests tell by its SID: their own, the parent of the one that was dialled,
or the one that we wrote into the URL; Twilio's signature covers it.
"""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from callapp.call.switchboard import Switchboard, summary_of
from callapp.call_log.records import TERMINAL_STATUSES
from callapp.call_log.store import StoreUnavailable
from callapp.conversation.away import TRANSFERRED
from callapp.errors import CallappError
from callapp.logs import call_logger
from callapp.services import Services, services
from callapp.telephony import twiml
from callapp.web.guard import require_twilio
from callapp.web.urls import public_origin

HUNG_UP = "caller.hung_up"
TAKE_KEY = "1"

# Why a dial came to nothing, as the model is told.
_WHY = {
    "busy": "the line was busy",
    "no-answer": "nobody answered",
    "canceled": "the ringing was broken off",
    "failed": "the number could not be reached",
}
_DECLINED = "the colleague did not take the call"

blueprint = Blueprint("transfers", __name__, url_prefix="/transfer")
blueprint.before_request(require_twilio)


@blueprint.post("/answered")
def answered() -> ResponseReturnValue:
    """Somebody has picked up a phone that was dialled for a caller: the call is theirs now."""
    fields = request.form
    if fields.get("CallStatus") == "in-progress":
        _note_over(fields.get("ParentCallSid", ""), TRANSFERRED)
    return "", 204


@blueprint.post("/over")
def over() -> ResponseReturnValue:
    """A dial is over, or came to nothing: the caller goes, or comes back to us."""
    fields = request.form
    call_sid = fields.get("CallSid", "")
    board, log = services().switchboard, call_logger(call_sid, __name__)
    dialled = fields.get("DialCallStatus", "")
    log.info("= dial: %s", dialled)
    try:
        if dialled == "completed":  # they have talked
            _note_over(call_sid, TRANSFERRED)
            return _xml(twiml.hang_up())
        if fields.get("CallStatus") in TERMINAL_STATUSES:  # the caller, while it rang or in the conference
            _note_over(call_sid, HUNG_UP)
            board.stop_ringing(call_sid)
            return _xml(twiml.hang_up())
        board.away.send_back(call_sid, _WHY.get(dialled, _DECLINED))
        # Looked up in any case: Twilio asks twice where our first answer was lost, and goes by the second.
        call = board.away.find(call_sid)
        if call is not None and call.outcome is None:
            return _xml(board.way_back(call, public_origin()))
    except CallappError as error:
        log.error("! the caller cannot come back: %s", error)
        return _xml(twiml.apology(services().agents.default.language))
    return _xml(twiml.hang_up())


@blueprint.post("/fallback")
def fallback() -> ResponseReturnValue:
    """The dial to an agent's `fallback_number` is over: where nobody was there, the caller is told so."""
    dialled = request.form.get("DialCallStatus", "")
    call_logger(request.form.get("CallSid", ""), __name__).info("= dial to the fallback number: %s", dialled)
    if dialled == "completed":  # they have talked
        return _xml(twiml.hang_up())
    return _xml(twiml.nobody_there(_language(request.args.get("agent", ""))))


@blueprint.post("/colleague")
def colleague() -> ResponseReturnValue:
    """A colleague has picked up: they hear what the call is about, and are asked to take it."""
    call_sid = request.args.get("call", "")
    try:
        call = services().switchboard.away.find(call_sid)
    except CallappError as error:
        call_logger(call_sid, __name__).error("! colleague: %s", error)
        call = None
    if call is None or call.room is None or call.why or call.outcome is not None:
        return _xml(twiml.too_late(_language(call.admission.agent if call else "")))
    origin = public_origin()
    return _xml(
        twiml.ask_colleague(
            summary_of(call),
            action=f"{origin}/transfer/take?call={call_sid}",
            language=_language(call.admission.agent),
        )
    )


@blueprint.post("/take")
def take() -> ResponseReturnValue:
    """A colleague has pressed a key: they take the call, or they do not."""
    call_sid = request.args.get("call", "")
    board, log = services().switchboard, call_logger(call_sid, __name__)
    try:
        call = board.away.find(call_sid)
        if request.form.get("Digits") != TAKE_KEY or call is None or call.room is None:
            log.info("= the colleague declines")
            return _xml(twiml.hang_up())  # the end of their call brings the caller back
        if _over(services(), call_sid, TRANSFERRED):
            log.info("= the colleague takes the call")
            return _xml(twiml.join(call.room))
    except CallappError as error:
        log.error("! colleague: %s", error)
        return _xml(twiml.hang_up())
    return _xml(twiml.too_late(_language(call.admission.agent)))


@blueprint.post("/colleague-status")
def colleague_status() -> ResponseReturnValue:
    """How the call to a colleague goes: when it ends and was not taken, the caller comes back."""
    call_sid = request.args.get("call", "")
    status = request.form.get("CallStatus", "")
    if status in TERMINAL_STATUSES:
        app, why = services(), _WHY.get(status, _DECLINED)
        origin = public_origin()
        # Also where the database is away: Twilio does not say so again, and the caller hears music.
        bring_back = partial(_bring_back, app.switchboard, call_sid, why, origin)
        app.later.note(bring_back, why, call_logger(call_sid, __name__))
    return "", 204


def _bring_back(board: Switchboard, call_sid: str, why: str, origin: str) -> None:
    try:
        board.bring_back(call_sid, why, origin)
    except StoreUnavailable:
        raise
    except CallappError as error:
        call_logger(call_sid, __name__).error("! the caller could not be brought back: %s", error)


def _note_over(call_sid: str, outcome: str) -> None:
    """The call is over for us, also where the database is away: Twilio does not say so again."""
    app = services()
    app.later.note(partial(_over, app, call_sid, outcome), outcome, call_logger(call_sid, __name__))


def _over(app: Services, call_sid: str, outcome: str) -> bool:
    """The call is over for us: so the database says, and so does its bridge, if it is here."""
    decided = app.switchboard.away.decide(call_sid, outcome)
    live = app.registry.find(call_sid)
    if decided and live is not None:
        live.cut(outcome)
    return decided


def _language(agent: str) -> str:
    agents = services().agents
    return (agents.get(agent) or agents.default).language


def _xml(document: str) -> Response:
    return Response(document, content_type="text/xml; charset=utf-8")
