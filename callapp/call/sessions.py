"""A session that is carried by a thread of its own, from its dial to its end."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag
from typing import Protocol, TypeVar

from callapp.conversation.events import ModelLost
from callapp.errors import LegLost

T = TypeVar("T")


class Session(Protocol[T]):
    """What such a session is to the thread that carries it."""

    def dial(self) -> None:
        """Open the session.

        Raises:
            LegLost: nobody there, or they do not want us.
        """

    def receive(self) -> list[T]:
        """Wait for what comes next; ``[]`` when it was nothing that matters.

        Raises:
            LegLost: the session is gone.
        """

    def close(self) -> None:
        """End the session, or the dial under way; wakes whoever reads. From any thread, and twice."""

    def release(self) -> None:
        """Give the socket back, once nobody reads it any more."""

    def meaning_of(self, loss: LegLost) -> ModelLost:
        """What a lost session stands for."""


def carry(session: Session[T], after_ms: float, over: Flag, take: Callable[[T], bool]) -> LegLost | None:
    """Dial a session after a pause, and hand on what it says; return how it was lost.

    Args:
        over: set when the call is; nothing is dialled any more then.
        take: is given each event; false when it was the last one that is of interest.

    Returns:
        ``None`` where nothing was lost: the session had said all, or the call was over first.
    """
    try:
        if over.wait(after_ms / 1000):
            return None
        session.dial()
        while True:
            for event in session.receive():
                if not take(event):
                    return None
    except LegLost as loss:
        return loss
    finally:
        session.close()
        session.release()
