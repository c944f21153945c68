"""Twilio's detection of answering machines, as it is ordered and as it reports. Pure.

https://www.twilio.com/docs/voice/answering-machine-detection
"""

from __future__ import annotations

from dataclasses import dataclass

from callapp.conversation.events import Answered


@dataclass(frozen=True)
class Detection:
    """An order to listen for a machine, beside the call, and to tell ``callback`` who answered.

    Args:
        callback: an absolute URL.
        timeout_s: for how long to listen, 3 to 59.
    """

    callback: str
    timeout_s: int

    @property
    def parameters(self) -> dict[str, str | int]:
        """What it adds to a dial. A machine is reported when it records; a person at once."""
        return {
            "machine_detection": "DetectMessageEnd",
            "machine_detection_timeout": self.timeout_s,
            "async_amd": "true",
            "async_amd_status_callback": self.callback,
            "async_amd_status_callback_method": "POST",
        }


def read_answered_by(word: str) -> Answered:
    """What Twilio's ``AnsweredBy`` means for a call; ``unknown`` is taken for a person."""
    if word == "fax":  # takes no message, but by leaving one we are rid of it soonest
        return Answered(machine=True, recording=True)
    return Answered(machine=word.startswith("machine"), recording=word.startswith("machine_end"))
