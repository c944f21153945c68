"""What is to be done when a call begins and when it ends: jobs, put in the transaction that notes it.

So a call whose end is in the log is told of, and analysed, whatever becomes of the process that noted it.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete
from sqlalchemy.orm import Session

from callapp.call_log.jobs import put_job
from callapp.call_log.models import JobRow

STARTED = "call.started"
ENDED = "call.ended"
ANALYZED = "call.analyzed"
ANALYZE = "analyze"
# When Twilio says that a call is over, the process that carried it has this long to write what it knows.
WRITTEN_BY_S = 60.0


class FollowUps:
    """Puts jobs; none, where nobody is to be told and nothing analysed. Safe from any thread.

    Args:
        tells: whether webhooks are sent.
        analyzes: whether calls of an agent are analysed, by its name.
    """

    def __init__(
        self, *, tells: bool = False, analyzes: Callable[[str], bool] = lambda _agent: False
    ) -> None:
        self._tells = tells
        self._analyzes = analyzes
        self.wake: list[Callable[[], None]] = []
        """Called by ``nudge``: those who do the jobs."""

    def begun(self, session: Session, call_sid: str) -> None:
        """A call has begun."""
        if self._tells:
            put_job(session, STARTED, call_sid)

    def resumed(self, session: Session, call_sid: str) -> None:
        """A call that had ended came back: its end is still to come, and is told of then."""
        ends = (ENDED, ANALYZE, ANALYZED)
        session.execute(delete(JobRow).where(JobRow.call_sid == call_sid, JobRow.kind.in_(ends)))

    def ended(self, session: Session, call_sid: str, agent: str) -> None:
        """A call is over, and all that is known of it is written."""
        if self._tells:
            put_job(session, ENDED, call_sid)
        if self._analyzes(agent):
            put_job(session, ANALYZE, call_sid)

    def said_to_be_over(self, session: Session, call_sid: str) -> None:
        """Twilio says that a call is over; one that nobody answered has nobody else to say so."""
        if self._tells:
            put_job(session, ENDED, call_sid, after_s=WRITTEN_BY_S)

    def analyzed(self, session: Session, call_sid: str) -> None:
        """A call has been analysed."""
        if self._tells:
            put_job(session, ANALYZED, call_sid)

    def nudge(self) -> None:
        """The transaction is over: jobs need not wait for the next look."""
        for wake in self.wake:
            wake()
