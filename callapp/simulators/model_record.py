"""What happened in a pretend session, to be looked at and waited for from other threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")

WAIT_S = 5.0
"""How long the waiting helpers wait unless told otherwise."""


@dataclass(frozen=True)
class Recorded:
    """An event on the wire and when, by ``time.monotonic()``."""

    at_s: float
    event: dict[str, Any]


@dataclass(frozen=True)
class Violation:
    """Something the client did that the real service would have answered with an error."""

    at_s: float
    code: str
    message: str
    param: str | None
    event: Any


class Record:
    """Everything received, sent and done wrong, with ways to wait for it.

    Written by the session's thread under ``changed``; readers in other threads get copies.
    """

    audio_events: ClassVar[frozenset[str]]
    """The types of those of either side that carry audio."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self._received: list[Recorded] = []
        self._sent: list[Recorded] = []
        self._violations: list[Violation] = []
        self._expected: dict[str, int] = {}
        self._closed = False

    @property
    def received(self) -> list[Recorded]:
        """Every client event, raw, in order."""
        with self.changed:
            return list(self._received)

    @property
    def sent(self) -> list[Recorded]:
        """Every server event, in order."""
        with self.changed:
            return list(self._sent)

    @property
    def violations(self) -> list[Violation]:
        """Everything the client did wrong; errors that it could not help are not among it."""
        with self.changed:
            return list(self._violations)

    def received_events(self, event_type: str) -> list[dict[str, Any]]:
        """The client events of one type, in order."""
        return [one.event for one in self.received if one.event.get("type") == event_type]

    def sent_events(self, event_type: str) -> list[dict[str, Any]]:
        """The server events of one type, in order."""
        return [one.event for one in self.sent if one.event.get("type") == event_type]

    def wait_for(self, predicate: Callable[[], T], timeout: float = WAIT_S) -> T:
        """Wait until a condition on this session holds; return what the predicate returned.

        Raises:
            TimeoutError: it did not come to hold in time.
        """
        with self.changed:
            result = self.changed.wait_for(predicate, timeout)
            if not result:
                raise TimeoutError(f"not within {timeout} s; {self.summary()}")
            return result

    def expect(self, event_type: str, timeout: float = WAIT_S) -> dict[str, Any]:
        """The next client event of this type that no earlier ``expect`` has returned.

        Raises:
            TimeoutError: none came in time, or the session ended first.
        """
        with self.changed:
            number = self._expected.get(event_type, 0)
            self.changed.wait_for(lambda: self._closed or self._count(event_type) > number, timeout)
            events = self.received_events(event_type)
            if len(events) <= number:
                raise TimeoutError(f"no {event_type} within {timeout} s; {self.summary()}")
            self._expected[event_type] = number + 1
            return events[number]

    def wait_closed(self, timeout: float = WAIT_S) -> None:
        """Wait until the connection is gone.

        Raises:
            TimeoutError: it is still there.
        """
        self.wait_for(lambda: self._closed, timeout)

    @property
    def closed(self) -> bool:
        return self._closed

    def summary(self) -> str:
        """Tell in one line how the session stands, and the last of what was said, for a test that fails."""
        with self.changed:
            state = "closed" if self._closed else "open"
            received, sent = self._last_kinds(self._received), self._last_kinds(self._sent)
            return f"the session is {state}, received {received}; it sent {sent}"

    def _count(self, event_type: str) -> int:
        return sum(1 for one in self._received if one.event.get("type") == event_type)

    def _last_kinds(self, events: list[Recorded]) -> str:
        names = [str(one.event.get("type")) for one in events]
        quiet = [name for name in names if name not in self.audio_events]
        return f"{len(names) - len(quiet)} pieces of audio and: {', '.join(quiet[-12:]) or 'nothing'}"

    def _note(self, where: list[Recorded], event: dict[str, Any]) -> None:
        where.append(Recorded(time.monotonic(), event))
