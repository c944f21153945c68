"""What carries letters between processes: short texts to a channel, heard by whoever listens to it then.

Nothing is kept for those who listen later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from callapp.errors import CallappError

MOST_LETTER_BYTES = 7_900
"""A letter of PostgreSQL's has less than 8000 bytes."""

CONNECT_S = 5
# How long a connection may do nothing when it should.
STALL_S = 2


class WireLost(CallappError):
    """The connection is gone, or could not be made."""


class Sender(Protocol):
    """A connection that one thread sends on."""

    def send(self, letters: Sequence[tuple[str, str]]) -> None:
        """Send these, each a channel and an ASCII text, in order.

        Raises:
            WireLost: some or all of them may not have been sent.
        """

    def close(self) -> None:
        """Let go of the connection."""


class Listener(Protocol):
    """A connection that one thread listens on."""

    def receive(self, within_s: float) -> list[str]:
        """Wait for letters; ``[]`` when none has come in time.

        Raises:
            WireLost: letters may have been missed.
        """

    def close(self) -> None:
        """Let go of the connection."""


class Wire(Protocol):
    """Makes connections; both methods block, and raise `WireLost`."""

    name: str

    def sender(self) -> Sender:
        """Connect, to send."""

    def listener(self, channels: Sequence[str]) -> Listener:
        """Connect, and listen to channels from here on."""
