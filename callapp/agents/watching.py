"""Agent files that are read again when they change: for development, where one edits and calls again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from callapp.agents.loader import Agents
from callapp.agents.model import Agent
from callapp.errors import ConfigError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5

_State = frozenset[tuple[str, int, int]]


class WatchedAgents(Agents):
    """Agents as their files are now; while there is a fault in any, as all of them were before it.

    Safe from any thread. A call that is under way keeps the agent it began with.

    Args:
        load: reads all agents.
        folders: where their files are.
        look_every_s: a change is noticed at the first use after so long.
    """

    def __init__(
        self, load: Callable[[], Agents], folders: tuple[Path, ...], look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self._load = load
        self._folders = folders
        self._look_every_s = look_every_s
        self._lock = threading.Lock()
        self._seen = self._state()
        self._looked_s = time.monotonic()
        self._now = load()

    def __getitem__(self, name: str) -> Agent:
        return self._current()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    @property
    def default(self) -> Agent:
        """As in the class above."""
        return self._current().default

    def _current(self) -> Agents:
        with self._lock:
            if time.monotonic() - self._looked_s >= self._look_every_s:
                self._looked_s = time.monotonic()
                state = self._state()
                if state != self._seen:
                    self._seen = state
                    self._read_again()
            return self._now

    def _read_again(self) -> None:
        try:
            self._now = self._load()
        except ConfigError as error:
            for fault in error.faults:
                log.error("! %s", fault)
            log.error("! the agent files were not taken over; the agents are those from before")
        else:
            log.info("= agent files read again")

    def _state(self) -> _State:
        """Name, time and size of each file, by which a change shows."""
        found = set()
        for folder in self._folders:
            for path in folder.glob("*.md"):
                try:
                    status = path.stat()
                except OSError:  # an editor is putting a new file in its place
                    continue
                found.add((str(path), status.st_mtime_ns, status.st_size))
        return frozenset(found)
