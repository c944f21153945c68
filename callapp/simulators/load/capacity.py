"""How many calls a server carries: more and more until it fails, then what lies between good and bad."""

from __future__ import annotations

from dataclasses import dataclass

from callapp.simulators.load.run import Load, Measured

_STEP = 50
_FINEST = 10
# After a failure there may be a backlog; a measurement that begins in it says nothing.
_RECOVER_S = 3.0


@dataclass(frozen=True)
class Capacity:
    """What was found.

    Args:
        calls: the most that were carried within the limit.
        limit_ms: the p99 of the delay, each way, that they had to stay below, with nothing lost.
        open_end: why there may be more: the load's own limit was reached first; empty if it was not.
        steps: all that was measured, in order.
    """

    calls: int
    limit_ms: float
    open_end: str
    steps: list[Measured]


def find_capacity(load: Load, limit_ms: float, most: int) -> Capacity:
    """Search up to ``most`` calls. Leaves the load at some number of calls."""
    steps: list[Measured] = []

    def holds(calls: int) -> bool:
        """Try it, and once more if it fails: that may have been something else on the machine."""
        for _ in range(2):
            load.grow(calls)
            steps.append(load.measure(load.plan.seconds))
            if steps[-1].holds(limit_ms):
                return True
            load.world.loop.run(_RECOVER_S)
        return False

    good, bad = 0, None
    calls = min(_STEP, most)
    while bad is None or bad - good > _FINEST:
        if holds(calls):
            good = calls
        elif steps[-1].bottleneck:
            return Capacity(good, limit_ms, "the load itself could not keep up", steps)
        else:
            bad = calls
        if bad is not None:
            calls = (good + bad) // 2 // _FINEST * _FINEST or _FINEST
            if calls in (good, bad):
                break
        elif good == most:
            return Capacity(good, limit_ms, f"no more than {most} were tried", steps)
        else:
            calls = min(good + _STEP, most)
    return Capacity(good, limit_ms, "", steps)
