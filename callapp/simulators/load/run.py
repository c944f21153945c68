"""A load from its beginning to its end: start, settle, measure, let everybody hang up, and say how it was."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from callapp.simulators.load.audio import CHUNK_MS, AgentVoice, CallerSpeech
from callapp.simulators.load.certificate import make_certificate
from callapp.simulators.load.desk import Desk
from callapp.simulators.load.fleet import Fleet
from callapp.simulators.load.loop import Loop, clock
from callapp.simulators.load.process import Usage, cpu_s_of, memory_kib_of, processes_of, usage_of
from callapp.simulators.load.server import MakeRecipe, Server, Surroundings, pin, split_cores
from callapp.simulators.load.tally import Delays, Tally
from callapp.simulators.load.world import Target, World

# Of its own core. Above it the delays are the load's own as much as the server's.
BUSY_SHARE = 0.85
LATE_MS = 5.0

_RATE = 40.0  # calls begun a second
_SETTLE_S = 3.0
_CALM_S = 0.3
_WARM_UP_S = 20.0
_RAMP_SPARE_S = 20.0
_GOODBYE_S = 40.0


@dataclass(frozen=True)
class Plan:
    """What a load is to be like.

    Args:
        calls: at once.
        seconds: measured.
        call_s: how long calls last on average; those that end are replaced.
        delta_ms: audio in each of the model's deltas.
        speed: at which the model makes audio, in times of real time.
        workers: server processes, when the server is ours.
        tls: whether the model is spoken to by TLS, when the server is ours.
    """

    calls: int = 100
    seconds: float = 20.0
    call_s: float = 180.0
    delta_ms: int = 20
    speed: float = 2.0
    workers: int = 1
    tls: bool = False


@dataclass
class Second:
    """One second of the measurement."""

    calls: int
    to_model: Delays
    to_phone: Delays
    late: Delays
    memory_kib: int  # the server's own, at its end; 0 if it is not known


@dataclass
class Measured:
    """What came out of a stretch of steady load."""

    calls: int
    seconds: float
    live_s: float
    to_model: Delays
    to_phone: Delays
    clear: Delays
    late: Delays
    cpu_s: float | None  # the server's
    before: Usage | None
    after: Usage | None
    own_share: float
    lost: int
    missed: int
    stale: int
    failed: int
    series: list[Second] = field(default_factory=list)

    @property
    def bottleneck(self) -> bool:
        """Whether the load itself was too slow, so that the delays are not the server's."""
        return self.own_share > BUSY_SHARE or self.late.percentiles_ms(0.99)[0] > LATE_MS

    def holds(self, limit_ms: float) -> bool:
        """Whether all audio came, and came in time."""
        clean = not (self.lost or self.missed or self.stale or self.failed)
        return clean and all(
            delays.percentiles_ms(0.99)[0] < limit_ms for delays in (self.to_model, self.to_phone)
        )


Tell = Callable[[str, float], None]
"""Told what is going on, and how far it is, 0–1."""


class Load:
    """Phones and a model around one server.

    Args:
        pid: of the server's first process, if it was started here.
    """

    def __init__(self, plan: Plan, world: World, pid: int | None, tell: Tell) -> None:
        self.plan = plan
        self.world = world
        self.pid = pid
        self.tell = tell
        self.fleet = Fleet(world, _RATE, plan.call_s)
        self.idle: Usage | None = None
        self._processes: list[int] = []  # the server's, once it is warm

    def warm_up(self) -> None:
        """Carry one call to its end, so that what is loaded and opened at first use is not measured.

        Raises:
            LoadFailed: it did not come to its end.
        """
        self.tell("warming up", 0.0)
        tally = self.world.tally
        warm = Fleet(self.world, _RATE, 1.0)
        warm.want(1)
        self.world.loop.run_until(lambda: tally.started == 1, 1.0)
        warm.let_end()
        ended = self.world.loop.run_until(lambda: warm.empty, _WARM_UP_S)
        if not ended or tally.failures or tally.refused:
            why = "; ".join(tally.failures) or "it was refused: is the server full?"
            raise LoadFailed(f"A first call did not go well: {why}")
        self.world.tally = Tally()
        self.idle = self._usage()
        self._processes = processes_of(self.pid) if self.idle is not None and self.pid is not None else []

    def grow(self, calls: int, settle_s: float = _SETTLE_S) -> None:
        """Have so many calls, and wait until they are steady: all live, and for so long."""
        loop, fleet = self.world.loop, self.fleet
        fleet.want(calls)
        within_s = calls / _RATE + _RAMP_SPARE_S
        began = clock()

        def settled() -> bool:
            self.tell(f"{fleet.live} of {calls} calls", min(1.0, (clock() - began) / within_s))
            return fleet.settled

        loop.run_until(settled, within_s)
        loop.run(settle_s)

    def measure(self, seconds: float) -> Measured:
        """Measure for so long."""
        tally, loop = self.world.tally, self.world.loop
        before = self._usage()
        loop.run(_CALM_S)  # while that was read, everybody stood still
        losses = _losses(tally)
        for delays in (tally.to_model, tally.to_phone, tally.clear, tally.late):
            delays.take()
        self.fleet.take_live_s()
        cpu_s, own, began = cpu_s_of(self._processes), time.process_time(), clock()
        series: list[Second] = []
        while (left_s := began + seconds - clock()) > 0:
            loop.run(min(1.0, left_s))
            series.append(
                Second(
                    self.fleet.live,
                    tally.to_model.take(),
                    tally.to_phone.take(),
                    tally.late.take(),
                    memory_kib_of(self._processes),
                )
            )
            self.tell(f"measuring {self.fleet.live} calls", (clock() - began) / seconds)
        took_s = clock() - began
        own_share = (time.process_time() - own) / took_s
        cpu_s = cpu_s_of(self._processes) - cpu_s
        live_s = self.fleet.take_live_s()
        after = self._usage()
        lost, missed, stale, failed = (now - then for now, then in zip(_losses(tally), losses, strict=True))
        return Measured(
            calls=self.fleet.live,
            seconds=took_s,
            live_s=live_s,
            to_model=_sum(second.to_model for second in series),
            to_phone=_sum(second.to_phone for second in series),
            clear=tally.clear.take(),
            late=_sum(second.late for second in series),
            cpu_s=cpu_s if self._processes else None,
            before=before,
            after=after,
            own_share=own_share,
            lost=lost,
            missed=missed,
            stale=stale,
            failed=failed,
            series=series,
        )

    def end(self) -> None:
        """Let everybody hang up."""
        self.tell("hanging up", 0.0)
        self.fleet.want(0)
        self.world.loop.run_until(lambda: self.fleet.empty, _GOODBYE_S)
        self.world.loop.run(1.1)  # the last look at what is left

    def _usage(self) -> Usage | None:
        return usage_of(self.pid) if self.pid is not None else None


class LoadFailed(Exception):
    """There is nothing to measure; the message says why."""


@contextmanager
def open_load(
    plan: Plan,
    tell: Tell,
    make: MakeRecipe | None,
    *,
    most_calls: int | None = None,
    url: str = "",
    desk_at: tuple[str, int] = ("127.0.0.1", 0),
) -> Iterator[Load]:
    """Start a server, or go to one; warm it up; end all when done.

    Args:
        make: starts the server; ``None`` for the one at ``url``.
        most_calls: that there will ever be, if more than the plan's.
        desk_at: where the pretend Twilio and OpenAI listen.

    Raises:
        LoadFailed: a first call did not go well.
        NoCertificate: there is no TLS without one.
        ServerFailed: the server did not start.
    """
    server_cores, own_cores = split_cores(plan.workers)
    with ExitStack() as stack:
        stack.callback(pin, pin(own_cores if make is not None else set()))
        loop = Loop(CHUNK_MS / 1000)
        stack.callback(loop.close)
        world = World(loop, Target(url), CallerSpeech(), AgentVoice(plan.delta_ms), plan.speed)
        desk = Desk(world, *desk_at)
        stack.callback(desk.close)
        pid = None
        if make is not None:
            surroundings = Surroundings(desk.origin, desk.realtime_url, most_calls or plan.calls)
            if plan.tls:
                folder = Path(stack.enter_context(TemporaryDirectory()))
                context, certificate = make_certificate(folder)
                model = Desk(world, tls=context)
                stack.callback(model.close)
                surroundings = replace(surroundings, realtime_url=model.realtime_url, trust=certificate)
            server = stack.enter_context(Server(make, surroundings, server_cores))
            pid = server.pid
            recipe = server.recipe
            world.target = Target(server.url, recipe.stream_path, recipe.converses)
        stack.enter_context(_no_garbage())
        load = Load(plan, world, pid, tell)
        load.warm_up()
        yield load


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Leave the garbage collector out of it: its pauses would look like the server's."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _losses(tally: Tally) -> tuple[int, int, int, int]:
    return tally.lost, tally.clears_missed, tally.stale, tally.failed


def _sum(parts: Iterator[Delays]) -> Delays:
    whole = Delays()
    for part in parts:
        whole += part
    return whole
