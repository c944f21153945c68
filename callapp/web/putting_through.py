"""How a call is put through to a person from outside: over the API."""

from __future__ import annotations

from callapp.call.liaison import Answer
from callapp.call_log.documents import Call
from callapp.conversation.away import TRANSFERRED
from callapp.errors import CarrierTimeout
from callapp.logs import call_logger
from callapp.sentences import N_, words_of
from callapp.services import Services
from callapp.telephony import twiml
from callapp.web.by_sid import whole_call
from callapp.web.carrier_problems import carrier_problems, ending_as
from callapp.web.problems import Problem


def put_through(call_sid: str, destination: str, app: Services) -> None:
    """Let a person have the caller.

    The agent tells the caller first, whichever process carries the call, and has them back if nobody answers.
    Where the caller is not with the agent, but waits for a colleague, say, or the process is gone, the phone
    company is asked to ring that person at once.

    Raises:
        Problem: 400, 404, 409, 502, 503 or 504.
    """
    call, is_away = _going_on(call_sid, app)
    agent = app.agents.get(call.agent)
    numbers = agent.transfer_to if agent is not None else {}
    if destination not in numbers:
        named = ", ".join(sorted(numbers)) or "none"
        raise Problem(
            400,
            N_(
                "The agent %(agent)r has no destination %(destination)r: it has %(named)s.",
                agent=call.agent,
                destination=destination,
                named=named,
            ),
        )
    if call.direction == "browser" or (agent is not None and agent.kind == "interpreter"):
        raise Problem(409, N_("A call in a browser, or of an interpreter, cannot be put through."))
    answer = Answer.NOBODY if is_away else app.liaison.order(call_sid, "transfer", destination)
    if answer is Answer.REFUSED:
        raise Problem(409, N_("The caller is put through to somebody already, or the call is about to end."))
    if answer is Answer.NOBODY:
        _going_on(call_sid, app)  # while the order was waited for, a colleague may have got the caller
        caller_id = call.from_number if call.direction == "outgoing" else None
        _at_once(call_sid, twiml.put_through(numbers[destination], caller_id), app)
    call_logger(call_sid, __name__).info("> put through to %s, as asked over the API", destination)


def _going_on(call_sid: str, app: Services) -> tuple[Call, bool]:
    """The call, which must not be over for us, and whether it is away."""
    call, away = whole_call(call_sid), app.switchboard.away.find(call_sid)
    decided = away is not None and away.outcome is not None  # the record hears of that later
    if not call.goes_on or decided:
        raise Problem(409, N_("The call is over."))
    return call, away is not None


def _at_once(call_sid: str, document: str, app: Services) -> None:
    try:
        with ending_as(TRANSFERRED, call_sid, app.store), carrier_problems("put through"):
            app.carrier.redirect(call_sid, document)
    except CarrierTimeout as error:
        raise Problem(
            504,
            N_("%(error)s; the caller may have been put through all the same.", error=words_of(error)),
        ) from error
    app.switchboard.taken_elsewhere(call_sid)  # who waited for a colleague does so no longer
