"""How a pretend call tells the application about itself: webhooks and callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from callapp.simulators import webhooks
from callapp.simulators.phone_record import TERMINAL, CallRecord

_EVENTS = {"initiated": "initiated", "ringing": "ringing", "in-progress": "answered"}
_SIP_CODES = {"completed": 200, "busy": 486, "no-answer": 487, "canceled": 487, "failed": 503}


class Reporter:
    """The requests of one call. Runs in the event loop; the waiting is done by its threads."""

    def __init__(self, record: CallRecord) -> None:
        self._record = record
        self._sequence = 0
        self._callbacks: asyncio.Queue[tuple[str, str, dict[str, str]] | None] = asyncio.Queue()

    def fields(self) -> dict[str, str]:
        """Return what every request about this call carries."""
        plan = self._record.plan
        return {
            "AccountSid": self._record.exchange.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": self._record.sid,
            "CallStatus": self._record.status,
            "Called": plan.to_number,
            "Caller": plan.from_number,
            "CallerCity": "",  # Twilio sends blank fields, too; they are signed like others
            "Direction": plan.direction,
            "From": plan.from_number,
            "To": plan.to_number,
        } | ({"ParentCallSid": plan.parent_sid} if plan.parent_sid else {})

    async def ask(self, method: str, url: str, fields: Mapping[str, str]) -> webhooks.Answer:
        """Make one request and keep it.

        Raises:
            webhooks.WebhookFailed: there was no good answer.
        """
        record, exchange = self._record, self._record.exchange
        try:
            answer = await exchange.loop.run_in_executor(
                exchange.threads, webhooks.send, exchange.auth_token, method, url, fields, exchange.routes
            )
        except webhooks.WebhookFailed as error:
            failed = webhooks.Request(method, url, fields, None, str(error))
            record.keep(record.requests, failed, "request", f"{method} {url}: {error}")
            raise
        request = webhooks.Request(method, url, fields, answer)
        record.keep(record.requests, request, "request", f"{method} {url}: {answer.status}")
        return answer

    def status(self, status: str) -> None:
        """Report a step of the call, if somebody wanted to know of it."""
        callback = self._record.plan.status_callback
        if callback is None:
            return
        sequence, self._sequence = self._sequence, self._sequence + 1
        if _EVENTS.get(status, "completed") not in callback.events:
            return
        fields = self.fields() | {
            "CallStatus": status,
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(sequence),
            "Timestamp": format_datetime(datetime.now(UTC)),
        }
        if status in TERMINAL:
            seconds = round(self._record.duration_s)
            fields["CallDuration"] = str(seconds)
            fields["Duration"] = str(-(-seconds // 60))  # minutes begun: what is billed
            fields["SipResponseCode"] = str(_SIP_CODES[status])
        self._callbacks.put_nowait((callback.method, callback.url, fields))

    def answered_by(self, answered_by: str, took_ms: int) -> None:
        """Report who has picked up."""
        plan = self._record.plan.detection
        assert plan is not None
        fields = {
            "AccountSid": self._record.exchange.account_sid,
            "AnsweredBy": answered_by,
            "CallSid": self._record.sid,
            "MachineDetectionDuration": str(took_ms),
        }
        self._callbacks.put_nowait(("POST", plan.callback, fields))

    def stream(self, url: str, method: str, stream_sid: str, name: str, event: str, error: str = "") -> None:
        """Report a step of a stream that has a status callback of its own."""
        fields = {
            "AccountSid": self._record.exchange.account_sid,
            "CallSid": self._record.sid,
            "StreamSid": stream_sid,
            "StreamName": name or stream_sid,
            "StreamEvent": event,
            "Timestamp": datetime.now(UTC).isoformat(),
        }
        if error:
            fields["StreamError"] = error
        self._callbacks.put_nowait((method, url, fields))

    def recorded(self, recording_sid: str, callback: str) -> None:
        """Report that the call's recording can be fetched."""
        account_sid = self._record.exchange.account_sid
        fields = {
            "AccountSid": account_sid,
            "CallSid": self._record.sid,
            "RecordingSid": recording_sid,
            "RecordingUrl": f"https://api.twilio.com/2010-04-01/Accounts/{account_sid}/Recordings/{recording_sid}",
            "RecordingStatus": "completed",
            "RecordingDuration": str(round(self._record.duration_s)),
            "RecordingChannels": "2",
            "RecordingSource": "StartCallRecordingAPI",
            "RecordingTrack": "both",
        }
        if callback:
            self._callbacks.put_nowait(("POST", callback, fields))

    def after(self, url: str, method: str, fields: Mapping[str, str]) -> None:
        """Ask for TwiML that nobody is there to follow any more: the call has ended."""
        self._callbacks.put_nowait((method, url, self.fields() | dict(fields)))

    async def deliver(self) -> None:
        """Send the callbacks in order until ``finish``; what fails is a fault and not retried."""
        while (callback := await self._callbacks.get()) is not None:
            try:
                await self.ask(*callback)
            except webhooks.WebhookFailed as error:
                self._record.fault(error.code, error.message)

    def finish(self) -> None:
        """Let ``deliver`` return once all is sent."""
        self._callbacks.put_nowait(None)
