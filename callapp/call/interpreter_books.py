"""What an interpreted side is known by afterwards: both texts, what was translated, and why it ended."""

from __future__ import annotations

from collections.abc import Callable

from callapp.conversation.events import Usage
from callapp.conversation.facts import Began, Closed, Ended, Fact, ModelConnected, ModelDisconnected, Used
from callapp.conversation.phrases import Phrases
from callapp.realtime.translator import Written

# How much has to be translated before it is told what that used.
TELL_USE_EVERY_S = 10.0


class Books:
    """Tells a journal of one side. For the side's uplink alone; times are the call's, in milliseconds.

    Args:
        most_usd: what may be spent on translators; ``None`` for no limit.
        usd_of: what something that they used costs; ``None`` if that is not known.
    """

    def __init__(
        self,
        journal: Callable[[Fact, float], None],
        most_usd: float | None = None,
        usd_of: Callable[[Usage], float] | None = None,
    ) -> None:
        self._journal = journal
        self._most_usd = most_usd
        self._usd_of = usd_of
        self._spent_usd = 0.0
        self._told_s = 0.0  # of what was translated, how much the journal has been told
        self._phrases = Phrases()
        self._waits_since_ms: float | None = 0.0  # for a translator
        self._again = False

    def begin(self) -> None:
        """The call has begun."""
        self._journal(Began(), 0.0)

    def wrote(self, written: Written, now_ms: float) -> None:
        """More text came."""
        self._phrases.take(written.side, written.text, now_ms)

    def translating(self, now_ms: float, *, translating: bool) -> None:
        """A translator is there, or is there no more."""
        if translating:
            # One that replaces another is there when it is: nobody has waited for it.
            since_ms = now_ms if self._waits_since_ms is None else self._waits_since_ms
            self._journal(ModelConnected(now_ms, now_ms - since_ms, self._again), now_ms)
            self._waits_since_ms, self._again = None, True
        else:
            self._waits_since_ms = now_ms
            self._journal(ModelDisconnected(now_ms, "openai.disconnected"), now_ms)

    def keep(self, translated_s: float, now_ms: float) -> bool:
        """Tell what is certain by now; false when no more may be spent."""
        for phrase in self._phrases.ended(now_ms):
            self._journal(phrase, now_ms)
        if translated_s - self._told_s >= TELL_USE_EVERY_S:
            self._tell_minutes(translated_s, now_ms)
        return self._most_usd is None or self._spent_usd < self._most_usd

    def close(self, reason: str, translated_s: float, now_ms: float) -> None:
        """The call is over, and its last words are in."""
        for phrase in self._phrases.rest(now_ms):
            self._journal(phrase, now_ms)
        if translated_s > self._told_s:
            self._tell_minutes(translated_s, now_ms)
        self._journal(Ended(now_ms, reason), now_ms)
        self._journal(Closed(now_ms), now_ms)

    def took(self, usage: Usage, now_ms: float) -> None:
        """A translator used something."""
        if self._usd_of is not None:
            self._spent_usd += self._usd_of(usage)
        self._journal(Used(now_ms, usage), now_ms)

    def _tell_minutes(self, translated_s: float, now_ms: float) -> None:
        usage = Usage(transcribed_s=translated_s - self._told_s)
        self._told_s = translated_s
        self.took(usage, now_ms)
