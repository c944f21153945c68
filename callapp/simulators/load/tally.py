"""What is counted while a load runs: delays in bins of 10 µs, and losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

_BINS = 2000
_BINS_A_SECOND = 100_000


class Delays:
    """A histogram that is quick to add to and forgets nothing above its last bin, 20 ms."""

    __slots__ = ("_bins", "_over")

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self._over: list[float] = []

    def add(self, seconds: float) -> None:
        """Count one."""
        at = int(seconds * _BINS_A_SECOND)
        if 0 <= at < _BINS:
            self._bins[at] += 1
        else:
            self._over.append(seconds)

    def take(self) -> Delays:
        """Return what was counted, and begin anew. Who holds this object goes on with it."""
        taken = Delays()
        taken._bins, taken._over = self._bins[:], self._over[:]
        self._bins[:] = [0] * _BINS
        self._over.clear()
        return taken

    def __iadd__(self, other: Delays) -> Delays:
        self._bins = [ours + theirs for ours, theirs in zip(self._bins, other._bins, strict=True)]
        self._over += other._over
        return self

    def __len__(self) -> int:
        return sum(self._bins) + len(self._over)

    def percentiles_ms(self, *shares: float) -> list[float]:
        """Return the value that each share of all is not above, to 10 µs; NaN when there is none."""
        over = sorted(self._over)
        binned = sum(self._bins)
        total = binned + len(over)
        if not total:
            return [float("nan")] * len(shares)
        found: list[float] = []
        for share in shares:
            rank = min(total - 1, int(share * total))
            if rank >= binned:
                found.append(over[rank - binned] * 1000)
                continue
            at = next(at for at, below in enumerate(accumulate(self._bins)) if below > rank)
            found.append((at + 1) * 1000 / _BINS_A_SECOND)
        return found


@dataclass(slots=True)
class Tally:
    """Everything that the calls of a load add to."""

    to_model: Delays = field(default_factory=Delays)
    to_phone: Delays = field(default_factory=Delays)
    clear: Delays = field(default_factory=Delays)
    late: Delays = field(default_factory=Delays)  # our own: a chunk sent after its time

    chunks_sent: int = 0
    chunks_lost: int = 0  # caller audio that the model never got
    chunks_twice: int = 0  # or out of order
    agent_bytes: int = 0  # sent by the model in responses that nobody cut short
    agent_bytes_lost: int = 0
    agent_disorder: int = 0

    clears_due: int = 0
    clears_missed: int = 0
    stale: int = 0  # messages with audio of a response after the clear that cut it

    started: int = 0
    hung_up: int = 0  # by the phone
    dropped: int = 0  # by the phone, without a word
    ended_by_agent: int = 0
    refused: int = 0  # TwiML without a stream: all lines are busy
    failed: int = 0
    sessions_left: int = 0  # the model's session was still open 1 s after the call
    failures: dict[str, int] = field(default_factory=dict)

    def fail(self, why: str) -> None:
        """Count a call that went wrong."""
        self.failed += 1
        self.failures[why] = self.failures.get(why, 0) + 1

    @property
    def lost(self) -> int:
        """How much went wrong with audio, of either direction."""
        return self.chunks_lost + self.chunks_twice + self.agent_bytes_lost + self.agent_disorder
