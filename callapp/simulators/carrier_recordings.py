"""The pretend Twilio's recordings of calls: ordered over REST, told of when the call is over, fetched.

https://www.twilio.com/docs/voice/api/recording
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callapp.simulators.carrier_api import Form, Refusal, one
from callapp.simulators.phone_call import Call
from callapp.simulators.phone_record import new_sid

_PARAMETERS = frozenset(
    {
        "RecordingChannels",
        "RecordingStatusCallback",
        "RecordingStatusCallbackEvent",
        "RecordingStatusCallbackMethod",
        "RecordingTrack",
        "Trim",
    }
)


@dataclass
class Recordings:
    """All recordings of one carrier, by their SIDs."""

    account_sid: str
    _calls: dict[str, Call] = field(default_factory=dict)

    def start(self, call: Call, form: Form) -> dict[str, Any]:
        """Begin to record a live call.

        Raises:
            Refusal: as Twilio would.
        """
        if unknown := set(form) - _PARAMETERS:
            raise Refusal(400, 20001, f"The parameters {sorted(unknown)} are not known here")
        if call.status != "in-progress":
            raise Refusal(400, 21220, "Requested resource is not eligible for recording")
        sid = new_sid("RE")
        self._calls[sid] = call
        call.record(sid, one(form, "RecordingStatusCallback"))
        return {"sid": sid, "call_sid": call.sid, "account_sid": self.account_sid, "status": "in-progress"}

    def answer(self, method: str, path: str) -> tuple[int, dict[str, Any] | bytes] | None:
        """Serve a recording's own address; ``None`` for any other."""
        found = re.search(rf"/Accounts/{self.account_sid}/Recordings/(RE[0-9a-f]{{32}})\.(json|wav)$", path)
        if found is None:
            return None
        call = self._calls.get(found[1])
        if call is None or not call.ended:
            raise Refusal(404, 20404, f"The requested resource {path} was not found")
        if method == "DELETE":
            del self._calls[found[1]]
            return 204, b""
        if found[2] == "wav":
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "recording.wav"
                call.write_wav(file)
                return 200, file.read_bytes()
        return 200, {"sid": found[1], "call_sid": call.sid, "status": "completed"}
