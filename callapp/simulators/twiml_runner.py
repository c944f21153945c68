"""Does what TwiML says, as the pretend Twilio. Runs in the event loop, and is stopped by cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from callapp.simulators import twiml_reader as twiml
from callapp.simulators import webhooks
from callapp.simulators.machine_detection import MachineDetection
from callapp.simulators.phone_record import Address, CallRecord, Document, Source, new_sid
from callapp.simulators.phone_socket import PhoneSocket, StreamRefused, open_socket
from callapp.simulators.phone_stream import PhoneStream
from callapp.simulators.reporter import Reporter

_MAX_REDIRECTS = 10
_APOLOGY = twiml.Say("An application error has occurred. Goodbye.", "en-US", "man", 1)


class Rejected(Exception):
    """``<Reject>``: the call is not answered and ends with this status."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class TwimlRunner:
    """Fetches and performs TwiML for one call.

    Args:
        answer: picks up the phone; harmless when it is answered already.
        hang_up: what the callee does when it puts the phone down.
    """

    def __init__(
        self,
        record: CallRecord,
        reporter: Reporter,
        answer: Callable[[], None],
        hang_up: Callable[[], None],
    ) -> None:
        self.sockets: list[PhoneSocket] = []
        self._record = record
        self._reporter = reporter
        self._answer = answer
        self._hang_up = hang_up
        plan = record.plan.detection
        self._detection = None if plan is None else MachineDetection(plan)

    async def run(self, source: Source) -> None:
        """Go on until there is no more TwiML; then the call is to be hung up.

        Raises:
            Rejected: the application does not take the call.
        """
        following: Source | None = source
        hops = -1
        try:
            while following is not None:
                hops += 1
                if hops > _MAX_REDIRECTS:
                    raise twiml.TwimlError(11215, "Too many redirects")
                following = await self._perform(await self._fetch(following))
        except (twiml.TwimlError, webhooks.WebhookFailed) as error:
            self._record.fault(error.code, error.message)
            self._answer()
            await self._say(_APOLOGY)

    async def _fetch(self, source: Source) -> list[twiml.Verb]:
        match source:
            case Document(text=text):
                return twiml.read_twiml(text)
            case Address(url=url, method=method):
                answer = await self._reporter.ask(method, url, self._reporter.fields())
                if answer.status != 200:
                    raise webhooks.WebhookFailed(11200, f"{url}: HTTP {answer.status}")
                return twiml.read_twiml(answer.text, content_type=answer.content_type, base_url=url)

    async def _perform(self, verbs: list[twiml.Verb]) -> Source | None:
        """Do one document; return where to go on, None for hanging up."""
        for verb in verbs:
            if isinstance(verb, twiml.Reject):
                if self._record.answered:
                    raise twiml.TwimlError(twiml.SCHEMA_WARNING, "<Reject> in an answered call")
                raise Rejected("busy" if verb.reason == "busy" else "no-answer")
            self._answer()
            match verb:
                case twiml.Say():
                    await self._say(verb)
                case twiml.Play():
                    played = verb.url or verb.digits
                    self._record.keep(self._record.played, verb, "play", played)
                case twiml.Pause(length_s=length_s):
                    await asyncio.sleep(length_s)
                case twiml.ConnectStream():
                    await self._connect(verb)
                    if verb.action:
                        return Address(verb.action, verb.action_method)
                case twiml.Redirect(url=url, method=method):
                    return Address(url, method)
                case twiml.Hangup():
                    return None
        return None

    async def _say(self, verb: twiml.Say) -> None:
        self._record.say(verb.text, verb.language, verb.voice)
        spoken_ms = len(verb.text) * self._record.exchange.say_ms_per_char
        await asyncio.sleep(verb.loop * spoken_ms / 1000)

    async def _connect(self, verb: twiml.ConnectStream) -> None:
        """Open the stream and stay until it is over, whoever ends it."""
        record, exchange = self._record, self._record.exchange
        stream = PhoneStream(
            account_sid=exchange.account_sid,
            call_sid=record.sid,
            stream_sid=new_sid("MZ"),
            parameters=verb.parameters,
            callee=record.callee,
            ear=self._detect if self._detection is not None else None,
            reversed_keys=exchange.reversed_keys,
        )
        # The stream's URL is signed as it stands in the TwiML.
        signature = webhooks.signature(exchange.auth_token, verb.url, {})

        def make() -> PhoneSocket:
            return PhoneSocket(
                verb.url,
                signature,
                stream,
                record.changed,
                self._hang_up,
                latency_ms=exchange.latency_ms,
                tears_down=exchange.tears_down,
            )

        try:
            socket = await open_socket(verb.url, make)
        except StreamRefused as error:
            record.fault(error.code, error.message)
            self._report(verb, stream, "stream-error", str(error))
            return
        self.sockets.append(socket)
        record.keep(record.streams, stream, "stream started", stream.stream_sid)
        self._report(verb, stream, "stream-started")
        try:
            # Shielded: a redirect stops this verb, and the socket has yet to say goodbye.
            code, why = await asyncio.shield(socket.over)
            # Closed by the server (31921) is how every application says that it is done.
            if code not in (0, 31921):
                record.fault(code, why)
        finally:
            socket.hang_up()
            if stream.dropped_frames:
                record.fault(31930, f"{stream.dropped_frames} frames were not taken in time")
            self._report(verb, stream, "stream-stopped")
            record.note("stream stopped", socket.over.result()[1])

    def _detect(self, voice: bytes) -> None:
        """Listen for a machine; Twilio tells what it has found in a request of its own."""
        assert self._detection is not None
        answered_by = self._detection.hear(voice)
        if answered_by is not None:
            self._record.answered_by = answered_by
            self._record.note("answered by", answered_by)
            self._reporter.answered_by(answered_by, self._detection.heard_ms)

    def _report(self, verb: twiml.ConnectStream, stream: PhoneStream, event: str, error: str = "") -> None:
        if url := verb.status_callback:
            method = verb.status_callback_method
            self._reporter.stream(url, method, stream.stream_sid, verb.name, event, error)
