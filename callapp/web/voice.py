"""Twilio's webhooks: a call came in or was answered, and what became of a call we placed.

A ringing phone is always answered with TwiML, whatever is broken here; nothing but the database is waited
for on the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from callapp.agents import Agent
from callapp.call.dial import call_off
from callapp.call.pairing import OTHER_NUMBER, Place
from callapp.call_log import Admission, StoreUnavailable
from callapp.call_log.records import TERMINAL_STATUSES
from callapp.errors import CallappError
from callapp.logs import CallLogger, call_logger, mask_number
from callapp.recording.at_twilio import path_of
from callapp.recording.deletion import delete_at_twilio
from callapp.services import Services, services
from callapp.telephony import interpreter_lines, twiml
from callapp.web.forwarding import STREAM_WITHIN_S, TOKEN_LIVES_S, forward
from callapp.web.guard import require_twilio
from callapp.web.interpreter_menu import Menu
from callapp.web.problems import Problem
from callapp.web.urls import public_origin

LONGEST_ANSWERED_BY = 40

blueprint = Blueprint("voice", __name__)
blueprint.before_request(require_twilio)


@blueprint.route("/incoming-call", methods=["GET", "POST"])
def incoming_call() -> ResponseReturnValue:
    """A phone is ours to answer: one that rang us, or one we dialled and that was picked up."""
    fields = _fields()
    call_sid = _required(fields, "CallSid")
    log = call_logger(call_sid, __name__)
    try:
        return _xml(_answer(call_sid, fields, log))
    except _CannotAnswer as error:
        log.error("! %s", error)
    except StoreUnavailable as error:
        log.error("! database: %s", error)
    except Exception:  # a bug of ours: the phone rings nevertheless
        log.exception("! webhook")
    return _xml(twiml.apology(services().agents.default.language))


@blueprint.post("/call-status")
def call_status() -> ResponseReturnValue:
    """How a call of ours goes. Comes late, twice and out of order."""
    fields = _fields()
    call_sid = _required(fields, "CallSid")
    status = _required(fields, "CallStatus")
    placed_id, pair = request.args.get("placed"), request.args.get("pair")
    log = call_logger(call_sid, __name__)
    app = services()
    try:
        if app.store.note_status(
            call_sid, status, _sequence_number(fields), placed_id, app.follow_ups.said_to_be_over
        ):
            log.info("= %s", status)
    except StoreUnavailable as error:  # Twilio is asked how the call ended
        log.error("! status %s not noted: %s", status, error)
    if status in TERMINAL_STATUSES:
        if placed_id is not None:
            app.registry.also_known_as(placed_id, call_sid)  # this may be the first we hear of its SID
        app.registry.call_ended_elsewhere(call_sid, status)
        if pair is not None:
            app.pairs.give_up(pair, "other.hung_up" if status == "completed" else "other.unreachable")
    # A phone may begin to ring after that: Twilio took its dial, and we did not hear of it in time.
    if pair is not None and app.pairs.is_over(pair):
        _call_off(pair, log)
    return "", 204


def _call_off(pair: str, log: CallLogger) -> None:
    """One of two who were to talk is not there any more: the other's phone rings no longer."""
    app = services()
    for place in (Place(pair, 0), Place(pair, 1)):
        try:
            call_off(place.placed_id, app.store, app.carrier, app.registry)
        except CallappError as error:
            log.error("! the call to the other party could not be called off: %s", error)


@blueprint.post("/answered-by")
def answered_by() -> ResponseReturnValue:
    """Who picked up a call that we placed, a person or a machine. Comes once, or twice, or too late."""
    fields = _fields()
    call_sid = _required(fields, "CallSid")
    who = _required(fields, "AnsweredBy")[:LONGEST_ANSWERED_BY]
    app = services()
    note = partial(app.store.note_answered_by, call_sid, who, request.args.get("placed"))
    app.later.note(note, f"answered by {who}", call_logger(call_sid, __name__))
    app.verdicts.arrived(call_sid, who)
    return "", 204


@blueprint.post("/recording-status")
def recording_status() -> ResponseReturnValue:
    """A recording that Twilio made is there, or was not made."""
    fields = _fields()
    call_sid = _required(fields, "CallSid")
    recording_sid = _required(fields, "RecordingSid")
    seconds = fields.get("RecordingDuration", "")
    if fields.get("RecordingStatus") == "completed" and re.fullmatch("RE[0-9a-f]{32}", recording_sid):
        seconds_known = float(seconds) if re.fullmatch("[0-9]{1,9}", seconds) else None
        log = call_logger(call_sid, __name__)
        note = partial(_note_recording, services(), call_sid, recording_sid, seconds_known, log)
        services().later.note(note, f"recording {recording_sid}", log)
    return "", 204


def _note_recording(
    app: Services, call_sid: str, recording_sid: str, seconds: float | None, log: CallLogger
) -> None:
    if app.store.note_recording(call_sid, path_of(recording_sid), seconds):
        return
    try:  # the call was deleted before its recording was there
        delete_at_twilio(recording_sid, app.carrier)
    except CallappError as error:
        log.error(
            "! the call was deleted, its recording %s at Twilio was not: delete it by hand. %s",
            recording_sid,
            error,
        )


class _CannotAnswer(Exception):
    """No agent can be put on this call."""


def _answer(call_sid: str, fields: MultiDict[str, str], log: CallLogger) -> str:
    app = services()
    agent, admission = _who(call_sid, fields)
    if agent.kind == "captions":
        if admission.direction != "incoming":
            raise _CannotAnswer(f"agent {agent.name} only listens: it cannot be put on a call that we placed")
        return forward(admission, agent, log)
    if agent.kind == "interpreter" and Place.of(admission.parameters) is None:
        known = _whom_to_call(agent, admission, fields)
        if isinstance(known, str):
            return known
        admission = replace(admission, parameters={**admission.parameters, **known})
    missing = agent.missing(admission.parameters)
    if missing:
        log.error("! agent %s lacks values for: %s", agent.name, ", ".join(missing))
    key = admission.slot_key
    if not app.registry.take_slot(key):
        log.warning("! refused: %s", "draining" if app.registry.drain_requested else "all lines are busy")
        return twiml.busy(agent.language)
    try:
        app.registry.also_known_as(key, call_sid)
        app.registry.expect_stream(key, STREAM_WITHIN_S)
        token = app.store.issue_token(admission, TOKEN_LIVES_S)
        language, opening, closing = _words(agent, admission.parameters)
        document = twiml.connect_stream(
            stream_url=twiml.stream_url(public_origin()),
            token=token,
            agent=agent.name,
            parameters=admission.parameters,
            language=language,
            notice=agent.record.notice if agent.record.by != "none" else None,
            opening=opening,
            closing=closing,
        )
    except BaseException:
        app.registry.give_back(key)
        raise
    app.registry.answered(key)
    log.info(
        "< answered by agent %s, %s from %s",
        agent.name,
        admission.direction,
        mask_number(admission.from_number),
    )
    return document


def _whom_to_call(agent: Agent, admission: Admission, fields: MultiDict[str, str]) -> str | dict[str, str]:
    """TwiML that asks whom to call; or, where that is known, what this call is to be known by."""
    settings = services().settings
    if agent.other_party is not None or OTHER_NUMBER in admission.parameters:
        return Place.new().parameters
    if not settings.allowed_destinations:
        raise _CannotAnswer(
            f"agent {agent.name}: set other_party, or ALLOWED_DESTINATIONS to let callers choose"
        )
    action = f"{public_origin()}/incoming-call?{urlencode({'agent': agent.name})}"
    return Menu(agent, action, settings.may_dial).answer(request.args, fields.get("Digits", ""))


def _words(agent: Agent, parameters: Mapping[str, str]) -> tuple[str, str | None, str | None]:
    """In which language Twilio is to read out what, before the stream and after it."""
    place = Place.of(parameters)
    if agent.kind == "interpreter" and place is not None:
        lines = interpreter_lines.lines(agent.languages[place.side])
        return lines.tag, lines.notice, lines.parting
    return agent.language, agent.line("opening", parameters), agent.line("closing", parameters)


def _who(call_sid: str, fields: MultiDict[str, str]) -> tuple[Agent, Admission]:
    """Who is to speak, and to whom."""
    app = services()
    placed_id = request.args.get("placed")
    if placed_id is None:
        admission = Admission(
            slot_key=call_sid,
            call_sid=call_sid,
            agent=request.args.get("agent") or _agent_of(fields.get("To", "")),
            parameters={},
            direction="incoming",
            from_number=fields.get("From", ""),
            to_number=fields.get("To", ""),
        )
    else:
        placed = app.store.find_placed(placed_id)
        if placed is None:
            raise _CannotAnswer(f"no call was placed under the id {placed_id!r}")
        admission = Admission(
            slot_key=placed.id,
            call_sid=call_sid,
            agent=placed.agent,
            parameters=placed.parameters,
            direction="outgoing",
            from_number=placed.from_number,
            to_number=placed.to_number,
        )
    agent = app.agents.get(admission.agent)
    if agent is None:
        raise _CannotAnswer(f"there is no agent {admission.agent!r}")
    return agent, replace(admission, parameters=agent.parameters_of(admission.parameters))


def _agent_of(number: str) -> str:
    """The agent of the number that was called, or the default one."""
    app = services()
    agent = app.agents.of_number(number)
    return agent.name if agent is not None else app.settings.default_agent


def _fields() -> MultiDict[str, str]:
    """Twilio's fields: in the body of a POST, in the query of a GET."""
    return request.form if request.method == "POST" else request.args


def _required(fields: MultiDict[str, str], name: str) -> str:
    value = fields.get(name)
    if not value:
        raise Problem(400, f"The field {name} is missing: is this a webhook of Twilio's voice service?")
    return value


def _sequence_number(fields: MultiDict[str, str]) -> int | None:
    """Where a status stands among those of its call, from 0; callbacks of a phone number have none."""
    number = fields.get("SequenceNumber", "")
    return int(number) if re.fullmatch(r"[0-9]{1,9}", number) else None


def _xml(document: str) -> Response:
    return Response(document, content_type="text/xml; charset=utf-8")
