"""An end to waiting on a socket, whatever comes on it: libraries limit the time from one byte to the next."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from threading import Lock, Timer
from types import TracebackType
from typing import Protocol, Self


class Connection(Protocol):
    """A socket, or what a library has around one."""

    def fileno(self) -> int: ...


class Deadline:
    """Shuts a connection when its time is over, so that the thread which waits on it goes on.

    ``with Deadline(10.0) as deadline:``, and in there ``deadline.watch(connection)``, before or after the
    time is over. It takes a thread: where the system has none left, nothing is shut.

    Raises:
        TimeoutError: at the end of the block, whatever came of the connection that was shut; to some who
            read it looks whole.
    """

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._lock = Lock()
        self._over = False
        self._watched: socket.socket | None = None
        self._timer = Timer(within_s, self._shut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        with suppress(RuntimeError):
            self._timer.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._timer.ident is not None:
            self._timer.join()
        if self._watched is not None:
            self._watched.close()
        if self._over:
            raise TimeoutError(f"not done within {self._within_s:g} s") from error

    def watch(self, connection: Connection) -> None:
        """This one is waited on from now on, and no other."""
        # A descriptor of its own: whoever owns the other may close it, and the system give its number away.
        watched = socket.socket(fileno=os.dup(connection.fileno()))
        with self._lock:
            if self._watched is not None:
                self._watched.close()
            self._watched = watched
            over = self._over
        if over:
            self._shut()

    def _shut(self) -> None:
        with self._lock, suppress(OSError):  # it may have ended by itself
            self._over = True
            if self._watched is not None:
                self._watched.shutdown(socket.SHUT_RDWR)
