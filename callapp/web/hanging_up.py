"""How a call is ended from outside: over the API, and at the desk."""

from __future__ import annotations

from callapp.call.dial import no_longer_expect
from callapp.call.liaison import HUNG_UP, Answer
from callapp.call_log.documents import Call
from callapp.call_log.records import TERMINAL_STATUSES
from callapp.errors import CarrierTimeout
from callapp.logs import call_logger
from callapp.sentences import N_, words_of
from callapp.services import Services
from callapp.web.carrier_problems import carrier_problems, ending_as
from callapp.web.problems import Problem


def hang_up(call: Call, app: Services) -> None:
    """End a call; one that is over already is left alone.

    A phone's is ended at the phone company, a browser's by the process that carries it.

    Raises:
        Problem: 409, 502, 503 or 504.
    """
    if call.status in TERMINAL_STATUSES or call.call_sid is None:
        return
    if call.direction == "browser":
        if app.liaison.order(call.call_sid, "hang_up") is not Answer.DONE:
            raise Problem(409, N_("The call is over, or the process that carried it is gone."))
    else:
        try:
            with ending_as(HUNG_UP, call.call_sid, app.store), carrier_problems("hang up"):
                app.carrier.complete_call(call.call_sid)
        except CarrierTimeout as error:
            raise Problem(
                504, N_("%(error)s; the call may have ended all the same.", error=words_of(error))
            ) from error
        no_longer_expect(call.call_sid, call.call_sid, app.store, app.registry)
    call_logger(call.call_sid, __name__).info("> hung up, as asked from outside")
