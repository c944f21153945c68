"""A call that is named by its SID, or the problem that there is none."""

from __future__ import annotations

import re

from callapp.call_log.documents import WholeCall
from callapp.call_log.reading import find_call
from callapp.sentences import N_
from callapp.services import services
from callapp.web.problems import Problem

CALL_SID = "CA[0-9a-f]{32}"
SID_IN_PATH = {"call_sid": {"type": "string", "pattern": f"^{CALL_SID}$"}}


def is_call_sid(text: str) -> bool:
    return re.fullmatch(CALL_SID, text) is not None


def whole_call(call_sid: str) -> WholeCall:
    """All that is known of a call.

    Raises:
        Problem: 404.
    """
    found = find_call(services().store, call_sid) if is_call_sid(call_sid) else None
    if found is None:
        raise no_such_call()
    return found


def no_such_call() -> Problem:
    return Problem(404, N_("There is no such call."))
