"""Whether what the model takes for speech is worth falling silent for.

Three rules guard the agent while it is heard. A sound shorter than a speech is none: it is decided
before anything is cancelled. Who interrupts too often within half a minute is not a person but a
noise, and for a few seconds nothing interrupts. And an answer that the model begins to something
that was dismissed is not to be heard on top of what is being said.
"""

from __future__ import annotations

import math

from callapp.conversation.responses import OWN_ANSWER_MS

OFTEN_MS = 30_000.0
# After too many interruptions, nothing interrupts for so long: enough for a sentence about the noise.
DEAF_MS = 8_000.0


class Noise:
    """The guard against noise.

    Args:
        shortest_ms: speech shorter than that does not interrupt; 0 lets all speech do so.
        most: so many interruptions within `OFTEN_MS` are a person's; ``None`` sets no limit.
    """

    def __init__(self, shortest_ms: float, most: int | None) -> None:
        self._shortest_ms = shortest_ms
        self._most = most
        self.doubt_until_ms = math.inf  # when speech that may yet prove too short is long enough
        self._dismissing = False  # speech goes on that does not count
        self._interruptions: list[float] = []
        self._deaf_until_ms = 0.0
        self._dismissed_until_ms = 0.0
        self._dismissed = False  # the newest speech was not heeded

    @property
    def in_doubt(self) -> bool:
        """Whether speech goes on that may yet prove not to count."""
        return self.doubt_until_ms < math.inf

    @property
    def doubtful(self) -> bool:
        """Whether speech goes on that does not count, or may yet prove not to."""
        return self._dismissing or self.in_doubt

    def deaf(self, at_ms: float) -> bool:
        """Whether nothing interrupts at present."""
        return at_ms < self._deaf_until_ms

    def speech_began(self, at_ms: float, *, over_agent: bool) -> bool:
        """The caller begins to speak; return whether that is to be heeded at once."""
        self._dismissing = self.deaf(at_ms)
        in_doubt = over_agent and self._shortest_ms > 0 and not self._dismissing
        self.doubt_until_ms = at_ms + self._shortest_ms if in_doubt else math.inf
        return not self.doubtful

    def speech_lasted(self, at_ms: float) -> bool:
        """Whether speech that was in doubt has just proved long enough."""
        if at_ms < self.doubt_until_ms:
            return False
        self.doubt_until_ms = math.inf
        return True

    def speech_over(self, at_ms: float, *, over_agent: bool, agent_due: bool) -> bool:
        """The caller stops; return whether it was nothing but a noise.

        A short word at the very end of what the agent says is none: it is heard when the agent has
        finished, and may well be the answer. Where nothing interrupts, neither is what ends when the agent
        has nothing more to say: if that were not answered, nobody would speak.

        Args:
            agent_due: the agent is about to say something.
        """
        dismissed = (self._dismissing and (over_agent or agent_due)) or (self.in_doubt and over_agent)
        self._dismissed = dismissed
        self._dismissing = False
        self.doubt_until_ms = math.inf
        if dismissed:  # the model took it for a turn, and may begin to answer it
            self._dismissed_until_ms = at_ms + OWN_ANSWER_MS
        return dismissed

    def interrupted(self, at_ms: float) -> bool:
        """The agent was interrupted; return whether that was once too often."""
        if self._most is None:
            return False
        self._interruptions.append(at_ms)
        while self._interruptions[0] <= at_ms - OFTEN_MS:
            self._interruptions.pop(0)
        if len(self._interruptions) <= self._most:
            return False
        self._interruptions.clear()
        self._deaf_until_ms = at_ms + DEAF_MS
        self._dismissing = self._dismissed = True  # what has just interrupted goes on
        return True

    def answered(self, at_ms: float, *, over_agent: bool) -> bool:
        """The model begins an answer of its own; return whether it is one to a mere noise."""
        return (self._dismissed and self.deaf(at_ms)) or (over_agent and at_ms < self._dismissed_until_ms)

    def session_lost(self) -> None:
        """Whoever told that the caller began to speak will not tell that they stopped."""
        self.doubt_until_ms = math.inf
        self._dismissing = False
