"""What all sessions of a pretend service do alike: read, keep time, refuse, go wrong on demand.

One thread serves a session: it reads the socket, runs the timers, and is the only one that changes
anything here. Others look on through ``Record`` and speak through ``strike``.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import TypeAdapter

from callapp.simulators.model_errors import ClientError, check, parse
from callapp.simulators.model_faults import Close, Expire, Fault, Reset, Resume, SendError, SendRaw, Stall
from callapp.simulators.model_items import new_id
from callapp.simulators.model_mcp import McpServer
from callapp.simulators.model_record import Record, Violation
from callapp.simulators.model_script import Pace, Script
from callapp.simulators.model_wire import Pong, Wire
from callapp.simulators.speech import Speech


@dataclass(frozen=True)
class Behaviour:
    """How sessions behave; ``PretendModel`` documents the fields."""

    script: Script = field(default_factory=Script)
    speech: Speech = field(default_factory=Speech)
    pace: Pace = field(default_factory=Pace)
    refuse_fields: Collection[str] = ()
    confirm_after_ms: int | None = 0
    confirm_format: str | None = None
    transcript_after_ms: int = 100
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict)
    lives_s: float = 3600
    ping_every_s: float = 20
    keep_audio: bool = True


class ServedSession(Record):
    """A connected client."""

    events: ClassVar[Mapping[str, TypeAdapter[Any]]]
    """The events that a client may send."""
    config: dict[str, Any]
    """The session as the client is told of it."""

    def __init__(self, wire: Wire, behaviour: Behaviour, fault_on: Callable[[str], Fault | None]) -> None:
        super().__init__()
        self.id = new_id("sess")
        self.headers = dict(wire.request_headers)
        self.pongs = 0
        self._behaviour = behaviour
        self._wire = wire
        self._fault_on = fault_on
        self._heard = bytearray()
        self._unanswered_ping = False
        self._stalled = False
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self._inbox: deque[str | bytes | Pong] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._thread_id = 0

    # For each kind of session

    def _handle(self, event: dict[str, Any]) -> None:
        """Do what a client's event asks for; it has passed the schema."""
        raise NotImplementedError

    def _keep(self, audio: bytes) -> None:
        """Keep what was appended, for whoever looks on."""
        if self._behaviour.keep_audio:
            self._heard += audio

    # For whoever looks on

    @property
    def heard_audio(self) -> bytes:
        """Every byte appended, in order, as it came."""
        with self.changed:
            return bytes(self._heard)

    @property
    def close_code(self) -> int | None:
        """The client's close code; 1006 when it left without one, ``None`` while it is there."""
        return self._wire.close_code if self.closed else None

    def strike(self, fault: Fault) -> None:
        """Let a fault happen now; from any thread."""
        if threading.get_ident() == self._thread_id:
            self._strike(fault)
        else:
            self._posted.append(lambda: self._strike(fault))
            self._wire.wake()

    def leave(self) -> None:
        """The server goes away: end the session; from any thread."""
        self._posted.append(lambda: self._strike(Resume()))
        self.strike(Close(1001, "The server is going away."))

    # The session's thread

    def run(self) -> None:
        """Serve the client until the connection is gone."""
        self._thread_id = threading.get_ident()
        try:
            with self.changed:
                self._begin()
                self.changed.notify_all()
            while self._wire.alive:
                self._inbox += self._wire.exchange(self._wait_s(), reading=not self._stalled)
                with self.changed:
                    self._turn()
                    self.changed.notify_all()
        finally:
            self._wire.shut()
            with self.changed:
                self._closed = True
                self.changed.notify_all()

    def _begin(self) -> None:
        self.later(self._behaviour.lives_s, lambda: self._strike(Expire()))
        self.later(self._behaviour.ping_every_s, self._ping)
        self.emit("session.created", session=self.config)

    def _turn(self) -> None:
        while self._posted:
            self._posted.popleft()()
        while self._inbox and not self._stalled and not self._wire.closing:
            self._receive(self._inbox.popleft())
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now and self.serving:
            heapq.heappop(self._timers)[2]()

    def _wait_s(self) -> float | None:
        if self._stalled or not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())

    @property
    def serving(self) -> bool:
        """Whether anything goes on: the connection is open and not stalled."""
        return self._wire.open and not self._stalled

    def at(self, due_s: float, action: Callable[[], None]) -> None:
        """Do something at a moment of ``time.monotonic()``."""
        heapq.heappush(self._timers, (due_s, next(self._timer_numbers), action))

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something after a while."""
        self.at(time.monotonic() + delay_s, action)

    def emit(self, event_type: str, **fields: Any) -> None:
        """Send an event."""
        if not self._wire.open:
            return
        event = {"type": event_type, "event_id": new_id("event"), **fields}
        self._wire.send_event(event)
        if self._behaviour.keep_audio or event_type not in self.audio_events:
            self._note(self._sent, event)

    def _receive(self, message: str | bytes | Pong) -> None:
        if isinstance(message, Pong):
            self.pongs += 1
            self._unanswered_ping = False
            return
        event: dict[str, Any] | None = None
        try:
            event = parse(message)
            event_type = str(event.get("type"))
            if self._behaviour.keep_audio or event_type not in self.audio_events:
                self._note(self._received, event)
            fault = self._fault_on(event_type)
            if fault is not None:
                self._strike(fault)
                return
            check(event, self.events)
            self._handle(event)
        except ClientError as error:
            self._refuse(error, message if event is None else event)

    def _refuse(self, error: ClientError, event: Any) -> None:
        event_id = event.get("event_id") if isinstance(event, dict) else None
        if not error.blameless:
            violation = Violation(time.monotonic(), error.code, error.message, error.param, event)
            self._violations.append(violation)
        self._send_error(error.type, error.code, error.message, error.param, event_id)

    def _send_error(
        self, kind: str, code: str | None, message: str, param: str | None, event_id: object = None
    ) -> None:
        told_id = event_id if isinstance(event_id, str) else None
        error = {"type": kind, "code": code, "message": message, "param": param, "event_id": told_id}
        self.emit("error", error=error)

    # Faults

    def _strike(self, fault: Fault) -> None:
        match fault:
            case Close(code=code, reason=reason):
                self._wire.close(code, reason)
            case Reset():
                self._wire.reset()
            case Stall():
                self._stalled = True
            case Resume():
                self._stalled = False
            case Expire():
                words = "Your session hit the maximum duration of 60 minutes."
                self._send_error("invalid_request_error", "session_expired", words, None)
                self._wire.close(1001, words)
            case SendError(code=code, message=message, type=kind, param=param, event_id=event_id):
                self._send_error(kind, code, message, param, event_id)
            case SendRaw(payload=payload):
                self._wire.send(payload)

    def _ping(self) -> None:
        if self._unanswered_ping:
            words = "keepalive ping timeout"
            self._violations.append(Violation(time.monotonic(), "no_pong", words, None, None))
            self._wire.close(1011, words)
            return
        self._unanswered_ping = True
        self._wire.ping()
        self.later(self._behaviour.ping_every_s, self._ping)
