"""Does what TwiML says, as the pretend Twilio. Runs in the event loop, and is stopped by cancel."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from callapp.simulators import twiml_reader as twiml
from callapp.simulators import webhooks
from callapp.simulators.machine_detection import MachineDetection
from callapp.simulators.phone_listening import ListeningStream
from callapp.simulators.phone_record import (
    Address,
    CallRecord,
    Document,
    Joined,
    Plan,
    Source,
    StatusCallback,
    new_sid,
)
from callapp.simulators.phone_socket import PhoneSocket, StreamRefused, open_socket
from callapp.simulators.phone_stream import PhoneStream
from callapp.simulators.reporter import Reporter
from callapp.simulators.room import Room
from callapp.simulators.sound import FRAME_BYTES, FRAME_MS, SILENCE

_MAX_REDIRECTS = 10
# Keys that Twilio sends, and the pauses between them.
_KEY_S = 0.2
_WAITS_S = {"w": 0.5, "W": 1.0}
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
        self.cut_dial: Address | None = None
        """What was to be asked after a ``<Dial>`` that the end of the call, or a redirect, cut."""
        self._record = record
        self._reporter = reporter
        self._answer = answer
        self._hang_up = hang_up
        plan = record.plan.detection
        self._detection = None if plan is None else MachineDetection(plan)
        self._listening: list[asyncio.Task[None]] = []

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
                if isinstance(following, Joined):
                    await self._stay_in(following.room, starts=True, ends=True)
                    return
                following = await self._perform(await self._fetch(following))
        except (twiml.TwimlError, webhooks.WebhookFailed) as error:
            self._record.fault(error.code, error.message)
            self._answer()
            await self._say(_APOLOGY)

    async def _fetch(self, source: Address | Document) -> list[twiml.Verb]:
        match source:
            case Document(text=text):
                return twiml.read_twiml(text)
            case Address(url=url, method=method, fields=fields):
                answer = await self._reporter.ask(method, url, self._reporter.fields() | dict(fields))
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
                    await self._play(verb)
                case twiml.Pause(length_s=length_s):
                    await asyncio.sleep(length_s)
                case twiml.ConnectStream(stream=stream):
                    if self._listening:
                        raise twiml.TwimlError(
                            twiml.SCHEMA_WARNING, "<Connect> after <Start> is beyond this simulator"
                        )
                    await self._carry(stream, PhoneStream)
                    if verb.action:
                        return Address(verb.action, verb.action_method)
                case twiml.StartStream(stream=stream):
                    listening = self._carry(stream, ListeningStream)
                    self._listening.append(asyncio.create_task(listening))
                case twiml.Dial():
                    await self._dial(verb)
                    if following := self.cut_dial:
                        self.cut_dial = None
                        return following
                case twiml.Gather():
                    digits = await self._gather(verb)
                    if digits:
                        return Address(verb.action, verb.action_method, {"Digits": digits})
                case twiml.Redirect(url=url, method=method):
                    return Address(url, method)
                case twiml.Hangup():
                    return None
        return None

    async def _say(self, verb: twiml.Say) -> None:
        self._record.say(verb.text, verb.language, verb.voice)
        spoken_ms = len(verb.text) * self._record.exchange.say_ms_per_char
        await asyncio.sleep(verb.loop * spoken_ms / 1000)

    async def _play(self, verb: twiml.Play) -> None:
        self._record.keep(self._record.played, verb, "play", verb.url or verb.digits)
        for key in verb.digits:
            await asyncio.sleep(_WAITS_S.get(key, _KEY_S))
            if key not in _WAITS_S:
                with self._record.changed:
                    self._record.callee.key_heard(key)
                    self._record.changed.notify_all()

    # Other phones

    async def _dial(self, verb: twiml.Dial) -> None:
        """Ring somebody, or go into a room, and stay; leave in ``cut_dial`` what is to be asked then."""
        record = self._record
        fields = {"DialCallStatus": "canceled", "DialBridged": "false"}
        if verb.action:
            self.cut_dial = Address(verb.action, verb.action_method, fields)
        if isinstance(verb.target, twiml.Conference):
            room = record.exchange.rooms.setdefault(verb.target.name, Room())
            record.note("conference", verb.target.name)
            fields |= {"DialCallStatus": "answered", "DialBridged": "true"}
            try:
                await self._stay_in(room, starts=verb.target.starts_on_enter, ends=verb.target.ends_on_exit)
            finally:
                if not room.members:
                    record.exchange.rooms.pop(verb.target.name, None)
            return
        caller_id = verb.caller_id or record.plan.from_number
        if verb.caller_id not in ("", record.plan.from_number, record.plan.to_number):
            raise twiml.TwimlError(13214, f"Dial: invalid callerId {verb.caller_id!r}")
        room = Room()
        number = verb.target
        callback = StatusCallback(number.status_callback, number.status_callback_method, number.status_events)
        child = record.exchange.ring(
            Plan(
                direction="outbound-dial",
                from_number=caller_id,
                to_number=number.number,
                source=Joined(room),
                status_callback=callback if number.status_callback else None,
                ring_timeout_s=verb.timeout_s + 5,
                parent_sid=record.sid,
            )
        )
        fields["DialCallSid"] = child.sid
        record.note("dial", number.number)
        try:
            await self._live_until(lambda: child.answered or child.ended)
            if not child.ended:
                fields |= {"DialCallStatus": "completed", "DialBridged": "true"}
                await self._stay_in(room, starts=True, ends=True)
                fields["DialCallDuration"] = str(round(child.duration_s))
            else:
                fields["DialCallStatus"] = child.status
        finally:
            child.end("completed" if child.answered else "canceled")

    async def _stay_in(self, room: Room, *, starts: bool, ends: bool) -> None:
        await room.stay(self._record, self._hang_up, starts=starts, ends=ends)

    async def _gather(self, verb: twiml.Gather) -> str:
        """Say the prompts and take keys: until there are enough, or none came for so long."""
        digits = ""
        ended = False

        def take(key: str) -> None:
            nonlocal digits, ended
            if key == verb.finish_on_key:
                ended = True
            elif not ended:
                digits += key

        def enough() -> bool:
            return ended or bool(verb.num_digits and len(digits) >= verb.num_digits)

        for prompt in verb.prompts:
            if digits or ended:
                break
            match prompt:
                case twiml.Say():
                    self._record.say(prompt.text, prompt.language, prompt.voice)
                    length_ms = prompt.loop * len(prompt.text) * self._record.exchange.say_ms_per_char
                case twiml.Pause(length_s=length_s):
                    length_ms = 1000 * length_s
                case twiml.Play():
                    await self._play(prompt)
                    length_ms = 0
            await self._live_until(lambda: bool(digits or ended), take, length_ms / 1000)
        while not enough():
            before = digits
            await self._live_until(lambda: digits != before or ended, take, verb.timeout_s)  # noqa: B023
            if digits == before:
                break
        return digits

    async def _live_until(
        self,
        done: Callable[[], bool],
        take: Callable[[str], None] = lambda _key: None,
        within_s: float = math.inf,
    ) -> None:
        """Let the person live through silence until something is so, or for so long."""
        record = self._record
        loop = asyncio.get_running_loop()
        began_s, frames = loop.time(), 0
        while not done() and frames * FRAME_MS / 1000 < within_s:
            deed = record.live_through(SILENCE * FRAME_BYTES)
            frames += 1
            if deed.digit:
                take(deed.digit)
            if deed.hangs_up:
                self._hang_up()
            await asyncio.sleep(began_s + frames * FRAME_MS / 1000 - loop.time())

    # Media Streams

    async def finish(self) -> None:
        """The call is over: end what still listens."""
        for socket in self.sockets:
            socket.hang_up()
        await asyncio.gather(*self._listening)

    async def _carry(self, asked: twiml.Stream, kind: type[PhoneStream]) -> None:
        """Open a stream and stay until it is over, whoever ends it."""
        record, exchange = self._record, self._record.exchange
        stream = kind(
            account_sid=exchange.account_sid,
            call_sid=record.sid,
            stream_sid=new_sid("MZ"),
            parameters=asked.parameters,
            callee=record.callee,
            tracks=asked.tracks,
            ear=self._detect if self._detection is not None else None,
            reversed_keys=exchange.reversed_keys,
        )
        # The stream's URL is signed as it stands in the TwiML.
        signature = webhooks.signature(exchange.auth_token, asked.url, {})

        def make() -> PhoneSocket:
            return PhoneSocket(
                asked.url,
                signature,
                stream,
                record.changed,
                self._hang_up,
                latency_ms=exchange.latency_ms,
                tears_down=exchange.tears_down,
            )

        try:
            socket = await open_socket(asked.url, make, exchange.routes)
        except StreamRefused as error:
            record.fault(error.code, error.message)
            self._report(asked, stream, "stream-error", str(error))
            return
        self.sockets.append(socket)
        record.keep(record.streams, stream, "stream started", stream.stream_sid)
        self._report(asked, stream, "stream-started")
        if record.ended:
            socket.hang_up()  # it was opening while the call ended
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
            self._report(asked, stream, "stream-stopped")
            record.note("stream stopped", socket.over.result()[1])

    def _detect(self, voice: bytes) -> None:
        """Listen for a machine; Twilio tells what it has found in a request of its own."""
        assert self._detection is not None
        answered_by = self._detection.hear(voice)
        if answered_by is not None:
            self._record.answered_by = answered_by
            self._record.note("answered by", answered_by)
            self._reporter.answered_by(answered_by, self._detection.heard_ms)

    def _report(self, asked: twiml.Stream, stream: PhoneStream, event: str, error: str = "") -> None:
        if url := asked.status_callback:
            method = asked.status_callback_method
            self._reporter.stream(url, method, stream.stream_sid, asked.name, event, error)
