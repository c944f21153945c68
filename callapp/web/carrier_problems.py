"""What Twilio's REST API does wrong, as problems."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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
