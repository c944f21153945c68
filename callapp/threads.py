"""Threads that the system may have no room for just now."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

# For how long a thread that was told to end is waited for. What it does then may hang, in a database, say.
MOST_LEAVING_S = 1.0


def try_start(target: Callable[[], None], name: str) -> Thread | None:
    """Start a daemon thread; ``None`` when the system has none left: whoever needs it next tries again."""
    thread = Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def leave(thread: Thread | None) -> None:
    """Wait a moment for a thread that was told to end; it may never have begun."""
    if thread is not None and thread.is_alive():
        thread.join(MOST_LEAVING_S)
