"""Threads that come and go on a call, and are waited for at its end."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from time import monotonic

from callapp.logs import Log

# After its end a call waits so long for its threads: what the system looks up for them, such as a
# name, cannot be broken off.
JOIN_S = 5.0


class Threads:
    """Those that somebody has started. For one thread at a time."""

    def __init__(self) -> None:
        self._started: list[Thread] = []

    def start(self, target: Callable[[], None], name: str) -> Thread:
        """Start one more; those that are over are let go of.

        Raises:
            RuntimeError: the system has none left.
        """
        thread = Thread(target=target, name=name, daemon=True)
        thread.start()
        self._started = [*(one for one in self._started if one.is_alive()), thread]
        return thread

    def run_errand(
        self, errand: Callable[[], None], otherwise: Callable[[], None], log: Log
    ) -> Thread | None:
        """Start one that asks the carrier for something; ``otherwise`` is called if the system has none left.

        A call has to come to its end all the same.
        """
        try:
            return self.start(errand, "errand")
        except RuntimeError as error:
            log.error("! the carrier cannot be asked: %s", error)
            otherwise()
            return None

    def join(self, until_s: float) -> None:
        """Wait for those under way, until a moment of the ``monotonic`` clock."""
        for thread in self._started:
            thread.join(max(0.0, until_s - monotonic()))
