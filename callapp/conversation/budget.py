"""What a call has cost so far, by the usage that the service reports, and whether that is too much."""

from __future__ import annotations

from collections.abc import Callable

from callapp.conversation.events import Usage


class Budget:
    """The money of one call.

    Args:
        most_usd: the call ends once it has cost so much; ``None`` lets it cost what it will.
        usd_of: prices a usage; ``None`` when that cannot be done.
        spent_usd: what it has cost before, in another process.
    """

    def __init__(
        self, most_usd: float | None, usd_of: Callable[[Usage], float] | None, spent_usd: float
    ) -> None:
        self.spent_usd = spent_usd
        self._most_usd = most_usd
        self._usd_of = usd_of

    @property
    def exhausted(self) -> bool:
        """Whether the call has cost as much as it may."""
        return self._most_usd is not None and self.spent_usd >= self._most_usd

    def spend(self, usage: Usage | None) -> None:
        """Add what was reported, if anything was."""
        if usage is not None and self._usd_of is not None:
            self.spent_usd += self._usd_of(usage)
