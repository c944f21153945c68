"""Several servers under the same load, in turns, in one run: the machine's drift is the same for all.

By hand, with more calls: ``python -m tests.benchmark.compare 200 8 3`` (calls, seconds, rounds).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from callapp.simulators.load.run import Load, Measured, Plan, open_load
from callapp.simulators.load.server import MakeRecipe, callapp_recipe
from callapp.simulators.load.tally import Tally

SETTLE_S = 1.5
EMPTY_S = 10.0


@dataclass
class Outcome:
    """How a server did, all rounds together."""

    rounds: list[Measured] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @property
    def cpu_ms_per_call_second(self) -> list[float]:
        """Round by round."""
        return [
            1000 * (one.after.cpu_s - one.before.cpu_s) / one.live_s
            for one in self.rounds
            if one.after is not None and one.before is not None
        ]

    def times(self, other: Outcome) -> float:
        """How much more than another this one uses, in the round where that is least.

        What else runs on the machine disturbs one round more than another; a change of ours is in all.
        """
        both = zip(self.cpu_ms_per_call_second, other.cpu_ms_per_call_second, strict=True)
        return min(ours / theirs for ours, theirs in both)


def compare(makers: Mapping[str, MakeRecipe], plan: Plan, rounds: int) -> dict[str, Outcome]:
    """Start all servers, then load one after the other, round after round."""
    outcomes = {name: Outcome() for name in makers}
    with ExitStack() as stack:
        loads: dict[str, Load] = {
            name: stack.enter_context(open_load(plan, lambda *_: None, make)) for name, make in makers.items()
        }
        for _ in range(rounds):
            for name, load in loads.items():
                load.grow(plan.calls, SETTLE_S)
                outcomes[name].rounds.append(load.measure(plan.seconds))
                load.fleet.want(0)
                load.world.loop.run_until(lambda load=load: load.fleet.empty, EMPTY_S)  # type: ignore[misc]
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
        for measured in outcome.rounds:
            delays = [
                f"{way.percentiles_ms(0.5)[0]:.2f}/{way.percentiles_ms(0.99)[0]:.2f}"
                for way in (measured.to_model, measured.to_phone, measured.clear, measured.late)
            ]
            print(f"    {name}: to model, to phone, clear, late, p50/p99 in ms: {', '.join(delays)}")
        cpu = ", ".join(f"{cpu:.2f}" for cpu in outcome.cpu_ms_per_call_second)
        print(
            f"{name}: {cpu} ms CPU per call-second; callapp: {outcomes['callapp'].times(outcome):.2f} of it"
        )


if __name__ == "__main__":
    _main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
