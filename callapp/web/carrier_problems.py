"""What Twilio's REST API does wrong, as problems, and in the record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from callapp.call_log import Store, StoreUnavailable
from callapp.errors import CarrierRefused, CarrierUnreachable, ConfigError
from callapp.sentences import N_, Quoted, words_of
from callapp.web.problems import Problem

log = logging.getLogger(__name__)


@contextmanager
def carrier_problems(what: str) -> Iterator[None]:
    """Answer for a request to Twilio that is made inside; ``what`` names it in the log.

    Raises:
        Problem: 502, or 503 for settings that are missing.
        CarrierTimeout: what that means depends on what was asked for.
    """
    try:
        yield
    except CarrierRefused as error:
        log.error("! %s: Twilio refused: %s %s", what, error.code, error.message)
        raise Problem(
            502,
            N_("Twilio refused the call: %(message)s", message=Quoted(error.message)),
            code=error.code,
            message=error.message,
            more_info=error.more_info,
        ) from error
    except CarrierUnreachable as error:
        log.error("! %s: %s", what, error)
        raise Problem(502, N_("%(error)s.", error=words_of(error))) from error
    except ConfigError as error:
        raise Problem(503, f"{error}.") from error


@contextmanager
def ending_as(reason: str, call_sid: str, store: Store) -> Iterator[None]:
    """Note why a call ends that Twilio is asked to end inside, unless that does not come about: a `Problem`.

    Before it is asked: the end of the call may be told before its answer is there.

    Raises:
        StoreUnavailable: the database does not answer; Twilio was not asked.
    """
    store.note_end_reason(call_sid, reason)
    try:
        yield
    except Problem:  # the call goes on, and will end for a reason of its own
        with suppress(StoreUnavailable):
            store.take_back_end_reason(call_sid, reason)
        raise
