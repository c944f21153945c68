"""The pretend Twilio's customer: the account, and the phone numbers it has bought.

https://www.twilio.com/docs/iam/api/account and
https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from callapp.simulators.carrier_api import Form, Refusal, first_page, is_url, one
from callapp.simulators.phone_record import new_sid

_CREATED = "Mon, 02 Nov 2026 09:00:00 +0000"
_URLS = {
    "VoiceUrl": "voice_url",
    "VoiceFallbackUrl": "voice_fallback_url",
    "StatusCallback": "status_callback",
}
_METHODS = {
    "VoiceMethod": "voice_method",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallbackMethod": "status_callback_method",
}
_TEXTS = {"FriendlyName": "friendly_name", "VoiceApplicationSid": "voice_application_sid"}


@dataclass
class OwnNumber:
    """A phone number of the customer's.

    Args:
        phone_number: in E.164.
        voice: whether it can have calls at all; some are for messages only.
        changes: what was set of it, by the name that the API shows.
    """

    phone_number: str
    voice: bool = True
    sid: str = field(default_factory=lambda: new_sid("PN"))
    changes: dict[str, str] = field(default_factory=dict)

    @property
    def voice_url(self) -> str:
        """Where Twilio asks what to do with a call that comes in."""
        return self.changes.get("voice_url", "")


class Account:
    """The customer. Safe from any thread.

    Args:
        sid: of the account.
        kind: ``Full`` or ``Trial``.
        status: ``active``, ``suspended`` or ``closed``.
        numbers: its phone numbers; with any, calls can be placed from these only.
    """

    def __init__(self, sid: str, kind: str, status: str, numbers: Sequence[OwnNumber]) -> None:
        self.sid = sid
        self.kind = kind
        self.status = status
        self.numbers = tuple(numbers)
        self._lock = Lock()

    def may_call_from(self, number: str) -> bool:
        """Tell whether a call can be placed from that number."""
        return not self.numbers or any(own.phone_number == number and own.voice for own in self.numbers)

    def answer(self, method: str, path: str, query: Form, form: Form) -> tuple[int, dict[str, Any]] | None:
        """Answer a request about the account or its numbers; None if it is about neither."""
        base = f"/2010-04-01/Accounts/{self.sid}"
        if path == f"{base}.json" and method == "GET":
            return 200, self._resource()
        if path == f"{base}/IncomingPhoneNumbers.json" and method == "GET":
            return 200, self._list(path, query)
        if not path.startswith(f"{base}/IncomingPhoneNumbers/"):
            return None
        sid = path.removeprefix(f"{base}/IncomingPhoneNumbers/").removesuffix(".json")
        number = next((own for own in self.numbers if own.sid == sid), None)
        if number is None or not path.endswith(".json"):
            return None
        if method == "POST":
            changes = _changes(form)
            with self._lock:
                number.changes |= changes
        return 200, self._number(number)

    def _resource(self) -> dict[str, Any]:
        return {
            "auth_token": None,
            "date_created": _CREATED,
            "date_updated": _CREATED,
            "friendly_name": "A customer of the pretend Twilio",
            "owner_account_sid": self.sid,
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"calls": f"/2010-04-01/Accounts/{self.sid}/Calls.json"},
            "type": self.kind,
            "uri": f"/2010-04-01/Accounts/{self.sid}.json",
        }

    def _list(self, path: str, query: Form) -> dict[str, Any]:
        found = [own for own in self.numbers if _matches(own.phone_number, one(query, "PhoneNumber"))]
        return first_page("incoming_phone_numbers", [self._number(own) for own in found], path, query)

    def _number(self, own: OwnNumber) -> dict[str, Any]:
        with self._lock:
            changes = dict(own.changes)
        return {
            "account_sid": self.sid,
            "address_requirements": "none",
            "address_sid": None,
            "api_version": "2010-04-01",
            "beta": False,
            "capabilities": {"fax": False, "mms": True, "sms": True, "voice": own.voice},
            "date_created": _CREATED,
            "date_updated": _CREATED,
            "emergency_status": "Inactive",
            "friendly_name": own.phone_number,
            "origin": "twilio",
            "phone_number": own.phone_number,
            "sid": own.sid,
            "status": "in-use",
            "status_callback": "",
            "status_callback_method": "POST",
            "trunk_sid": None,
            "uri": f"/2010-04-01/Accounts/{self.sid}/IncomingPhoneNumbers/{own.sid}.json",
            "voice_application_sid": "",
            "voice_caller_id_lookup": False,
            "voice_fallback_method": "POST",
            "voice_fallback_url": "",
            "voice_method": "POST",
            "voice_url": "",
        } | changes


def _changes(form: Form) -> dict[str, str]:
    """Return what a form sets, by the names that the API shows.

    Raises:
        Refusal: for anything that Twilio would not take, or that is not pretended here.
    """
    changes = {}
    for name in form:
        value = one(form, name)
        if name in _URLS:
            if value and not is_url(value):
                raise Refusal(400, 21402, f"{name} is not valid: {value}")
            changes[_URLS[name]] = value
        elif name in _METHODS:
            if value not in ("GET", "POST"):
                raise Refusal(400, 21403, f"{name} {value!r} is neither GET nor POST")
            changes[_METHODS[name]] = value
        elif name in _TEXTS:
            changes[_TEXTS[name]] = value
        else:
            raise Refusal(400, 20001, f"The parameter {name} is not known here")
    return changes


def _matches(number: str, pattern: str) -> bool:
    """Whether a number matches what is looked for: a part of it, ``*`` for any digit."""
    return re.search(re.escape(pattern).replace(r"\*", "[0-9]"), number) is not None
