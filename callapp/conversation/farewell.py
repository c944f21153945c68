"""The goodbye: said, heard to its end, and only then the line closes.

A *farewell* begins when the model calls ``end_call``. The caller may still interrupt it, and then
the call goes on. A *last* farewell begins when the call has to end (its time is up, the server
stops): it has a deadline of its own and nobody can call it off. A *message* is what is left on an
answering machine: nobody calls it off either, but it takes the time that it takes.
"""

from __future__ import annotations

import math

from callapp.conversation.responses import GOODBYE, Request

# The echo of the last mark may be lost: so long after the audio should have been heard, it is
# taken for heard.
UNHEARD_MARK_MS = 1_500
# The model gets so long to say goodbye after it was asked to.
SAY_IT_MS = 12_000
# A call that has to end is completed within so long, goodbye or not.
LAST_FAREWELL_MS = 6_500

GOODBYE_REQUEST = Request(GOODBYE, tools_allowed=False)
LAST_GOODBYE_REQUEST = Request(
    GOODBYE,
    instructions=(
        "The call has to end now. In the language of the conversation, say in one short, friendly "
        "sentence that the time for this call is up, and goodbye. Say nothing else."
    ),
    tools_allowed=False,
)

# A message for an answering machine is made within so long; it is then played to its end.
SAY_MESSAGE_MS = 60_000

# Outputs of `end_call`, for the model to read.
ASK_FOR_GOODBYE = (
    '{"status": "ending", "next": "Say one short goodbye now. The line closes once it was heard."}'
)
ENDING = '{"status": "ending"}'
NOT_ENDED = (
    '{"status": "not ended", "reason": "The caller interrupted. '
    'Listen, and call end_call again when they are done."}'
)


class Farewell:
    """Whether the call is about to end, why, and until when it may take."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.last = False
        self._until_ms = 0.0
        self._has_time = True

    @property
    def begun(self) -> bool:
        """Whether the call ends once what is being said was heard."""
        return self.reason is not None

    def begin(self, reason: str, at_ms: float) -> None:
        """End the call after the goodbye. The first reason stays."""
        if not self.begun:
            self.reason = reason
            self._until_ms = at_ms + SAY_IT_MS

    def begin_last(self, reason: str, at_ms: float) -> None:
        """End the call after a goodbye that nobody can call off."""
        self.reason = self.reason or reason
        self.last = True
        self._has_time = False
        self._until_ms = at_ms + LAST_FAREWELL_MS

    def begin_message(self, reason: str, at_ms: float) -> None:
        """End the call after a message to a machine."""
        self.reason = reason
        self.last = True
        self._until_ms = at_ms + SAY_MESSAGE_MS

    def message_lost(self) -> None:
        """Nothing of the message was heard, and the model is gone: it is not left yet."""
        self.reason = None
        self.last = False
        self._has_time = True

    def call_off(self) -> None:
        """The caller speaks again: the call goes on."""
        if not self.last:
            self.reason = None

    def deadline_ms(self, *, speaking: bool, dry_ms: float) -> float:
        """When the call ends at the latest.

        Args:
            speaking: whether the goodbye is still being made.
            dry_ms: when all audio should have been heard.
        """
        if not self.begun:
            return math.inf
        if not self._has_time:
            return self._until_ms
        return self._until_ms if speaking else dry_ms + UNHEARD_MARK_MS
