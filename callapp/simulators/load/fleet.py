"""The calls of a load: as many as wanted, one that ends replaced by the next."""

from __future__ import annotations

from itertools import count

from callapp.simulators.load.loop import clock
from callapp.simulators.load.phone import Ending, Phone
from callapp.simulators.load.world import World

# Who ends a call, in turn.
_ENDINGS: tuple[Ending, ...] = ("caller", "agent", "caller", "agent", "caller", "agent", "caller", "drop")
# One that was refused calls again after so long.
_AGAIN_S = 3.0
_GOLDEN = 0.6180339887
_LEAST_S = 1.0


class Fleet:
    """Keeps a number of calls going.

    Args:
        rate: how many calls are begun a second, at most.
        call_s: how long a call lasts, on average; they are between half and one and a half times that.
    """

    def __init__(self, world: World, rate: float, call_s: float) -> None:
        self._world = world
        self._rate = rate
        self._call_s = call_s
        self._numbers = count(1)
        self._phones: set[Phone] = set()
        self._waiting = 0  # to call again
        self._wanted = 0
        self._pacing = False
        self._counted_at = clock()
        self._counted = 0
        self._live_s = 0.0
        self._young = True

    @property
    def live(self) -> int:
        """How many calls have a stream."""
        return sum(phone.streaming for phone in self._phones)

    @property
    def settled(self) -> bool:
        """Whether there are as many calls as wanted, or as many as are let in."""
        missing = self._wanted - len(self._phones) - self._waiting
        return missing <= 0 and all(phone.streaming for phone in self._phones)

    @property
    def empty(self) -> bool:
        """Whether all calls, and the model's sessions too, are over."""
        return not self._phones and not self._world.sessions

    def take_live_s(self) -> float:
        """Return the seconds that calls have lasted since it was last asked, all together."""
        self._count()
        live_s, self._live_s = self._live_s, 0.0
        return live_s

    def want(self, calls: int, *, young: bool = False) -> None:
        """Have so many calls from here on: begin more, or let some hang up.

        Args:
            young: whether all are at their beginning; otherwise they are anywhere in their lives, so that
                some end at any time.
        """
        self._young = young
        self._wanted = calls
        surplus = len(self._phones) - calls
        for phone in sorted(self._phones, key=lambda phone: phone.number)[: max(0, surplus)]:
            phone.hang_up()
        self._pace()

    def let_end(self) -> None:
        """Begin no more calls; those that are there end in their own time."""
        self._wanted = 0

    def _pace(self) -> None:
        if len(self._phones) + self._waiting >= self._wanted:
            self._young = True  # those that come now replace others
        elif not self._pacing:
            self._pacing = True
            self._world.loop.after(1 / self._rate, self._begin_one)

    def _begin_one(self) -> None:
        self._pacing = False
        if len(self._phones) + self._waiting >= self._wanted:
            return
        number = next(self._numbers)
        share = number * _GOLDEN % 1
        lasts_s = self._call_s * (0.5 + share if self._young else share) + _LEAST_S
        ending = _ENDINGS[number % len(_ENDINGS)]
        phone = Phone(self._world, number, lasts_s, ending, self._over)
        self._count()
        self._phones.add(phone)
        phone.begin()
        self._pace()

    def _over(self, phone: Phone) -> None:
        self._count()
        self._phones.discard(phone)
        if phone.sent == 0 and self._wanted:  # refused, or failed: not again at once
            self._waiting += 1
            self._world.loop.after(_AGAIN_S, self._call_again)
        self._pace()

    def _call_again(self) -> None:
        self._waiting -= 1
        self._pace()

    def _count(self) -> None:
        now = clock()
        self._live_s += self._counted * (now - self._counted_at)
        self._counted_at, self._counted = now, self.live
