"""Recordings that Twilio makes: ordered when the call's stream begins, known once Twilio says so."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from callapp.call.journal import Listener, Particulars
from callapp.conversation.facts import Began, Fact
from callapp.errors import CallappError
from callapp.logs import call_logger

PREFIX = "twilio:"


def orders(start_recording: Callable[[str, str], None], callback: str) -> Listener:
    """The listener that has Twilio record a call.

    Args:
        start_recording: takes a call's SID and where to tell that the recording is there. Blocks; raises
            `CallappError`.
    """

    def listen(call: Particulars, fact: Fact, _at_ms: float) -> None:
        if isinstance(fact, Began) and not call.resumed:  # what left its stream is still being recorded
            Thread(target=order, args=(call,), name="errand", daemon=True).start()

    def order(call: Particulars) -> None:
        try:
            start_recording(call.call_sid, callback)
        except CallappError as error:
            call_logger(call.call_sid, __name__).error("! Twilio does not record the call: %s", error)

    return listen


def path_of(recording_sid: str) -> str:
    """What stands for a recording of Twilio's in the record."""
    return PREFIX + recording_sid


def sid_of(path: str) -> str | None:
    """The SID of a recording of Twilio's; ``None`` for one of our own."""
    return path.removeprefix(PREFIX) if path.startswith(PREFIX) else None
