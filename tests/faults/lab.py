"""The fault laboratory: many short calls on one server, on each of which something goes wrong.

Both sides of the server are reached through a fault proxy. A call goes the same way each time: the agent
greets, the caller asks, the agent looks it up with a tool and answers, the caller asks again, the agent
says goodbye and ends it. Who speaks in it does not read a script but takes part: a caller who is not
answered asks again, and a model that was called again goes on where the call stood. So a call that
survives its fault ends as it would have without.

A *lane* is an agent of its own, with a model name of its own: so that each connection to OpenAI is known
by its URL. One call at a time is on a lane.

Threads: one for each call under way, besides those of the simulators, the proxies and the server.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Lock
from types import TracebackType
from typing import Self

from callapp.simulators import webhooks
from callapp.simulators.clips import Clip
from callapp.simulators.model_script import Ask, Output, Pace, Script
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Say as SayIt
from callapp.simulators.model_session import Session
from callapp.simulators.phone import Call, Callee
from callapp.simulators.sound import FRAME_MS, is_voiced
from tests.faults.proxy import Fault, Link, Proxy
from tests.stage import (
    AUTH_TOKEN,
    DEADLINE_S,
    END_LINE,
    LIVE_LINE,
    OUR_NUMBER,
    THEIR_NUMBER,
    TOOLS,
    Ending,
    Scene,
    Server,
    eventually,
    open_sockets,
    words,
)

GREETING = words("Hello, this is the shop.", 300)
LOOK = words("One second, I look it up.", 300)
ANSWER = words("We are open until seven.", 500)
GOODBYE = words("Goodbye then.", 300)
QUESTION = words("And when are you open?", 300)
HOLD = Clip(
    "hold line",
    Path(__file__).parents[2].joinpath("callapp/call/lines/hold.en.ulaw").read_bytes(),
    "",
    language="en",
)
CLIPS = {"greeting": GREETING, "look": LOOK, "answer": ANSWER, "goodbye": GOODBYE, "hold line": HOLD}

ANSWERED_MS = 300
"""So long a pause tells the caller that it is their turn."""
PATIENCE_MS = 3_000
"""After so much silence the caller asks again."""
QUESTIONS = 20
"""So often, and then never again."""
MOST_LAG_S = 0.1
"""So late may the phones be when another one rings."""
MOST_WAIT_S = 60.0

LANE_TOOLS = (
    TOOLS
    + '''

from threading import Event


@tool
def look_up(question: str) -> str:
    """Look something up; takes a moment."""
    Event().wait(0.4)
    return "until seven"
'''
)


class Caller(Callee):
    """Somebody who wants an answer: asks when it is their turn, and again when nobody speaks."""

    def __init__(self, on_speak: Callable[[], None]) -> None:
        super().__init__()
        self._on_speak = on_speak
        self._asked = 0
        self._voiced_ms_heard = 0
        self._quiet_ms = 0

    def live(self, heard: bytes):  # type: ignore[no-untyped-def]  # as in Callee
        if is_voiced(heard):
            self._voiced_ms_heard += FRAME_MS
            self._quiet_ms = 0
        elif not self.speaking:
            self._quiet_ms += FRAME_MS
        turn = self._voiced_ms_heard >= 60 and self._quiet_ms >= ANSWERED_MS
        if (turn or self._quiet_ms >= PATIENCE_MS) and not self.speaking and self._asked < QUESTIONS:
            self._asked += 1
            self._voiced_ms_heard = self._quiet_ms = 0
            self.say(QUESTION)
            self._on_speak()
        return super().live(heard)


@dataclass(frozen=True)
class Case:
    """A call, and what is to go wrong on it.

    ``moment`` is one of `MOMENTS`; ``again``: the session that follows is struck too, at its beginning.
    """

    number: int
    side: str  # phone or model
    moment: str
    fault: Fault
    again: Fault | None = None

    def __str__(self) -> str:
        again = f", then {self.again}" if self.again else ""
        return f"case {self.number}: {self.side} at {self.moment}: {self.fault}{again}"


MOMENTS: Mapping[str, Sequence[str]] = {
    "phone": (
        "ringing",
        "before start",
        "greeting",
        "caller speaking",
        "model speaking",
        "tool running",
        "goodbye",
    ),
    "model": (
        "connecting",
        "session.update",
        "greeting",
        "caller speaking",
        "model speaking",
        "tool running",
        "goodbye",
    ),
}
KINDS = ("drop", "reset", "stall", "delay", "split", "duplicate")


@dataclass
class Outcome:
    """What became of a case."""

    case: Case
    reason: str = ""  # in the log; empty when the call never lived
    ended_after_s: float = 0.0  # from the fault, or from the ring if it never struck
    struck: bool = False
    back_ms: float | None = None  # from the fault to the first new session
    silence_ms: float = 0.0  # the longest the caller heard nothing while the model was away
    first_sound: str = "nothing"
    first_sound_ms: float | None = None  # from the fault
    late_ms: float = 0.0  # how late the phone was with its audio, at most
    said: tuple[str, ...] = ()  # by the carrier
    sessions: int = 0
    wrong: list[str] = field(default_factory=list)


class Lane:
    """The place of one call at a time, and who takes part in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begin(None)

    def begin(self, case: Case | None) -> None:
        self.case = case
        self.looked_up = False
        self.phone_link: Link | None = None
        self.model_links: list[Link] = []
        self.struck_links: list[Link] = []

    # The other sides

    def answer(self, ask: Ask) -> Sequence[Output]:
        """What the model says; told what the call has come to."""
        instructions = str(ask.payload.get("instructions", ""))
        if instructions.startswith("Say exactly"):
            self.at("greeting")
            return [SayIt(GREETING)]
        if ask.tool_outputs:
            self.looked_up = True
            self.at("model speaking")
            return [SayIt(ANSWER)]
        if self.looked_up:
            self.at("goodbye")
            return [SayIt(GOODBYE), ToolCall("end_call", {"reason": "done"})]
        self.at("tool running")
        return [SayIt(LOOK), ToolCall("look_up", {"question": "opening hours"})]

    def on_model_link(self, link: Link) -> None:
        self.model_links.append(link)
        case = self.case
        if case is not None and case.again is not None and len(self.struck_links) == 1:
            self.strike(link, case.again)
        if len(self.model_links) == 1:
            self.at("connecting", "session.update")

    # What goes wrong

    def at(self, *moments: str) -> None:
        """A moment of the call has come: strike if it is this one."""
        case = self.case
        if case is None or self.struck_links or case.moment not in moments:
            return
        link = self.phone_link if case.side == "phone" else self.model_links[-1]
        if link is not None:
            self.strike(link, case.fault)

    def strike(self, link: Link, fault: Fault) -> None:
        self.struck_links.append(link)
        link.strike(fault)

    @property
    def struck_s(self) -> float | None:
        """When the first fault struck."""
        return min((at_s for link in self.struck_links for at_s, _ in link.struck), default=None)


class Lab:
    """A server between two proxies, with a Twilio and an OpenAI behind them.

    Args:
        folder: for the server's files.
        lanes: how many calls at a time.
    """

    def __init__(self, folder: Path, lanes: int, **environ: str) -> None:
        self._stack = ExitStack()
        self._starting = Lock()
        self._changed = Condition()
        self._awaited: Lane | None = None
        self._lines_read = 0
        self._endings: dict[str, Ending] = {}
        self._lived: set[str] = set()
        self._refused: set[str] = set()
        self.lanes = {f"lane-{number:02}": Lane(f"lane-{number:02}") for number in range(lanes)}
        agents, tools = folder / "lanes", folder / "lane-tools"
        agents.mkdir(parents=True)
        tools.mkdir()
        for name in self.lanes:
            (agents / f"{name}.md").write_text(
                f"---\nlanguage: en-US\nmodel: {name}\ngreeting: Welcome!\nclosing: That was all.\n"
                "tools: [end_call, look_up]\n---\nYou answer the phone.\n"
            )
        (tools / "lane_tools.py").write_text(LANE_TOOLS)
        # The proxies come first, for the server is told their ports; it in turn says where they lead to.
        self.phone_proxy = self._stack.enter_context(Proxy(0, self._on_phone_link))
        self.model_proxy = self._stack.enter_context(Proxy(0, self._on_model_link))
        self.origin = f"http://127.0.0.1:{self.phone_proxy.port}"
        try:
            self.server = Server(
                folder,
                AGENTS_DIR=str(agents),
                TOOLS_DIR=str(tools),
                DEFAULT_AGENT="lane-00",
                PUBLIC_URL=self.origin,
                OPENAI_REALTIME_URL=f"ws://127.0.0.1:{self.model_proxy.port}/v1/realtime",
                LOG_LEVEL="info",
                **{"MAX_CONCURRENT_CALLS": str(lanes + 4)} | environ,
            )
            self._stack.callback(self.server.close)
            self.phone_proxy.upstream_port = self.server.port
            self.model_proxy.upstream_port = self.server.model_port
            self.scene = self._open_scene()
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open_scene(self) -> Scene:
        script = Script(otherwise=lambda ask: self.lanes[ask.session.config["model"]].answer(ask))
        scene = Scene(self.server, script, pace=Pace(speed=8), models=self.lanes, keep_audio=False)
        self._stack.callback(scene.close)
        return scene

    # In the proxies' threads

    def _on_phone_link(self, link: Link) -> None:
        if link.request_line.startswith("GET /ws"):
            with self._changed:
                lane, self._awaited = self._awaited, None
                if lane is not None:
                    lane.phone_link = link
                    lane.at("before start")
                    self._changed.notify_all()
        elif found := re.search(r"/incoming-call\?agent=(lane-\d+)", link.request_line):
            lane = self.lanes[found[1]]
            lane.phone_link = link
            lane.at("ringing")

    def _on_model_link(self, link: Link) -> None:
        found = re.search(r"model=(lane-\d+)", link.request_line)
        if found:
            self.lanes[found[1]].on_model_link(link)

    def open_sockets(self) -> int:
        """How many sockets of calls the server's worker has open, with the proxies on either side."""
        return open_sockets(self.server.workers[0], self.model_proxy.port, self.server.port)

    # Calls

    def ring(self, lane: Lane, callee: Callee) -> Call:
        """Somebody calls. Calls begin one after the other, or nobody knew whose stream it is that comes.

        As many are under way as the machine has time for: on one that is busy, each waits for the phones of
        the others.
        """
        with self._starting:
            assert eventually(lambda: self.scene.carrier.lag_s() < MOST_LAG_S, MOST_WAIT_S)
            with self._changed:
                self._awaited = lane
            call = self.scene.carrier.incoming_call(
                f"{self.origin}/incoming-call?agent={lane.name}",
                callee=callee,
                from_number=THEIR_NUMBER,
                to_number=OUR_NUMBER,
                status_callback=f"{self.origin}/call-status",
            )
            self._await_stream(lane, call)
        return call

    def _await_stream(self, lane: Lane, call: Call) -> None:
        """Wait until the call's stream has come, or until none will come any more."""
        # A webhook that is late, by more than a second at times, still brings a stream: if nobody waited for
        # it, it would be taken for the next lane's, and struck in its place.
        late = lane.case is not None and lane.case.fault.kind in ("delay", "split")
        until_s = time.monotonic() + 5
        with self._changed:
            while self._awaited is not None and time.monotonic() < until_s:
                if call.ended or call.faults:  # the webhook failed
                    break
                if lane.struck_s is not None and not late:
                    until_s = min(until_s, lane.struck_s + 1)
                self._changed.wait(0.02)
            self._awaited = None

    def webhook(self, call_sid: str) -> str:
        """What a call that comes in now is answered."""
        fields = {"CallSid": call_sid, "From": THEIR_NUMBER, "To": OUR_NUMBER}
        url = f"{self.origin}/incoming-call?agent=lane-00"
        return webhooks.send(AUTH_TOKEN, "POST", url, fields).text

    def sessions(self, lane: Lane, since_s: float) -> list[Session]:
        """The lane's sessions at OpenAI since a moment."""
        return [
            session
            for session in self.scene.model.sessions
            if session.config["model"] == lane.name and session.sent and session.sent[0].at_s >= since_s
        ]

    def run(self, lane: Lane, case: Case) -> Outcome:
        """Have one call, and look at what became of it."""
        outcome = Outcome(case)
        lane.begin(case)
        began_s = time.monotonic()
        caller = Caller(lambda: lane.at("caller speaking"))
        call = self.ring(lane, caller)
        ending = self._wait_for_end(lane, call)
        struck_s = lane.struck_s
        outcome.struck = struck_s is not None
        ended_s = time.monotonic()
        outcome.ended_after_s = ended_s - (struck_s or began_s)
        outcome.reason = ending.reason if ending else ""
        for link in (lane.phone_link, *lane.struck_links):
            if link is not None and link.stalled:
                link.cut()  # nobody behind it would ever hear of the end
        if not call.ended:
            call.hang_up()
        try:
            call.wait_ended(DEADLINE_S)
        except TimeoutError as error:
            outcome.wrong.append(str(error))
        sessions = self.sessions(lane, began_s)
        for session in sessions:
            try:
                session.wait_closed(3)
            except TimeoutError:
                outcome.wrong.append("a session at OpenAI outlived the call")
        outcome.sessions = len(sessions)
        outcome.said = tuple(said.text for said in call.said)
        outcome.late_ms = max((stream.late_ms for stream in call.streams), default=0.0)
        self._listen(call, sessions, struck_s, ended_s, outcome)
        return outcome

    def ending(self, call: Call, within_s: float = 40) -> Ending:
        """Wait until the server says that a call is over."""
        with self.server._changed:
            found = self.server._changed.wait_for(
                lambda: self._read_log() or self._endings.get(call.sid), within_s
            )
        if not found:
            told = [line for line in self.server.lines if call.sid in line]
            raise AssertionError(f"{call!r} did not end within {within_s} s:\n" + "\n".join(told))
        return found

    def forget(self, call: Call) -> None:
        """Keep nothing of a call that is over: there will be thousands."""
        call.wait_ended(DEADLINE_S)
        with call.changed:
            call.streams.clear()
            call.requests.clear()
        with self.server._changed:
            self._endings.pop(call.sid, None)
            self._lived.discard(call.sid)

    def _read_log(self) -> None:
        """Take in what the server has logged since the last time; with its lock held."""
        lines = self.server.lines
        for line in lines[self._lines_read :]:
            if found := END_LINE.search(line):
                self._endings[found[1]] = Ending(found[2], float(found[3]))
            elif found := LIVE_LINE.search(line):
                self._lived.add(found[1])
            elif "stream refused" in line and (refused := re.search(r"CA[0-9a-f]{32}", line)):
                self._refused.add(refused[0])
        self._lines_read = len(lines)

    def _wait_for_end(self, lane: Lane, call: Call) -> Ending | None:
        """Wait until the server says that the call is over, or the carrier knows that it never lived."""
        began_s = time.monotonic()
        with self.server._changed:
            while True:
                self._read_log()
                if call.sid in self._endings:
                    return self._endings[call.sid]
                lived = call.sid in self._lived
                if (call.over and not lived) or call.sid in self._refused:
                    return None
                waited_s = time.monotonic() - began_s
                if waited_s > 12 and not lived and lane.phone_link is not None and lane.phone_link.stalled:
                    return (
                        None  # a stream that stalled before its start: nobody can be told that it is given up
                    )
                if waited_s > 40:
                    return Ending("never", waited_s)
                self.server._changed.wait(0.1)

    def _listen(
        self, call: Call, sessions: list[Session], struck_s: float | None, ended_s: float, outcome: Outcome
    ) -> None:
        """What the caller heard, and for how long nothing while the model was away."""
        if not call.streams or struck_s is None or not call.stream.began_ns:
            return
        heard = played(call)
        later = [(starts, audio) for starts, _, audio in heard if starts >= struck_s]
        if later:
            outcome.first_sound = name_of(later[0][1])
            outcome.first_sound_ms = (later[0][0] - struck_s) * 1000
        if outcome.case.side == "model" and outcome.case.fault.kind not in ("delay", "split"):
            back = [
                one.at_s
                for session in sessions
                for one in session.sent
                if one.event["type"] == "session.updated" and one.at_s > struck_s
            ]
            outcome.back_ms = (min(back) - struck_s) * 1000 if back else None
            away_until_s = min(max(back, default=ended_s), ended_s)
            outcome.silence_ms = 1000 * longest_silence_s(heard, struck_s, away_until_s)


Piece = tuple[float, float, bytes]
"""Of audio that was heard: from when to when, by ``time.monotonic()``, and all of it."""


def played(call: Call) -> list[Piece]:
    """What the caller heard on the latest stream."""
    with call.changed:
        zero_s = call.stream.began_ns / 1e9
        return [
            (zero_s + chunk.starts_ns / 1e9, zero_s + chunk.ends_ns / 1e9, chunk.audio)
            for chunk in call.stream.playout.chunks
            if chunk.kept
        ]


def longest_silence_s(heard: list[Piece], since_s: float, until_s: float) -> float:
    """The longest stretch between two moments in which nothing was played."""
    longest, quiet_s = 0.0, since_s
    for starts, ends, _ in sorted(heard):
        if ends <= since_s or starts >= until_s:
            continue
        longest = max(longest, starts - quiet_s)
        quiet_s = max(quiet_s, ends)
    return max(longest, until_s - quiet_s)


def name_of(audio: bytes) -> str:
    """What a piece of audio was taken from."""
    return next((name for name, clip in CLIPS.items() if audio in clip.audio), "?")


def cases(seed: int, at_least: int) -> list[Case]:
    """Each kind of fault at each moment on each side, again and again, at bytes that the seed decides."""
    dice = random.Random(seed)
    made: list[Case] = []
    while len(made) < at_least:
        for side, moments in MOMENTS.items():
            for moment in moments:
                for kind in KINDS:
                    made.append(_case(dice, len(made) + 1, side, moment, kind))
    return made


def _case(dice: random.Random, number: int, side: str, moment: str, kind: str) -> Case:
    way, most = {
        ("phone", "ringing"): (dice.choice(("up", "down")), 600),
        ("phone", "before start"): (dice.choice(("up", "up", "down")), 800),
        ("model", "connecting"): (dice.choice(("up", "down")), 140),
        ("model", "session.update"): (dice.choice(("up", "down")), 1_200),
        ("model", "tool running"): ("up", 400),
    }.get((side, moment), (dice.choice(("up", "down")), 3_000))
    least = 160 if moment == "session.update" else 0
    amount = {
        "delay": dice.randrange(100, 1_500),
        "split": dice.randrange(1, 40),
        "duplicate": dice.randrange(1, 400),
    }
    fault = Fault(kind, way, dice.randrange(least, least + most), amount.get(kind, 0))  # type: ignore[arg-type]
    again = None
    if side == "model" and kind in ("drop", "reset") and moment != "goodbye" and dice.random() < 0.4:
        again = Fault(dice.choice(("drop", "reset", "stall")), "down", dice.randrange(0, 1_500))
    return Case(number, side, moment, fault, again)
