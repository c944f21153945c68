"""One response at a time: who may ask the model to speak, and when.

The model answers a caller's turn by itself; we ask for the greeting, for an answer after tools, for
asides, and for the goodbye. Two responses at once are an error, so at most one request is *wanted*, one
*asked for*, and one response *active*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from callapp.conversation.commands import CancelResponse, Command, CreateResponse

GREETING = "greeting"
ANSWER = "answer"
HAND_OVER = "hand over"
GOODBYE = "goodbye"
NOISE = "noise"  # said over the caller, and so not given up for what they say
ASIDE = "aside"
LAST_MINUTE = "last minute"
NUDGE = "nudge"

# How long after the caller's turn the model's own answer is waited for before we ask for ours.
OWN_ANSWER_MS = 1_500
# A turn that the model has not begun to answer after so long, it is asked to.
TURN_MS = 4_000
# A request that leads to nothing in this time is made once more. For so long it may be refused, too, because
# of another response of which nothing comes.
REQUEST_MS = 10_000
# One that has begun and brings nothing is given up after so long in silence, and asked for once more; one
# that was cancelled should be over much sooner.
STALLED_MS = 10_000
CANCELLED_MS = 5_000
# A request that was refused because of another response is made again so long after that, at the soonest.
RETRY_MS = 500
# A failed response is asked for again so often in a row, after pauses in which a limit of rate may pass.
RETRIES_MS = (500, 3_000, 5_000)
# If the service says after how long, it is, unless the caller would have to wait for longer than this.
MOST_WAIT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """A response that we want of the model."""

    tag: str
    instructions: str | None = None
    tools_allowed: bool = True

    @property
    def aside(self) -> bool:
        """Whether it is wanted now or not at all: whatever else is to be said takes its place."""
        return self.tag in (ASIDE, LAST_MINUTE, NUDGE)


@dataclass(slots=True)
class _Asked:
    """A request that was made."""

    request: Request
    request_id: str
    until_ms: float
    doomed: bool = False  # what comes of it is not to be heard
    answered: bool = False  # a response has said what it is for


class Responses:
    """The gate in front of the model's voice."""

    __slots__ = (
        "_asked",
        "_asked_count",
        "_blocked_since_ms",
        "_failures",
        "_gave_up",
        "_hold_until_ms",
        "_knows_all",
        "_newest",
        "_pause_until_ms",
        "_said_nothing",
        "_silenced",
        "_stirred_ms",
        "_turn_open",
        "_turn_until_ms",
        "_unanswered",
        "active",
        "active_tag",
        "caller_speaking",
        "wanted",
    )

    def __init__(self) -> None:
        self.active: str | None = None
        self.active_tag: str | None = None
        self.caller_speaking = False
        self.wanted: Request | None = None  # and could not be asked for yet
        self._asked: _Asked | None = None  # no response of it has begun yet
        self._newest: _Asked | None = None  # whatever has become of it
        self._silenced: set[str] = set()
        self._knows_all = True  # what is active knows all that the model had been given when it began
        self._turn_open = False  # the caller has finished a turn that nothing has answered yet
        self._turn_until_ms = 0.0  # when the model should have begun to answer it
        self._hold_until_ms = 0.0  # for whose turn it is; not for who speaks over the caller
        self._pause_until_ms = 0.0  # for the service, whoever is spoken over
        self._asked_count = 0
        self._failures = 0
        self._unanswered = 0
        self._said_nothing = False  # in the newest response that came to its end
        self._blocked_since_ms: float | None = None  # since when requests are refused and nothing begins
        self._stirred_ms = 0.0  # when the active response last showed that it is alive, other than by audio
        self._gave_up = False  # one that brought nothing was cancelled, and none has come to its end since

    @property
    def busy(self) -> bool:
        """Whether the model is speaking, or about to. What was silenced does not count."""
        return self.speaking or self._asked is not None or self.wanted is not None

    @property
    def speaking(self) -> bool:
        """Whether a response is active and to be heard."""
        return self.active is not None and self.active not in self._silenced

    @property
    def owed(self) -> bool:
        """Whether the model has yet to speak, or the caller to finish what it will answer."""
        return self.answer_due or self.caller_speaking

    @property
    def answer_due(self) -> bool:
        """Whether it is the model's turn."""
        given_up = self._gave_up and self.active is not None  # and what is to replace it waits for its end
        return self.busy or self._turn_open or given_up

    @property
    def failing(self) -> bool:
        """Whether what the model has to say has failed, and is tried again."""
        return self._failures > 0 and self.busy and not self.caller_speaking

    @property
    def deadline_ms(self) -> float:
        """When ``next`` or ``overdue`` has something to say, if nothing happens before."""
        if self._asked is not None:
            return self._asked.until_ms
        if self.wanted is not None and self.active is None:
            if not self.caller_speaking:
                return max(self._hold_until_ms, self._pause_until_ms)
            if self._pause_until_ms > 0.0:  # the caller may be spoken over
                return self._pause_until_ms
        if self._turn_open and not self.busy and not self.caller_speaking:
            return self._turn_until_ms
        return math.inf

    def stall_ms(self, dry_ms: float) -> float:
        """When the active response has kept everybody waiting for too long.

        Args:
            dry_ms: until when its audio is heard: that is no waiting.
        """
        if self.active is None:
            return math.inf
        return max(self._stirred_ms, dry_ms) + (CANCELLED_MS if self.silenced(self.active) else STALLED_MS)

    # -- asking ---------------------------------------------------------------------------------

    def want(self, request: Request) -> None:
        """Ask for a response as soon as there may be one.

        A goodbye outranks the word that the caller is put through, that an answer, that an aside.
        """
        wanted = self.wanted
        if wanted is not None and not wanted.aside:
            outranked = wanted.tag == GOODBYE or (wanted.tag == HAND_OVER and request.tag != GOODBYE)
            if request.aside or outranked:
                return
            if request.tag in (GOODBYE, HAND_OVER):
                self._pause_until_ms = 0.0  # it was for what has failed, and neither has the time for it
        self.wanted = request

    def next(self, at_ms: float, *, over_the_caller: bool = False) -> list[Command]:
        """Make the wanted request if now is the time for it."""
        if self.wanted is None or self.active is not None or self._asked is not None:
            return []
        if at_ms < self._pause_until_ms:
            return []
        self._pause_until_ms = 0.0
        if not over_the_caller and (self.caller_speaking or at_ms < self._hold_until_ms):
            return []
        request, self.wanted = self.wanted, None
        self._asked_count += 1
        request_id = f"ask-{self._asked_count}"
        self._asked = self._newest = _Asked(request, request_id, at_ms + REQUEST_MS)
        return [CreateResponse(request_id, request.tag, request.instructions, request.tools_allowed)]

    def refused(self, request_id: str, at_ms: float) -> Request | None:
        """Another response was active when the request came.

        Returns:
            What is owed still, unless that response ``covers`` it.
        """
        newest = self._newest
        if newest is None or newest.request_id != request_id or newest.answered:
            return None
        self._asked = None
        if self.active is None and self._blocked_since_ms is None:
            self._blocked_since_ms = at_ms
        self.active_tag = None  # what is active was not ours after all
        self._pause(at_ms, RETRY_MS)
        return None if newest.doomed else newest.request

    def request_failed(self, request_id: str, at_ms: float, wait_ms: float) -> bool:
        """No response comes of a request. Return false when that has been so too often to make it again.

        Args:
            wait_ms: as in ``failed``.
        """
        asked = self._asked
        if asked is None or asked.request_id != request_id:
            return True
        self._asked = None
        if asked.doomed or asked.request.aside:
            return True
        self.want(asked.request)
        return self._may_try_again(at_ms, wait_ms)

    def overdue(self, at_ms: float) -> bool:
        """Whether the model has left a request unanswered for the second time, or refused it for too long."""
        if self.wanted is not None and self._blocked_since_ms is not None:
            return at_ms >= self._blocked_since_ms + REQUEST_MS
        if self._asked is None or at_ms < self._asked.until_ms:
            return False
        asked, self._asked = self._asked, None
        self._unanswered += 1
        if not asked.doomed:
            self.want(asked.request)
        return self._unanswered > 1

    def ignored(self, at_ms: float) -> bool:
        """Whether the model has let a turn of the caller's pass that it should have answered by itself."""
        if not self._turn_open or self.busy or at_ms < self.deadline_ms:
            return False
        self._turn_open = False
        return True

    def give_up(self, *, tools_ask: bool) -> bool:
        """What is active brings nothing: want it again. Return false if that is no use any more.

        Args:
            tools_ask: as in ``failed``.
        """
        if self.active is None or self.silenced(self.active) or self._gave_up:
            return False
        self._gave_up = True
        if not tools_ask:
            self._want_again(self.active_tag)
        return True

    # -- what the model does --------------------------------------------------------------------

    def started(self, response_id: str, tag: str | None, at_ms: float, *, knows_all: bool) -> list[Command]:
        """A response is active: ours, or the model's answer to the caller's turn.

        Args:
            knows_all: whether all that the model was given stood in the conversation when it began.
        """
        self._knows_all = knows_all
        self.active, self.active_tag = response_id, tag
        self._stirred_ms = at_ms
        self._blocked_since_ms = None
        turn_open, self._turn_open = self._turn_open, False
        self._hold_until_ms = self._pause_until_ms = 0.0
        asked = self._asked
        if asked is not None and tag in (None, asked.request.tag):
            self._asked = None
            self.active_tag = asked.request.tag
            self._unanswered = 0
            if asked.doomed:
                if turn_open:  # nobody hears this one, and it kept the model's own answer away
                    self.want(Request(ANSWER))
                self._silenced.add(response_id)
                return [CancelResponse(response_id)]
        if self.wanted is not None and self.wanted.aside:
            self.wanted = None
        return []

    def covers(self, request: Request | None) -> bool:
        """Whether what is active answers what this would be wanted for. What nobody hears does not."""
        if request is None or request.tag != ANSWER or self.active_tag not in (None, ANSWER):
            return False
        return self.speaking and self._knows_all

    def ended(self, response_id: str, *, empty: bool) -> None:
        """A response is over, and nothing of it is owed.

        Args:
            empty: whether the model has said nothing in it: what it does twice in a row is its will.
        """
        if response_id != self.active:
            return
        if self._newest is not None and self.covers(self._newest.request):
            self._newest.answered = True  # and may be refused only now
        tag, self.active, self.active_tag = self.active_tag, None, None
        self._failures = 0
        self._gave_up &= response_id in self._silenced
        if empty and not self._said_nothing:
            self._want_again(tag)
        self._said_nothing = empty

    def failed(self, response_id: str, at_ms: float, wait_ms: float, *, tools_ask: bool) -> bool:
        """A response is over that was to be heard, and is owed still. Return false when that is too often.

        Args:
            wait_ms: how long the service wants to be left alone after it.
            tools_ask: whether an answer is asked for anyway, once the tools that it called are done.
        """
        if response_id != self.active:
            return True
        tag, self.active, self.active_tag = self.active_tag, None, None
        if not tools_ask:
            self._want_again(tag)
        return self._may_try_again(at_ms, wait_ms)

    def stirred(self, at_ms: float) -> None:
        """Something of the active response came, or will not come before that moment."""
        self._stirred_ms = at_ms

    def _may_try_again(self, at_ms: float, wait_ms: float) -> bool:
        """Wait a while before the next try, or return false: there is none."""
        self._failures += 1
        if self._failures > len(RETRIES_MS):
            return False
        self._pause(at_ms, max(RETRIES_MS[self._failures - 1], min(wait_ms, MOST_WAIT_MS)))
        return True

    def _pause(self, at_ms: float, for_ms: float) -> None:
        """Leave the service alone for so long, or for as long as it wanted before."""
        self._pause_until_ms = max(self._pause_until_ms, at_ms + for_ms)

    def _want_again(self, tag: str | None) -> None:
        if self.wanted is None:
            newest = self._newest.request if self._newest is not None else None
            self.want(newest if newest is not None and newest.tag == tag else Request(ANSWER))

    # -- what the caller does -------------------------------------------------------------------

    def turn_started(self) -> None:
        """The caller speaks: nothing is asked for until they have finished."""
        self.caller_speaking = True
        self._blocked_since_ms = None  # so nothing is refused meanwhile

    def turn_ended(self, at_ms: float) -> None:
        """The caller has finished: the model answers by itself, so wait for that a little."""
        self.caller_speaking = False
        self._turn_open = True
        self._turn_until_ms = at_ms + TURN_MS
        self._hold_until_ms = at_ms + OWN_ANSWER_MS

    def turn_dismissed(self) -> None:
        """What seemed to be the caller was not: nothing has to be answered."""
        self.caller_speaking = False

    def interrupt(self) -> list[Command]:
        """Silence what is active, and what was asked for and has not begun.

        A greeting that has not begun stays: the caller's "hello?" is what it answers.
        """
        if self._asked is not None and self._asked.request.tag != GREETING:
            self._asked.doomed = True
        if self.active is None or self.active in self._silenced:
            return []
        self._silenced.add(self.active)
        return [CancelResponse(self.active)]

    def silence(self, response_id: str) -> None:
        """Let nothing more of this response be heard."""
        self._silenced.add(response_id)

    def silenced(self, response_id: str) -> bool:
        """Whether audio of this response has to be dropped."""
        return response_id in self._silenced

    def forget(self, tag: str | None = None) -> None:
        """Nothing that was wanted, or only nothing by this tag, is wanted any more."""
        if self.wanted is not None and tag in (None, self.wanted.tag):
            self.wanted = None
