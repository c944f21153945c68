"""``POST /outgoing-call``: place a call.

The order of the checks is the order in which the answers are documented: 401, 413 and 415, 400, 404, 403,
429, 503, 502 and 504. Everything that was taken on the way (the idempotency key, the call's slot) is given
back by the function that took it.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from flask import Blueprint, g
from flask.typing import ResponseReturnValue

from callapp.call.dial import call_off, dial_in_slot, no_longer_expect
from callapp.call.pairing import Place
from callapp.call_log import Claim, ClaimOutcome, PlacedCall, StoreUnavailable
from callapp.call_log.idempotency import IdempotencyKeys
from callapp.errors import CallappError, CarrierError, CarrierTimeout
from callapp.logs import mask_number
from callapp.sentences import N_, words_of
from callapp.services import services
from callapp.telephony.rest import Placed
from callapp.web.call_request import CallRequest, check_call_request, read_json
from callapp.web.carrier_problems import carrier_problems
from callapp.web.guard import require_api_key
from callapp.web.problems import Problem
from callapp.web.slots import take_slot
from callapp.web.urls import public_origin

log = logging.getLogger(__name__)

RETRY_WHEN_IN_PROGRESS_S = 2

blueprint = Blueprint("outgoing", __name__)
blueprint.before_request(require_api_key)


@blueprint.post("/outgoing-call")
def outgoing_call() -> ResponseReturnValue:
    app = services()
    # Counted first, so that requests which fail count too; answered at its place in the order.
    too_many = count_request()
    call = check_call_request(read_json())
    if too_many is not None:
        raise too_many
    if call.idempotency_key is None:
        return place_call(call), 201
    claim = IdempotencyKeys(app.store).claim(g.api_user, call.idempotency_key, call.body_hash)
    match claim.outcome:
        case ClaimOutcome.NEW:
            return _dial_once(call, claim), 201
        case ClaimOutcome.REPLAY:
            return {**(claim.body or {}), **_whom(call)}, claim.status
        case ClaimOutcome.OTHER_BODY:
            raise Problem(
                422, "This Idempotency-Key was used for a different call: take a new key for a new call."
            )
        case ClaimOutcome.IN_PROGRESS:
            raise Problem(
                409,
                "The first request with this Idempotency-Key is still under way: ask again in a moment.",
                headers={"Retry-After": str(RETRY_WHEN_IN_PROGRESS_S)},
            )


def count_request() -> Problem | None:
    """Count a request of the API user; the 429 if it is one too many."""
    app = services()
    wait_s = app.rate_limits.count_key(g.api_user)
    if wait_s is None:
        return None
    return _too_many("RATE_LIMIT_PER_KEY", app.settings.rate_limit_per_key, wait_s)


def _dial_once(call: CallRequest, claim: Claim) -> dict[str, Any]:
    """Dial for an idempotency key; the answer is remembered if the dial was taken."""
    keys = IdempotencyKeys(services().store)
    try:
        body = place_call(call)
    except BaseException:
        try:
            keys.release(claim)
        except StoreUnavailable as error:  # the claim then dies of age
            log.error("! idempotency key not released: %s", error)
        raise
    try:
        # But for the numbers, which stand in each request with this key: whoever is forgotten is here, too.
        whom = _whom(call)
        keys.remember(claim, 201, {name: value for name, value in body.items() if name not in whom})
    except StoreUnavailable as error:  # the phone rings: the answer is still 201
        log.error("! answer not remembered for its idempotency key: %s", error)
    return body


def place_call(call: CallRequest) -> dict[str, Any]:
    """Count who is called, take slots, dial; return the body of the 201.

    Raises:
        Problem: 429, 502, 503 or 504.
    """
    app = services()
    for number in (call.to, call.other):
        wait_s = app.rate_limits.count_callee(number) if number is not None else None
        if wait_s is not None:
            raise _too_many("RATE_LIMIT_PER_CALLEE", app.settings.rate_limit_per_callee, wait_s)
    from_number = _our_number()
    if call.other is not None:
        return _dial_both(call, call.other, from_number)
    placed = _dial(
        PlacedCall(uuid.uuid4().hex, call.agent.name, call.parameters, from_number, call.to),
        call.agent.detection_s,
    )
    return _body(call, placed, from_number)


def _dial_both(call: CallRequest, other: str, from_number: str) -> dict[str, Any]:
    """Dial two people who are to talk; neither is called without the other."""
    place = Place.new()
    first, second = (
        PlacedCall(one.placed_id, call.agent.name, {**call.parameters, **one.parameters}, from_number, number)
        for one, number in ((place, call.to), (place.other, other))
    )
    registry = services().registry
    take_slot(first.id, registry)
    try:  # before anybody's phone rings, to be called off at once
        take_slot(second.id, registry)
    except Problem:
        registry.give_back(first.id)
        raise
    try:
        placed = _dial(first)
    except BaseException:
        registry.give_back(second.id)
        _give_up(place.pair, first)
        raise
    try:
        placed_other = _dial(second)
    except BaseException:
        _give_up(place.pair, second)
        _call_off(placed.sid)
        raise
    if _is_over(first):  # picked up and put down meanwhile: its end found no second phone to call off
        _call_off(placed_other.sid)
    return _body(call, placed, from_number) | {"otherCallSid": placed_other.sid}


def _give_up(pair: str, undialled: PlacedCall) -> None:
    """One of two cannot be called, as far as is known: who has picked up is told, and no phone is to ring."""
    app = services()
    app.pairs.give_up(pair, "other.unreachable")
    try:
        call_off(undialled.id, app.store, app.carrier, app.registry)
    except CallappError as error:
        log.error("! a call that may ring could not be called off: %s", error)


def _is_over(call: PlacedCall) -> bool:
    try:
        placed = services().store.find_placed(call.id)
    except StoreUnavailable as error:  # both phones ring: the answer is still 201
        log.error("! not known whether the first call still rings: %s", error)
        return False
    return placed is not None and placed.over


def _call_off(call_sid: str) -> None:
    app = services()
    try:
        app.carrier.cancel_call(call_sid)
        no_longer_expect(call_sid, call_sid, app.store, app.registry)
    except CarrierError as error:
        log.error("! a call could not be called off: %s", error, extra={"call_sid": call_sid})


def _body(call: CallRequest, placed: Placed, from_number: str) -> dict[str, Any]:
    return {
        "callSid": placed.sid,
        "status": placed.status,
        "from": from_number,
        "agent": call.agent.name,
        **_whom(call),
    }


def _whom(call: CallRequest) -> dict[str, str]:
    """Who is called, as the answer names them."""
    return {"to": call.to} | ({} if call.other is None else {"otherTo": call.other})


def _dial(call: PlacedCall, detection_s: int | None = None) -> Placed:
    """Take a slot, unless it is taken already, and dial."""
    app, origin = services(), public_origin()
    take_slot(call.id, app.registry)
    try:
        with carrier_problems("dial"):
            placed = dial_in_slot(call, origin, app.store, app.carrier, app.registry, detection_s=detection_s)
    except CarrierTimeout as error:
        log.error("! dial of %s: %s", call.id, error)
        raise Problem(
            504, N_("%(error)s; the call may have been placed all the same.", error=words_of(error))
        ) from error
    log.info(
        "> dialled %s for agent %s", mask_number(call.to_number), call.agent, extra={"call_sid": placed.sid}
    )
    return placed


def _our_number() -> str:
    """FROM_PHONE_NUMBER, once all that a dial needs is known to be set."""
    settings = services().settings
    needed = {
        "TWILIO_ACCOUNT_SID": settings.twilio_account_sid,
        "TWILIO_AUTH_TOKEN": settings.twilio_auth_token,
        "FROM_PHONE_NUMBER": settings.from_phone_number,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing or settings.from_phone_number is None:
        raise Problem(
            503, N_("No call can be placed before these are set: %(names)s.", names=", ".join(missing))
        )
    return settings.from_phone_number


def _too_many(setting: str, limit: object, wait_s: int) -> Problem:
    return Problem(
        429,
        N_(
            "Too many calls: %(setting)s allows %(limit)s. Try again in %(wait_s)s s.",
            setting=setting,
            limit=limit,
            wait_s=wait_s,
        ),
        headers={"Retry-After": str(wait_s)},
    )
