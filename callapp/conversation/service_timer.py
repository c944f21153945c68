"""The service's own timer for silences (``idle_timeout_ms``): when it may run.

It begins when the model's last answer has been played, and when it runs out, the service has the model
speak into the silence by itself. It knows neither of a tool at work nor of keys that are awaited, and would
go on for ever, so it is switched off for as long as nobody is to be asked whether they are there.
"""

from __future__ import annotations

from callapp.conversation.commands import TimeSilence


class ServiceTimer:
    """The timer of the present session of the model, if it has one."""

    def __init__(self) -> None:
        self._there = False
        self.runs = False

    def session(self, *, has_timer: bool) -> None:
        """There is a new session, or with ``False`` perhaps none; it was asked for with the timer on."""
        self._there = self.runs = has_timer

    def switch(self, *, on: bool) -> list[TimeSilence]:
        """Let it run, or not; return what the service has to be told."""
        if not self._there or on == self.runs:
            return []
        self.runs = on
        return [TimeSilence(on)]
