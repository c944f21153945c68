"""Who is told what happens on a call: everybody who listens, fact by fact.

The record, the metrics and whoever else wants to know are listeners. They are told on the call's own
threads, so a listener hands over and returns: an append, a ``put_nowait``, a counter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

from callapp.call_log.records import Admission, Direction
from callapp.conversation.facts import Fact
from callapp.logs import call_logger


@dataclass(frozen=True)
class Particulars:
    """What is known of a call before it begins; the same object for all of its facts.

    Args:
        model: OpenAI's model; ``transcription_model`` is ``None`` where the caller's words are not asked for.
        began_at: the 0 of the call's clock.
        resumed: whether the call had ended here or elsewhere while it was away, and came back.
    """

    call_sid: str
    direction: Direction
    from_number: str = field(repr=False)
    to_number: str = field(repr=False)
    agent: str
    parameters: Mapping[str, str] = field(repr=False)
    model: str
    transcription_model: str | None
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    resumed: bool = False

    @classmethod
    def of(
        cls,
        admission: Admission,
        *,
        model: str,
        transcription_model: str | None,
        before_ms: float = 0.0,
        resumed: bool = False,
    ) -> Particulars:
        """What is known of a call whose stream has come in.

        Args:
            before_ms: how long it had lasted already.
        """
        return cls(
            call_sid=admission.call_sid,
            direction=admission.direction,
            from_number=admission.from_number,
            to_number=admission.to_number,
            agent=admission.agent,
            parameters=admission.parameters,
            model=model,
            transcription_model=transcription_model,
            began_at=datetime.now(UTC) - timedelta(milliseconds=before_ms),
            resumed=resumed,
        )


Listener = Callable[[Particulars, Fact, float], None]
"""Told a call's particulars, a fact of it, and when it is told, in milliseconds of the call's clock."""


class Journal:
    """Tells the facts of one call to all listeners, in order.

    One that fails is left out for the rest of the call: neither the call nor the others suffer.

    Args:
        before_ms: how long the call had lasted when it came here from another process.
    """

    def __init__(self, call: Particulars, listeners: Sequence[Listener], before_ms: float = 0.0) -> None:
        self._call = call
        self._listeners = list(listeners)
        self._before_ms = before_ms

    def __call__(self, fact: Fact, at_ms: float) -> None:
        if self._before_ms:
            fact, at_ms = _later(fact, self._before_ms), at_ms + self._before_ms
        for listener in self._listeners[:]:
            try:
                listener(self._call, fact, at_ms)
            except Exception:  # noqa: BLE001 - a bug of the listener's must not end the call
                self._listeners.remove(listener)
                call_logger(self._call.call_sid, __name__).exception("! bug in what listens to calls")


def _later(fact: Fact, by_ms: float) -> Fact:
    """The same fact by the clock of the whole call."""
    moments = [one.name for one in fields(fact) if one.name in ("at_ms", "start_ms", "end_ms", "since_ms")]
    known = {name: value for name in moments if (value := getattr(fact, name)) is not None}
    return replace(fact, **{name: value + by_ms for name, value in known.items()})
