"""Several servers under the same load, in short turns, in one run.

What else runs on a machine only ever adds to what a server uses, and never to all turns alike. So the servers
alternate, round after round, and of each part of a round the turn counts that was least disturbed: the more
rounds, the nearer that is to what a server really costs. A change of the server's code is in all of them.

By hand, with more calls: ``python -m tests.benchmark.compare 200 2 3`` (calls, seconds of a turn, rounds).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from callapp.simulators.load.run import Load, Measured, Plan, open_load
from callapp.simulators.load.server import MakeRecipe, callapp_recipe
from callapp.simulators.load.tally import Tally

SETTLE_S = 1.0
# A call that is left would have to do without its model while the other servers are loaded.
EMPTY_S = 30.0
TURNS = 4
"""In a round: measurements in a row of calls that grow older. The greeting, and then more and more talk."""


@dataclass
class Outcome:
    """How a server did, all rounds together."""

    rounds: list[list[Measured]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @property
    def cpu_ms_per_call_second(self) -> list[list[float]]:
        """Round by round, turn by turn."""
        return [
            [1000 * turn.cpu_s / turn.live_s for turn in turns if turn.cpu_s is not None]
            for turns in self.rounds
        ]

    @property
    def least_cpu_ms(self) -> float:
        """Of the least disturbed turns, on average, per call-second."""
        return fmean(map(min, zip(*self.cpu_ms_per_call_second, strict=True)))

    def times(self, other: Outcome) -> float:
        """How many times what another uses."""
        return self.least_cpu_ms / other.least_cpu_ms

    def __str__(self) -> str:
        """Every figure, for people."""
        rounds = ("  ".join(f"{cpu:.2f}" for cpu in turns) for turns in self.cpu_ms_per_call_second)
        return f"{self.least_cpu_ms:.2f} ms CPU per call-second: {' | '.join(rounds)}"


Outcomes = Mapping[str, Outcome]


def compare(
    makers: Mapping[str, MakeRecipe],
    plan: Plan,
    rounds: int,
    enough: Callable[[Outcomes], bool] = lambda _: False,
) -> Outcomes:
    """Start all servers, then load one after the other, round after round.

    Args:
        plan: its seconds are those of a turn.
        rounds: at most.
        enough: asked after each round, whether more would be needless.
    """
    outcomes = {name: Outcome() for name in makers}
    with ExitStack() as stack:
        loads: dict[str, Load] = {
            name: stack.enter_context(open_load(plan, lambda *_: None, make)) for name, make in makers.items()
        }
        for _ in range(rounds):
            for name, load in loads.items():
                load.grow(plan.calls, SETTLE_S)
                outcomes[name].rounds.append([load.measure(plan.seconds) for _ in range(TURNS)])
                load.fleet.want(0)
                load.world.loop.run_until(lambda load=load: load.fleet.empty, EMPTY_S)  # type: ignore[misc]
            if enough(outcomes):
                break
        for name, load in loads.items():
            load.end()
            outcomes[name].tally = load.world.tally
    return outcomes


def _main(calls: int, seconds: float, rounds: int) -> None:
    from tests.benchmark.baselines import asyncio_recipe, compile_floor, floor_recipe

    with TemporaryDirectory() as name:
        folder = Path(name)
        makers = {
            "callapp": callapp_recipe(folder),
            "floor": floor_recipe(compile_floor(folder)),
            "asyncio": asyncio_recipe,
        }
        outcomes = compare(makers, Plan(calls, seconds), rounds)
    for name, outcome in outcomes.items():
        for measured in chain.from_iterable(outcome.rounds):
            delays = [
                f"{way.percentiles_ms(0.5)[0]:.2f}/{way.percentiles_ms(0.99)[0]:.2f}"
                for way in (measured.to_model, measured.to_phone, measured.clear, measured.late)
            ]
            print(f"    {name}: to model, to phone, clear, late, p50/p99 in ms: {', '.join(delays)}")
        print(f"{name}: {outcome}; callapp: {outcomes['callapp'].times(outcome):.2f} of it")


if __name__ == "__main__":
    _main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
