"""How the two calls of two people know each other: by the parameters of both, in whichever process. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

# Parameters of a call; a caller's own of these names do not count.
PAIR = "callapp_pair"
SIDE = "callapp_side"
OTHER_NUMBER = "otherPhoneNumber"


@dataclass(frozen=True)
class Place:
    """One of the two places in a pair of calls.

    Args:
        pair: names the pair.
        side: 0 for who speaks the first of the agent's languages, 1 for the second.
    """

    pair: str
    side: int

    @classmethod
    def new(cls, side: int = 0) -> Place:
        """A place of a new pair."""
        return cls(uuid.uuid4().hex, side)

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Place | None:
        """The place that a call's parameters tell of, if they do."""
        pair, side = parameters.get(PAIR), parameters.get(SIDE)
        return cls(pair, int(side)) if pair and side in ("0", "1") else None

    @property
    def other(self) -> Place:
        """The partner's."""
        return Place(self.pair, 1 - self.side)

    @property
    def placed_id(self) -> str:
        """The id of the call in this place, if it is one that we dial."""
        return f"{self.pair}-{self.side}"

    @property
    def parameters(self) -> dict[str, str]:
        """What the call is given to be known by."""
        return {PAIR: self.pair, SIDE: str(self.side)}
