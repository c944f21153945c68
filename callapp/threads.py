"""Threads that the system may have no room for just now."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread


def try_start(target: Callable[[], None], name: str) -> Thread | None:
    """Start a daemon thread; ``None`` when the system has none left: whoever needs it next tries again."""
    thread = Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
