"""An answer of the pretend Twilio's REST API that says no.

Bodies are Twilio's: ``code``, ``message``, ``more_info``, ``status``
(https://www.twilio.com/docs/usage/twilios-response, codes: https://www.twilio.com/docs/api/errors).
"""

from __future__ import annotations


class Refusal(Exception):
    """An answer of Twilio's that says no."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "code": code,
            "message": message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }
