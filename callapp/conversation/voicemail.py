"""A machine has answered: when it is time to speak to it.

Two may find out: the carrier, by listening to how the other side speaks, and the model, by what it
says. From then on nobody is there to talk to. What is to be left is said once the machine records,
which the carrier hears by the beep; without its word, a silence of some length has to do.

Both may be wrong. A machine that records says nothing any more: who speaks at length while the message is
said is a person.
"""

from __future__ import annotations

import math

from callapp.conversation.events import Answered

# So long a silence after the machine's words means that it records. The beep lies within.
QUIET_MS = 2_000.0
# The carrier still listens, and tells the moment better: a pause in the greeting is not its end.
QUIET_WHILE_DETECTING_MS = 6_000.0
# No greeting is longer.
MOST_GREETING_MS = 60_000.0
# No beep is so long.
PERSON_MS = 1_500.0


class Voicemail:
    """Whether a machine has answered, and whether it records.

    Args:
        detecting: the carrier listens for a machine, and will say what it heard.
    """

    def __init__(self, *, detecting: bool) -> None:
        self._detecting = detecting
        self._reached_ms = math.inf
        self._recording = False
        self._speaking = False
        self._quiet_since_ms = 0.0
        self._speaks_since_ms = 0.0

    @property
    def reached(self) -> bool:
        """Whether it is a machine that we speak to."""
        return self._reached_ms < math.inf

    def answered(self, word: Answered, at_ms: float) -> None:
        """The carrier has found out who answered. It may be about the machine's end, too."""
        self._detecting = word.machine and not word.recording
        if word.machine:
            self.reported(at_ms)
            self._recording = self._recording or word.recording

    def reported(self, at_ms: float) -> None:
        """The model has found out that it speaks to a machine."""
        self._reached_ms = min(self._reached_ms, at_ms)

    def heard(self, at_ms: float, *, speaking: bool) -> None:
        """The other side begins to speak, or stops."""
        self._speaking = speaking
        if speaking:
            self._speaks_since_ms = at_ms
        self._quiet_since_ms = at_ms

    def person_ms(self, message_since_ms: float) -> float:
        """When it turns out to be a person, if they speak on.

        Args:
            message_since_ms: since when the message is being said; infinite while it is not.
        """
        if not (self.reached and self._speaking):
            return math.inf
        return max(self._speaks_since_ms, message_since_ms) + PERSON_MS

    def is_a_person(self) -> None:
        """It was no machine."""
        self._detecting = self._recording = False
        self._reached_ms = math.inf

    def due(self, at_ms: float) -> bool:
        """Whether it is time to leave a message."""
        return at_ms >= self.deadline_ms

    @property
    def deadline_ms(self) -> float:
        """When it is time to leave a message, if nothing happens before."""
        if self._recording:
            return self._reached_ms
        latest_ms = self._reached_ms + MOST_GREETING_MS
        if self._speaking:
            return latest_ms
        quiet_ms = QUIET_WHILE_DETECTING_MS if self._detecting else QUIET_MS
        return min(latest_ms, max(self._reached_ms, self._quiet_since_ms + quiet_ms))
