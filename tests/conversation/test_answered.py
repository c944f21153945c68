"""Whoever waits for the agent hears it: a caller, a service and tools of all kinds, by a clock of their own.

Each number is one call, the same each time. The service keeps to the protocol, with its delays on the wire,
but is not always well: it cuts answers off, fails, and is lost. The caller speaks, coughs, and waits.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import Any

import pytest

from callapp.conversation.asides import Manners
from callapp.conversation.commands import (
    AnswerTool,
    CancelResponse,
    ClearAudio,
    CreateResponse,
    DropModel,
    Finish,
    PlayAudio,
    Reconnect,
    RunTool,
    SendMark,
)
from callapp.conversation.course import Phase
from callapp.conversation.events import (
    AudioArrived,
    AudioEnded,
    Event,
    MessageStarted,
    ModelLost,
    OutputTaken,
    Part,
    Played,
    RemoteToolCalled,
    RemoteToolReturned,
    RequestRefused,
    ResponseEnded,
    ResponseStarted,
    SessionConfirmed,
    SpeechStarted,
    SpeechStopped,
    Tick,
    ToolCalled,
    ToolReturned,
)
from callapp.conversation.machine import Conversation
from callapp.conversation.plan import Plan
from callapp.conversation.tool_calls import TOOL_MS

CALL_MS = 60_000.0
SHORTEST_MS = 400
# How long nobody may wait while nothing is under way: a tool that never returns is given up by then.
PATIENCE_MS = TOOL_MS + 3_000
VAD_MS = 300
PIECE_MS = 200
PIECE = b64encode(b"\x55" * PIECE_MS * 8)


class World:
    """All that there is on both sides of one call."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.now_ms = 0.0
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = count()
        self._wires: dict[str, float] = {}
        self._wire_ms = random.choice([10, 50, 250])
        self._ill = random.choice([0, 0.1, 0.3])
        manners = Manners(shortest_speech_ms=random.choice([0, SHORTEST_MS]))
        self.call = Conversation(Plan(greeting="Say hello", most_ms=2 * CALL_MS, manners=manners))
        self.over = False
        # The service
        self._session = 0
        self._up = False
        self._active: str | None = None
        self._creating = False
        self._begun_ms: dict[str, float] = {}
        self._tool_calls: dict[str, str] = {}
        # The phone and the caller
        # Until when: a response's audio, or a mark.
        self._queued: list[tuple[float, str | None, str | None]] = []
        self._speaking = False
        self._waits_since_ms: float | None = 0.0  # for an answer that begins after that
        self._stood_still_ms = 0.0

    def at(self, in_ms: float, what: Callable[..., None], *args: Any) -> None:
        heappush(self._agenda, (self.now_ms + in_ms, next(self._number), what, args))

    def by_wire(self, wire: str, what: Callable[..., None], *args: Any) -> None:
        """Somebody else learns of it: later, and in order."""
        arrives_ms = self.now_ms + self._wire_ms * self.random.uniform(0.8, 1.2)
        self._wires[wire] = arrives_ms = max(arrives_ms, self._wires.get(wire, 0.0) + 0.01)
        heappush(self._agenda, (arrives_ms, next(self._number), what, args))

    def play(self) -> None:
        self.at(100, self._confirm)
        self.at(500, self._watch)
        ms = 500.0
        while ms < CALL_MS / 2:
            ms += self.random.choice([300, 900, 2_500, 6_000])
            happens = self.random.random()
            if happens < 0.5:
                self.at(ms, self._speak, 1_500)
            elif happens < 0.9:
                self.at(ms, self._speak, 80)  # a cough
            elif self._ill:
                self.at(ms, self._lose)
        while self._agenda and self.now_ms < CALL_MS and not self.over:
            self.now_ms, _, what, args = heappop(self._agenda)
            what(*args)

    # -- us -------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        if self.over:
            return
        for command in self.call.receive(event, self.now_ms):
            self._perform(command, event)
        if self.call.deadline_ms < inf:
            self.at(max(0.0, self.call.deadline_ms - self.now_ms) + 1, self._tick)

    def _tick(self) -> None:
        if not self.over and self.call.deadline_ms <= self.now_ms:
            self.feed(Tick())

    def _perform(self, command: Any, event: Event) -> None:
        match command:
            case PlayAudio():
                self._queue(PIECE_MS, event.response_id if isinstance(event, AudioArrived) else None, None)
            case SendMark(name=name):
                self._queue(0, None, name)
            case ClearAudio():
                cleared, self._queued = self._queued, []
                for _, _, mark in cleared:
                    self._echo(mark)
            case CreateResponse() | CancelResponse() | AnswerTool():
                self.by_wire(f"to {self._session}", self._take, self._session, command)
            case RunTool(tool_call_id=tool_call_id):
                if self.random.random() < 0.8:  # else it never comes back
                    in_ms = self.random.choice([5, 1_500, 4_000])
                    self.at(in_ms, self.feed, ToolReturned(tool_call_id, "42"))
            case DropModel():
                self._gone()
            case Reconnect(after_ms=after_ms):
                self._gone()
                self.at(after_ms + 200, self._confirm)
            case Finish():
                self.over = True

    # -- the service ----------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        self.by_wire(f"from {self._session}", self._hear, self._session, event)

    def _hear(self, session: int, event: Event) -> None:
        if session == self._session and self._up:
            self.feed(event)

    def _confirm(self) -> None:
        if not self._up:
            self._session += 1
            self._up = True
            self._tool_calls.clear()
            self.tell(SessionConfirmed())

    def _lose(self) -> None:
        if self._up:
            self.tell(ModelLost("openai.disconnected"))

    def _gone(self) -> None:
        self._up = self._creating = False
        self._active = None

    def _take(self, session: int, command: Any) -> None:
        if session != self._session or not self._up:
            return
        match command:
            case CreateResponse(request_id=request_id):
                if self._active is not None or self._creating:
                    self.tell(RequestRefused(request_id))
                else:
                    self._create(command.tag)
            case CancelResponse(response_id=response_id):
                self._end(response_id, "cancelled")
            case AnswerTool(tool_call_id=tool_call_id):
                assert self._tool_calls.pop(tool_call_id), "an output of a call that waits for none"
                self._wait_from_now()
                self.tell(OutputTaken(tool_call_id))

    def _create(self, tag: str | None) -> None:
        self._creating = True
        self.at(self.random.choice([10, 300]), self._begin, self._session, tag)

    def _begin(self, session: int, tag: str | None) -> None:
        if session != self._session or not self._creating:
            return
        self._creating = False
        self._active = response_id = f"resp-{next(self._number)}"
        self._begun_ms[response_id] = self.now_ms
        self.tell(ResponseStarted(response_id, tag))
        ms, random = 200, self.random
        if random.random() < self._ill:
            if random.random() < 0.5:
                self.at(ms, self._bring, response_id, MessageStarted(response_id, f"item-of-{response_id}"))
            self.at(ms + 50, self._end, response_id, random.choice(["failed", "incomplete"]))
            return
        tools = tag in (None, "answer") and random.random() < 0.5
        if not tools or random.random() < 0.5:
            self._say(ms, response_id)
            ms += 500
        if tools and random.random() < 0.7:
            self.at(ms, self._bring, response_id, ToolCalled(response_id, f"of-{response_id}", "look", "{}"))
        elif tools:  # one of the service's own, which we have allowed
            self.at(ms + 20, self._run_remotely, self._session)
        self.at(ms + 10, self._end, response_id, "completed")

    def _say(self, ms: float, response_id: str) -> None:
        item_id = f"item-of-{response_id}"
        self.at(ms, self._bring, response_id, MessageStarted(response_id, item_id))
        part = Part(item_id, 0)
        for number in range(self.random.randint(5, 20)):
            self.at(ms + 20 * number, self._bring, response_id, AudioArrived(response_id, part, PIECE))
        self.at(ms + 400, self._bring, response_id, AudioEnded(response_id, item_id, 0))

    def _bring(self, response_id: str, event: Event) -> None:
        if response_id == self._active:
            if isinstance(event, ToolCalled):
                self._tool_calls[event.tool_call_id] = response_id
            self.tell(event)

    def _run_remotely(self, session: int) -> None:
        if session == self._session and self._active is None:
            self.tell(RemoteToolCalled("mcp"))
            self.at(self.random.choice([100, 2_000]), self._return_remotely, session)

    def _return_remotely(self, session: int) -> None:
        if session == self._session and self._up:
            self._wait_from_now()
            self.tell(RemoteToolReturned())

    def _end(self, response_id: str, status: str) -> None:
        if response_id == self._active:
            self._active = None
            self.tell(ResponseEnded(response_id, status))

    # -- the phone ------------------------------------------------------------------------------

    def _queue(self, ms: float, response_id: str | None, mark: str | None) -> None:
        starts_ms = max(self.now_ms, self._queued[-1][0] if self._queued else 0.0)
        self._queued.append((starts_ms + ms, response_id, mark))
        self.at(starts_ms + ms - self.now_ms, self._sound)

    def _sound(self) -> None:
        while self._queued and self._queued[0][0] <= self.now_ms:
            _, response_id, mark = self._queued.pop(0)
            self._echo(mark)
            since_ms = self._waits_since_ms
            if response_id is not None and since_ms is not None and self._begun_ms[response_id] >= since_ms:
                self._waits_since_ms = None

    def _echo(self, mark: str | None) -> None:
        if mark is not None:
            self.by_wire("phone", self.feed, Played(mark))

    # -- the caller -----------------------------------------------------------------------------

    def _speak(self, ms: float) -> None:
        if self._speaking or not self._up:
            return
        self._speaking = True
        self.tell(SpeechStarted(f"caller-{next(self._number)}"))
        self.at(ms + VAD_MS, self._fall_silent, self._session, ms)

    def _fall_silent(self, session: int, ms: float) -> None:
        self._speaking = False
        if session != self._session or not self._up:
            return
        if ms > SHORTEST_MS:
            self._wait_from_now()
        self.tell(SpeechStopped())
        if self._active is None and not self._creating:
            self._create(None)

    def _wait_from_now(self) -> None:
        self._waits_since_ms = self.now_ms

    def _watch(self) -> None:
        """Nothing is under way, and somebody waits: that may not last."""
        under_way = self._speaking or self._creating or self._active is not None or self._queued
        if under_way or self._waits_since_ms is None or not self._up or self.call.phase is not Phase.LIVE:
            self._stood_still_ms = self.now_ms
        assert self.now_ms - self._stood_still_ms < PATIENCE_MS, "somebody waits, and nothing happens"
        self.at(500, self._watch)


@pytest.mark.parametrize("tens", range(4, 12))
def test_whoever_waits_for_the_agent_hears_it(tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        World(seed).play()
