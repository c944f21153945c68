"""What is known of a pretend call: how it was to begin, how it stands, and all that came of it.

A record is written in the carrier's event loop under ``changed`` and read by anyone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition, RLock
from typing import TYPE_CHECKING, TypeVar

from callapp.simulators.callee import Callee, Deed
from callapp.simulators.machine_detection import DetectionPlan
from callapp.simulators.phone_listening import ListeningStream
from callapp.simulators.phone_stream import PhoneStream
from callapp.simulators.room import Room
from callapp.simulators.twiml_reader import Play
from callapp.simulators.webhooks import Request

if TYPE_CHECKING:
    from callapp.simulators.phone_call import Call

_Thing = TypeVar("_Thing")

TERMINAL = frozenset({"completed", "busy", "no-answer", "canceled", "failed"})


def new_sid(prefix: str) -> str:
    """Return a new SID as Twilio makes them: two letters and 32 hexadecimal digits."""
    return prefix + secrets.token_hex(16)


@dataclass(frozen=True)
class Address:
    """Where to ask for TwiML."""

    url: str
    method: str = "POST"
    fields: Mapping[str, str] = field(default_factory=dict)
    """What is told beside the call's own fields."""


@dataclass(frozen=True)
class Document:
    """TwiML that was given in the request itself."""

    text: str


@dataclass(frozen=True)
class Joined:
    """No TwiML, but a room: the leg of a ``<Dial>`` that was answered."""

    room: Room


Source = Address | Document | Joined


@dataclass(frozen=True)
class StatusCallback:
    """Whom to tell about a call's progress, and of which events."""

    url: str
    method: str = "POST"
    events: frozenset[str] = frozenset({"completed"})


@dataclass(frozen=True)
class Plan:
    """How a call is to begin; ``direction`` is ``inbound``, ``outbound-api`` or ``outbound-dial``."""

    direction: str
    from_number: str
    to_number: str
    source: Source
    status_callback: StatusCallback | None = None
    ring_timeout_s: float = 60
    detection: DetectionPlan | None = None
    parent_sid: str = ""


@dataclass(frozen=True)
class Exchange:
    """What all calls of one carrier share."""

    account_sid: str
    auth_token: str
    loop: asyncio.AbstractEventLoop
    threads: Executor
    say_ms_per_char: float
    latency_ms: float
    reversed_keys: bool
    tears_down: bool
    on_note: Callable[[CallRecord, str, str], None] | None
    ring: Callable[[Plan], Call]
    """Begins a call to a phone, in the event loop."""
    rooms: dict[str, Room]
    """The conferences that somebody is in."""
    routes: dict[str, str]
    """Where a host and port are really reached, if elsewhere."""


@dataclass(frozen=True)
class Said:
    """A ``<Say>`` that the person heard in Twilio's voice; ``at_s`` counts from the dial."""

    text: str
    language: str
    voice: str
    at_s: float


@dataclass(frozen=True)
class Fault:
    """A line of Twilio's debugger."""

    code: int
    message: str


class CallRecord:
    """A phone call, seen from the carrier.

    Attributes:
        status: as in the REST API.
        faults: what Twilio's debugger would show; empty when all went well.
        said: every ``<Say>``; ``played``: every ``<Play>``.
        requests: the webhooks and callbacks that were sent, with what they were answered.
        streams: its Media Streams, one after the other.
        talk: what the person heard of others while joined to them, music included.
        changed: guards all of it, streams and callee included; rung at every change and frame.
    """

    def __init__(self, exchange: Exchange, plan: Plan, callee: Callee) -> None:
        self.sid = new_sid("CA")
        self.plan = plan
        self.callee = callee
        self.exchange = exchange
        self.status = "queued"
        self.created = datetime.now(UTC)
        self.faults: list[Fault] = []
        self.said: list[Said] = []
        self.played: list[Play] = []
        self.requests: list[Request] = []
        self.streams: list[PhoneStream] = []
        self.talk = bytearray()
        self.changed = Condition(RLock())
        self.over = False
        """True once the call has ended, its sockets are closed and its callbacks delivered."""
        self.answered_by: str | None = None
        """Who picked up, once a detection that was ordered has found out."""
        self.answered_at: datetime | None = None
        self.ended_at: datetime | None = None
        self._created_s = time.monotonic()
        self._answered_s: float | None = None
        self._ended_s: float | None = None

    def __repr__(self) -> str:
        return f"<Call {self.sid} {self.status}>"

    # To read

    @property
    def stream(self) -> PhoneStream:
        """The latest Media Stream.

        Raises:
            IndexError: there was none yet.
        """
        return self.streams[-1]

    @property
    def violations(self) -> list[str]:
        """What the application did against the protocol, on all streams."""
        return [violation for stream in self.streams for violation in stream.violations]

    @property
    def answered(self) -> bool:
        """True once somebody, or for an incoming call the application, has picked up."""
        return self._answered_s is not None

    @property
    def ended(self) -> bool:
        """True once the call is over for the carrier."""
        return self.status in TERMINAL

    @property
    def duration_s(self) -> float:
        """Time since it was answered, until its end."""
        if self._answered_s is None:
            return 0
        return (self._ended_s or time.monotonic()) - self._answered_s

    def wait_for(self, happened: Callable[[], object], timeout: float) -> None:
        """Wait until something is true of this call; it is asked again at every change and frame.

        Raises:
            TimeoutError: it did not become true.
        """
        with self.changed:
            if not self.changed.wait_for(happened, timeout):
                raise TimeoutError(f"{self!r} after {timeout} s: {self.summary()}")

    def wait_ended(self, timeout: float) -> None:
        """Wait until the call is over, its sockets are closed and its callbacks delivered.

        Raises:
            TimeoutError: it went on.
        """
        self.wait_for(lambda: self.over, timeout)

    def summary(self) -> str:
        """Tell in one line how the call stands, for a test that fails."""
        return (
            f"{self.status}, {len(self.streams)} streams, said {[said.text for said in self.said]},"
            f" faults {self.faults}, violations {self.violations}, callee {self.callee.failure}"
        )

    def write_wav(self, path: Path) -> None:
        """Write the latest stream as a stereo file: the callee left, what was heard right."""
        with self.changed:
            self.stream.write_wav(path)

    # To write, in the event loop

    def live_through(self, heard: bytes) -> Deed:
        """Let the person live through 20 ms, but on a stream that speaks to them; streams listen in.

        Args:
            heard: by the person.
        """
        with self.changed:
            deed = self.callee.live(heard)
            for stream in self.streams:
                if isinstance(stream, ListeningStream):
                    stream.listen(deed.voice, heard)
            self.changed.notify_all()
        return deed

    def keep(self, where: list[_Thing], what: _Thing, name: str, detail: str) -> None:
        """Add to one of the lists, and tell who listens."""
        with self.changed:
            where.append(what)
            self.changed.notify_all()
        self.note(name, detail)

    def fault(self, code: int, message: str) -> None:
        """Write a line in the debugger."""
        self.keep(self.faults, Fault(code, message), "fault", f"{code} {message}")

    def say(self, text: str, language: str, voice: str) -> None:
        """Write down a ``<Say>``."""
        said = Said(text, language, voice, time.monotonic() - self._created_s)
        self.keep(self.said, said, "say", text)

    def note(self, name: str, detail: str) -> None:
        """Tell who listens."""
        if self.exchange.on_note:
            self.exchange.on_note(self, name, detail)

    def move_to(self, status: str) -> None:
        """Take the next status."""
        with self.changed:
            if status == "in-progress":
                self._answered_s, self.answered_at = time.monotonic(), datetime.now(UTC)
            if status in TERMINAL:
                self._ended_s, self.ended_at = time.monotonic(), datetime.now(UTC)
            self.status = status
            self.changed.notify_all()
        self.note("status", status)
