"""The keys that the caller presses: which of them belong together, and who is told of them.

Keys pressed of the caller's own accord are an *entry* once ``#`` or a pause ends them; the model is
told of it as of something the caller said. While a tool collects digits, the entry is the tool's
answer instead. A *sensitive* entry reaches the model and nobody else: no log, no record.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

from callapp.conversation.wishes import CollectDigits

END_KEY = "#"
# A pause of so long ends what was pressed unasked.
PAUSE_MS = 2_000.0
# Digits that were asked for are read off a card: so long for the first, counted from the end of the
# question, and so long for each next one.
FIRST_DIGIT_MS = 10_000.0
NEXT_DIGIT_MS = 5_000.0
# People end a number with # also where its length was known: then it is pressed in vain.
LATE_END_KEY_MS = 4_000.0
# Digits that come after a sensitive collection has given up belong to it all the same.
LATE_DIGITS_MS = 30_000.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Keys that belong together.

    Args:
        ended_by: ``count``, ``end key`` or ``pause``.
        tool_call_id: the tool call that collected them, ``None`` if nobody asked.
    """

    number: int
    digits: str = field(repr=False)
    ended_by: str
    tool_call_id: str | None = None
    sensitive: bool = False

    @property
    def as_input(self) -> str:
        """What the model is told when nobody asked."""
        return f"[keys pressed: {' '.join(self.digits)}]"

    @property
    def as_output(self) -> str:
        """The answer of the tool that asked."""
        return json.dumps({"digits": self.digits, "ended_by": self.ended_by})

    @property
    def as_history(self) -> str:
        """What may be kept of it; empty if nothing was pressed."""
        if not self.digits:
            return ""
        count = len(self.digits)
        return f"[{count} digit{'s' * (count > 1)}]" if self.sensitive else self.as_input


class Keys:
    """What has been pressed and not been passed on yet."""

    def __init__(self) -> None:
        self._digits = ""
        self._collection: tuple[str, CollectDigits] | None = None  # the tool call, and what it asks for
        self._since_ms = 0.0  # of the newest key, or of the newest reason to wait longer
        self._late_end_key_until_ms = 0.0
        self._sensitive_until_ms = 0.0
        self._entries = 0

    @property
    def collecting(self) -> bool:
        """Whether a tool waits for digits."""
        return self._collection is not None

    @property
    def awaited(self) -> bool:
        """Whether an entry is under way, or asked for."""
        return self.collecting or bool(self._digits)

    def collect(self, tool_call_id: str, wish: CollectDigits, at_ms: float) -> Entry | None:
        """Collect digits for a tool. Those pressed already count; they may be enough."""
        self._collection = tool_call_id, wish
        self._since_ms = at_ms
        return self._complete(at_ms)

    def in_vain(self, key: str, at_ms: float) -> bool:
        """Whether a key means nothing: the end key after digits that were complete without it."""
        return key == END_KEY and not self.awaited and at_ms < self._late_end_key_until_ms

    def pressed(self, key: str, at_ms: float) -> Entry | None:
        """A key was pressed; return the entry that it completes."""
        self._since_ms = at_ms
        if key == END_KEY and self.awaited:
            return self._end("end key", at_ms)
        self._digits += key
        return self._end("end key", at_ms) if key == END_KEY else self._complete(at_ms)

    def wait_on(self, at_ms: float) -> None:
        """The caller speaks: whoever does cannot be expected to press keys."""
        if self.collecting:
            self._since_ms = at_ms

    def expired(self, at_ms: float, heard_ms: float) -> Entry | None:
        """The entry that a pause has ended, if one has. Arguments as in ``deadline_ms``."""
        return self._end("pause", at_ms) if at_ms >= self.deadline_ms(heard_ms) else None

    def deadline_ms(self, heard_ms: float) -> float:
        """When a pause ends the entry.

        Args:
            heard_ms: when the agent will have been heard out; until then it may be asking.
        """
        if self.collecting:
            patience_ms = NEXT_DIGIT_MS if self._digits else FIRST_DIGIT_MS
            return max(self._since_ms, heard_ms) + patience_ms
        return self._since_ms + PAUSE_MS if self._digits else math.inf

    def _complete(self, at_ms: float) -> Entry | None:
        if self._collection is None or len(self._digits) < self._collection[1].count:
            return None
        return self._end("count", at_ms)

    def _end(self, ended_by: str, at_ms: float) -> Entry:
        collection, self._collection = self._collection, None
        digits, self._digits = self._digits, ""
        self._entries += 1
        if collection is None:
            return Entry(self._entries, digits, ended_by, sensitive=at_ms < self._sensitive_until_ms)
        tool_call_id, wish = collection
        if ended_by == "count":
            self._late_end_key_until_ms = at_ms + LATE_END_KEY_MS
        if wish.sensitive:
            self._sensitive_until_ms = at_ms + LATE_DIGITS_MS
        return Entry(self._entries, digits, ended_by, tool_call_id, wish.sensitive)
