"""Recordings that Twilio makes: ordered when the call's stream begins, known once Twilio says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from callapp.call.journal import Listener, Particulars
from callapp.conversation.facts import Began, Fact
from callapp.errors import CallappError
from callapp.logs import call_logger
from callapp.threads import try_start

PREFIX = "twilio:"


def orders(start_recording: Callable[[str, str], None], callback: str) -> Listener:
    """The listener that has Twilio record a call.

    Args:
        start_recording: takes a call's SID and where to tell that the recording is there. Blocks; raises
            `CallappError`.
    """

    def listen(call: Particulars, fact: Fact, _at_ms: float) -> None:
        if not isinstance(fact, Began) or call.resumed:  # what left its stream is still being recorded
            return
        if try_start(partial(order, call), "errand") is None:
            complain(call, "the system has no thread left")

    def order(call: Particulars) -> None:
        try:
            start_recording(call.call_sid, callback)
        except CallappError as error:
            complain(call, error)

    def complain(call: Particulars, why: CallappError | str) -> None:
        call_logger(call.call_sid, __name__).error("! Twilio does not record the call: %s", why)

    return listen


def path_of(recording_sid: str) -> str:
    """What stands for a recording of Twilio's in the record."""
    return PREFIX + recording_sid


def sid_of(path: str) -> str | None:
    """The SID of a recording of Twilio's; ``None`` for one of our own."""
    return path.removeprefix(PREFIX) if path.startswith(PREFIX) else None
