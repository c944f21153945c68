"""callapp stays as cheap as it is, told by ratios: absolute times are those of the machine of the day."""

from __future__ import annotations

from pathlib import Path

import pytest

from callapp.simulators.load.run import Plan
from callapp.simulators.load.server import MakeRecipe, callapp_recipe
from tests.benchmark.baselines import COMPILER, asyncio_recipe, compile_floor, floor_recipe
from tests.benchmark.compare import Outcomes, compare

PLAN = Plan(calls=60, seconds=1.5)
LEAST_ROUNDS, MOST_ROUNDS = 1, 8

# Above what was measured with 60 to 200 calls, 0.33 to 0.39 and 1.9 to 2.4, by more than a busy machine makes
# of it. What has to hold with 100 to 200 calls on a quiet one is 0.45 and 2.2.
MOST_OF_ASYNCIO = 0.6
MOST_OF_FLOOR = 3.2


def enough(outcomes: Outcomes) -> bool:
    """Whether the limits hold. If not, there are more rounds: it may be the machine."""
    ours = outcomes["callapp"]
    limits = {"asyncio": MOST_OF_ASYNCIO, "floor": MOST_OF_FLOOR}
    held = all(ours.times(outcomes[name]) <= most for name, most in limits.items() if name in outcomes)
    return held and len(ours.rounds) >= LEAST_ROUNDS


@pytest.mark.alone
@pytest.mark.timeout(400)
def test_callapp_costs_a_fraction_of_an_asyncio_bridge_and_a_small_multiple_of_c(tmp_path: Path) -> None:
    """Both comparisons come out of one run, or the machine's mood would be in their ratio."""
    makers: dict[str, MakeRecipe] = {"callapp": callapp_recipe(tmp_path), "asyncio": asyncio_recipe}
    if COMPILER is not None:
        makers["floor"] = floor_recipe(compile_floor(tmp_path))

    outcomes = compare(makers, PLAN, MOST_ROUNDS, enough)

    ours = outcomes["callapp"]
    for name, outcome in outcomes.items():
        print(f"{name}: {outcome}")  # every figure, shown when this fails
    # Also of those that it is compared with: a server that loses half the audio would be cheap.
    for outcome in outcomes.values():
        assert outcome.tally.failures == {}
        assert outcome.tally.lost == 0
        assert sum(len(turn.to_model) for turn in outcome.rounds[0]) > 10_000
        assert sum(len(turn.to_phone) for turn in outcome.rounds[0]) > 3_000
    assert ours.tally.clears_missed == ours.tally.stale == 0
    assert ours.tally.clears_due > 0
    assert ours.times(outcomes["asyncio"]) <= MOST_OF_ASYNCIO
    if COMPILER is None:
        pytest.skip("no C compiler: compared with the asyncio bridge alone")
    assert ours.times(outcomes["floor"]) <= MOST_OF_FLOOR
