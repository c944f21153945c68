"""Where recordings lie while they are made: two files each in a folder of this machine.

Their process holds a lock on them, which the system lifts when the process is gone, however that came
about. So what is not locked was left behind, and can be put on the shelf by whoever comes next.
"""

from __future__ import annotations

import fcntl
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

_NAME = re.compile(r"(?P<call_sid>.+)-(?P<from_ms>\d+)-[0-9a-f]+\.caller")


class Work:
    """One recording in the making: mu-law of each side from its beginning on.

    Args:
        from_ms: where in the call it begins: later than 0 if another process had the call before.
    """

    def __init__(self, call_sid: str, from_ms: int, path: Path, mode: str) -> None:
        self.call_sid = call_sid
        self.from_ms = from_ms
        self._paths = path, path.with_suffix(".agent")
        with ExitStack() as opened:
            self.caller: IO[bytes] = opened.enter_context(path.open(mode))
            fcntl.flock(self.caller, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Under the lock: of what somebody else has just removed, nothing is made again. The process that
            # made the one may have died before the other.
            self._paths[1].touch()
            self.agent: IO[bytes] = opened.enter_context(self._paths[1].open("r+b"))
            self._opened = opened.pop_all()

    def flush(self) -> None:
        """Let nothing wait in this process."""
        self.caller.flush()
        self.agent.flush()

    def leave(self) -> None:
        """Close the files; whoever finds them puts them on the shelf."""
        with suppress(OSError):  # a full disk: what waited in this process is lost, and the files are closed
            self._opened.close()

    def remove(self) -> None:
        """It is on the shelf: the files are not needed any more."""
        for path in self._paths:
            path.unlink(missing_ok=True)
        self.leave()


class Bench:
    """The folder of all recordings that are made on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, call_sid: str, from_ms: int) -> Work:
        """Make the files of a recording.

        Raises:
            OSError: that did not work.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{call_sid}-{from_ms}-{secrets.token_hex(4)}.caller"
        return Work(call_sid, from_ms, path, "x+b")

    def delete(self, call_sid: str) -> None:
        """Delete what was left behind of a call. What is still being made is deleted when it is told of."""
        for work in self.left_behind(call_sid):
            work.remove()

    def left_behind(self, call_sid: str = "*") -> Iterator[Work]:
        """The recordings, of one call or of all, whose processes are gone, or have given up."""
        for path in sorted(self._folder.glob(f"{call_sid}-*.caller")):
            named = _NAME.fullmatch(path.name)
            if named is None:
                continue
            try:
                work = Work(named["call_sid"], int(named["from_ms"]), path, "r+b")
            except OSError:
                continue  # its process is alive, or another one has just taken it
            yield work
