"""One phone of the load: asks for TwiML, opens the stream, speaks in time, hears what is played to it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from callapp.simulators.load.audio import MAGIC, NUMBERS, OWN_EVERY, CallerSpeech, payload_bytes
from callapp.simulators.load.http import Webhook, upgrade_request
from callapp.simulators.load.loop import clock
from callapp.simulators.load.wire import CLOSE, PING, PONG, TEXT, Peer, client_frame, split
from callapp.simulators.load.world import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, World
from callapp.simulators.ulaw import BYTES_PER_MS

if TYPE_CHECKING:
    from callapp.simulators.load.model import Session

Ending = Literal["caller", "agent", "drop"]

REMEMBERED = 1024
"""Of so many chunks it is known when they were sent: 20 s."""

_GOLDEN = 0.6180339887  # its multiples spread evenly over 0–1, however many there are
_SETUP_S = 15.0
_GOODBYE_S = 30.0  # from the wish to have the agent end the call to its end
_LINGER_S = 2.0
_CLEAR_S = 1.0
# With less than this unheard it is anybody's guess whether there is something to clear.
_CLEAR_FROM_S = 0.06
_BYTES_A_SECOND = 1000 * BYTES_PER_MS


class Phone:
    """A call, from its webhook to its end.

    Args:
        number: of this call; chunks carry it.
        lasts_s: from the stream's start to its end.
        ending: who ends it, and how.
        over: called once, when the call is over, however it went.
    """

    __slots__ = (
        "_answer",
        "_clear_due",
        "_ending",
        "_last_delta",
        "_lasts_s",
        "_marks",
        "_over",
        "_peer",
        "_rest",
        "_tail_bytes",
        "_tails",
        "_world",
        "cut",
        "due",
        "got",
        "number",
        "play_until",
        "sent",
        "sent_at",
        "session",
        "sid",
        "stream_sid",
        "streaming",
    )

    def __init__(
        self,
        world: World,
        number: int,
        lasts_s: float,
        ending: Ending,
        over: Callable[[Phone], None],
    ) -> None:
        self._world = world
        self._lasts_s = lasts_s
        self._ending = ending
        self._over: Callable[[Phone], None] | None = over
        self.number = number
        self.sid = f"CA{number:032x}"
        self.stream_sid = f"MZ{number:032x}"
        self.session: Session | None = None
        self._peer: Peer | None = None
        self._answer = b""
        self._rest = b""
        self._tails = CallerSpeech.tails(self.stream_sid)
        self._tail_bytes = len(self._tails[0])
        self.streaming = False
        self.due = 0.0
        self.sent = 0
        self.sent_at = [0.0] * REMEMBERED
        self.play_until = 0.0  # when all that was sent to this phone has been heard
        self._marks: deque[tuple[float, str]] = deque()
        self.got: dict[int, int] = {}  # bytes heard of each response
        self.cut = 0  # no response up to this number may be heard any more
        self._last_delta = -1
        self._clear_due: tuple[float, int] | None = None

    # -- setting up -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Ring."""
        world = self._world
        world.phones[self.number] = self
        world.phones_by_sid[self.sid] = self
        world.tally.started += 1
        world.loop.after(_SETUP_S, self._check_set_up)
        target = world.target
        try:
            if target.stream_path is not None:
                self._open("ws" + target.url.removeprefix("http") + target.stream_path, {})
            else:
                fields = {
                    "CallSid": self.sid,
                    "AccountSid": ACCOUNT_SID,
                    "From": f"+1415555{self.number % 10000:04d}",
                    "To": FROM_NUMBER,
                    "CallStatus": "ringing",
                    "Direction": "inbound",
                    "ApiVersion": "2010-04-01",
                }
                Webhook(world.loop, AUTH_TOKEN, target.url + "/incoming-call", fields, self._on_twiml)
        except OSError as error:
            self._fail(f"no connection: {error}")

    def _on_twiml(self, status: int, body: bytes) -> None:
        if self._over is None:  # the caller did not wait for that
            return
        if status != 200:
            self._fail(f"webhook answered {status}" if status else "webhook: no answer")
            return
        stream = ET.fromstring(body).find("./Connect/Stream")  # noqa: S314  from the server under test
        if stream is None:
            self._world.tally.refused += 1
            self._end()
            return
        parameters = {p.get("name", ""): p.get("value", "") for p in stream.iterfind("Parameter")}
        try:
            self._open(stream.get("url", ""), parameters)
        except OSError as error:
            self._fail(f"no connection: {error}")

    def _open(self, url: str, parameters: dict[str, str]) -> None:
        def received(data: bytes) -> None:
            self._answer += data
            head, end, rest = self._answer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._fail(f"upgrade answered {head[9:12].decode()}")
                return
            assert self._peer is not None
            self._peer.then(self._received, self._lost)
            self._start(parameters)
            if rest:
                self._received(rest)

        self._peer = Peer.dial(self._world.loop, url, received, self._lost)
        self._peer.send(upgrade_request(url, AUTH_TOKEN))

    def _start(self, parameters: dict[str, str]) -> None:
        start = {
            "accountSid": ACCOUNT_SID,
            "streamSid": self.stream_sid,
            "callSid": self.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        self._say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        self._say({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": self.stream_sid})
        self.streaming = True
        loop = self._world.loop
        # All phones beat at the same pace; where in it they do is spread evenly.
        now = clock()
        self.due = now + (self.number * _GOLDEN * loop.beat_s - now) % loop.beat_s
        loop.start_beating(self)
        loop.after(self._lasts_s, self._end_in_time)

    def _check_set_up(self) -> None:
        if not self.streaming and self._over is not None:
            self._fail(f"no stream within {_SETUP_S:g} s")

    # -- speaking -------------------------------------------------------------------------------

    def beat(self, now: float) -> bool:
        """Send the next 20 ms."""
        if not self.streaming:
            return False
        world = self._world
        number = self.sent = self.sent + 1
        if number % OWN_EVERY == 1:
            frame = world.speech.own(number, self.number, self.stream_sid)
        else:
            body, tail = world.speech.shared(number, self._tail_bytes)
            frame = body + self._tails[tail]
        tally = world.tally
        tally.late.add(now - self.due)
        tally.chunks_sent += 1
        self.sent_at[number % REMEMBERED] = clock()
        self._peer.send(frame)  # type: ignore[union-attr]  # there since the stream began
        return True

    def _say(self, message: dict[str, object]) -> None:
        assert self._peer is not None
        self._peer.send(client_frame(json.dumps(message, separators=(",", ":")).encode()))

    # -- hearing --------------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        frames, self._rest = split(self._rest + data if self._rest else data)
        for opcode, payload in frames:
            if opcode == TEXT:
                at = payload.find(MAGIC)
                if at >= 0:
                    self._hear(payload, at)
                else:
                    self._take(payload)
            elif opcode == PING:
                assert self._peer is not None
                self._peer.send(client_frame(payload, PONG))
            elif opcode == CLOSE:
                self._closed(payload)

    def _hear(self, message: bytes, at: int) -> None:
        now = clock()
        delta = NUMBERS[message[at + 8 : at + 12]]
        response = NUMBERS[message[at + 12 : at + 16]]
        end = message.find(b'"', at + 16)
        size = payload_bytes(end - at, message[end - 2 : end])
        tally = self._world.tally
        session = self.session
        if session is not None:
            tally.to_phone.add(now - session.sent_at[delta % REMEMBERED])
        if delta != self._last_delta + 1 and delta <= self._last_delta < delta + 1000:
            tally.agent_disorder += 1
        self._last_delta = delta
        self._play(now, response, size)

    def _play(self, now: float, response: int, size: int) -> None:
        if response <= self.cut:
            self._world.tally.stale += 1
        self.got[response] = self.got.get(response, 0) + size
        self.play_until = max(now, self.play_until) + size / _BYTES_A_SECOND

    def _take(self, payload: bytes) -> None:
        """Take a message without a number in it: anything but audio, or the rest of a delta that was cut."""
        try:
            message = json.loads(payload)
        except ValueError:
            self._world.tally.agent_disorder += 1
            return
        match message.get("event"):
            case "mark":
                self._on_mark(message["mark"]["name"])
            case "clear":
                self._on_clear()
            case "media":
                audio = message["media"]["payload"]
                size = payload_bytes(len(audio), audio[-2:].encode())
                self._play(clock(), next(reversed(self.got), 0), size)

    def _on_mark(self, name: str) -> None:
        if self.play_until <= clock():
            self._echo(name)
            return
        self._marks.append((self.play_until, name))
        self._world.loop.at(self.play_until, self._echo_played)

    def _echo_played(self) -> None:
        now = clock()
        while self._marks and self._marks[0][0] <= now:
            self._echo(self._marks.popleft()[1])

    def _echo(self, name: str) -> None:
        if self.streaming:
            mark: dict[str, object] = {"event": "mark", "sequenceNumber": str(self.sent + 1)}
            self._say(mark | {"streamSid": self.stream_sid, "mark": {"name": name}})

    def _on_clear(self) -> None:
        now = clock()
        if self._clear_due is not None:
            since, response = self._clear_due
            self._clear_due = None
            self._world.tally.clear.add(now - since)
            self.cut = response
        self.play_until = now
        while self._marks:
            self._echo(self._marks.popleft()[1])

    def expect_clear(self, now: float, response: int) -> None:
        """The caller begins to speak: expect what is unheard, if anything is, to be cleared."""
        if self.streaming and self.play_until - now >= _CLEAR_FROM_S:
            due = self._clear_due = now, response
            self._world.tally.clears_due += 1
            self._world.loop.after(_CLEAR_S, lambda: self._check_cleared(due))

    def _check_cleared(self, due: tuple[float, int]) -> None:
        if self._clear_due == due and self.streaming:
            self._clear_due = None
            self._world.tally.clears_missed += 1

    # -- the end --------------------------------------------------------------------------------

    def _end_in_time(self) -> None:
        if not self.streaming:
            return
        if self._ending == "drop" and self._peer is not None:
            self._world.tally.dropped += 1
            self._peer.close()
            self._end()
            return
        by_agent = self._ending == "agent" and self._world.target.converses
        if by_agent and self.session is not None and self.session.say_goodbye():
            self._world.loop.after(_GOODBYE_S, self._check_goodbye)
        else:
            self.hang_up()

    def _check_goodbye(self) -> None:
        if self.streaming:
            self._world.tally.fail("end_call did not end the call")
            self._stop()

    def hang_up(self) -> None:
        """The caller puts the phone down."""
        if self.streaming:
            self._world.tally.hung_up += 1
            self._stop()
        elif self._over is not None:
            self._break_off()

    def complete(self) -> None:
        """The call was ended through the REST API."""
        if self.streaming:
            self._world.tally.ended_by_agent += 1
            self._stop()

    def _stop(self) -> None:
        ids = {"accountSid": ACCOUNT_SID, "callSid": self.sid}
        stop: dict[str, object] = {"event": "stop", "sequenceNumber": str(self.sent + 2)}
        self._say(stop | {"streamSid": self.stream_sid, "stop": ids})
        assert self._peer is not None
        self._peer.send(client_frame((1000).to_bytes(2, "big"), CLOSE))
        if self.session is not None:
            self.session.expect_all(self.sent)
        self._end()
        self._world.loop.after(_LINGER_S, self._peer.close)

    def _closed(self, payload: bytes) -> None:
        assert self._peer is not None
        if self.streaming:
            code = int.from_bytes(payload[:2], "big")
            self._world.tally.fail(f"server closed the stream: {code} {payload[2:].decode(errors='replace')}")
            self._end()
        self._peer.close()

    def _lost(self) -> None:
        if self._over is not None:
            self._fail("server dropped the stream" if self.streaming else "no stream: connection lost")

    def _fail(self, why: str) -> None:
        if self._over is None:
            return
        self._world.tally.fail(why)
        self._break_off()

    def _break_off(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self._end()

    def _end(self) -> None:
        self.streaming = False
        over, self._over = self._over, None
        if over is not None:
            with suppress(KeyError):
                del self._world.phones[self.number]
                del self._world.phones_by_sid[self.sid]
            if self.session is not None:
                self.session.expect_close()
            over(self)
