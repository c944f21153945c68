"""The record of calls: facts, written down while the calls run.

A fact is handed over on the call's own thread and turned into rows on the writer's. Rows are named by
the call's own ids, or by one that the fact was given when it came, so that writing twice changes nothing:
a batch whose commit was not confirmed is written again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Update, bindparam, select, update
from sqlalchemy.orm import Session

from callapp.call.journal import Particulars
from callapp.call_log.follow_ups import FollowUps
from callapp.call_log.models import CallEventRow, CallRow, ToolRunRow, TurnRow, UsageRow, UtteranceRow
from callapp.call_log.recordings import write_part
from callapp.call_log.records import TERMINAL_STATUSES
from callapp.call_log.settling import FIRST_AFTER, NO_END_AFTER
from callapp.call_log.statements import (
    dialect_of,
    held,
    insert_for,
    insert_new,
    rows_changed,
    table_of,
    unless_known,
)
from callapp.call_log.store import Store, answered_call
from callapp.call_log.usage import usage_row
from callapp.call_log.writer import Writer
from callapp.conversation.facts import (
    BargedIn,
    Began,
    Closed,
    Ended,
    Fact,
    Fault,
    FirstAudio,
    KeysPressed,
    ModelConnected,
    ModelDisconnected,
    Recorded,
    ToolRan,
    TurnAnswered,
    Used,
    Uttered,
)
from callapp.errors import CallappError
from callapp.logs import call_logger

if TYPE_CHECKING:
    from callapp.call_log.statements import Insert

# The end reason of a call that has come back to another process, which tells the rest of it.
MOVED = "server.moved"

_CALLS = table_of(CallRow)
_KNOWN = held(select(_CALLS.c.call_sid).where(_CALLS.c.call_sid.in_(bindparam("of_calls", expanding=True))))
_CHANGE = update(_CALLS).where(_CALLS.c.call_sid == bindparam("of_call"))
_BEGIN = _CHANGE.values(answered_at=unless_known(_CALLS.c.answered_at))
_HEAR = _CHANGE.values(first_audio_ms=unless_known(_CALLS.c.first_audio_ms))
_END = _CHANGE.values(end_reason=unless_known(_CALLS.c.end_reason), ended_at=unless_known(_CALLS.c.ended_at))
_CLOSE = _CHANGE.where(_CALLS.c.status.not_in(TERMINAL_STATUSES), _CALLS.c.end_reason.is_not(None)).values(
    status="completed", ended_at=unless_known(_CALLS.c.ended_at)
)

Row = dict[str, Any]


class Entry(NamedTuple):
    """A fact, of which call, when it was told, and a name for it."""

    id: str
    call: Particulars
    fact: Fact
    told_ms: float


class Record(Writer[Entry]):
    """Listens to calls, and writes down what it is told.

    What is told of a call that has been deleted is not.

    Args:
        delete_recordings: of a call, by its SID; for those that are finished after it was deleted.
        longest_s: how long a call may last.
    """

    def __init__(
        self,
        store: Store,
        follow_ups: FollowUps | None = None,
        delete_recordings: Callable[[str], None] = lambda _call_sid: None,
        longest_s: float = 1800,
    ) -> None:
        super().__init__(self._write_down, name="record")
        self._store = store
        self._follow_ups = follow_ups or FollowUps()
        self._delete_recordings = delete_recordings
        self._longest = timedelta(seconds=longest_s)
        # Entries are named by what no other process's begin with, and a number.
        self._prefix, self._numbers = secrets.token_hex(10), count()
        self._moved: set[str] = set()  # calls that are about to close here, and go on in another process

    def __call__(self, call: Particulars, fact: Fact, at_ms: float) -> None:
        """Take a fact; see `callapp.call.journal.Listener`."""
        self.put(Entry(f"{self._prefix}{next(self._numbers):012x}", call, fact, at_ms))

    def _write_down(self, entries: Sequence[Entry]) -> None:
        with self._store.transaction() as session:
            deleted = _Page(session, self._longest).write(entries)
            self._follow_up(session, [entry for entry in entries if entry.call.call_sid not in deleted])
        closed = {entry.call.call_sid for entry in entries if isinstance(entry.fact, Closed)}
        self._moved -= closed  # not before it is committed: it may have to be written again
        if closed or any(isinstance(entry.fact, Began) for entry in entries):
            self._follow_ups.nudge()
        for entry in entries:
            if isinstance(entry.fact, Recorded) and entry.call.call_sid in deleted:
                self._delete_recording(entry.call.call_sid)

    def _delete_recording(self, call_sid: str) -> None:
        try:
            self._delete_recordings(call_sid)
        except CallappError as error:
            call_logger(call_sid, __name__).error(
                "! the call was deleted, its recording was not: delete it by hand. %s", error
            )

    def _follow_up(self, session: Session, entries: Sequence[Entry]) -> None:
        for entry in entries:
            match entry.fact:
                case Began() if entry.call.resumed:
                    self._follow_ups.resumed(session, entry.call.call_sid)
                case Began():
                    self._follow_ups.begun(session, entry.call.call_sid)
                case Ended() if entry.fact.reason == MOVED:
                    self._moved.add(entry.call.call_sid)
                case Closed() if entry.call.call_sid not in self._moved:
                    self._follow_ups.ended(session, entry.call.call_sid, entry.call.agent)


class _Page:
    """The rows that a batch of facts comes to."""

    def __init__(self, session: Session, longest: timedelta) -> None:
        self._session = session
        self._longest = longest
        self._utterances: dict[tuple[str, str], Row] = {}  # the newest of each counts
        self._tool_runs: list[Row] = []
        self._turns: list[Row] = []
        self._usage: list[Row] = []
        self._events: list[Row] = []

    def write(self, entries: Sequence[Entry]) -> set[str]:
        """Write them; return the calls that are no more, of which nothing was written."""
        told_of = {entry.call.call_sid for entry in entries}
        known = {entry.call.call_sid for entry in entries if isinstance(entry.fact, Began)}
        known.update(self._session.scalars(_KNOWN, {"of_calls": list(told_of - known)}))
        for entry in entries:
            if entry.call.call_sid in known:
                self._take(entry)
        if self._utterances:
            put = _put_utterance(dialect_of(self._session))
            self._session.execute(put, list(self._utterances.values()))
        for row, rows in (
            (ToolRunRow, self._tool_runs),
            (TurnRow, self._turns),
            (UsageRow, self._usage),
            (CallEventRow, self._events),
        ):
            if rows:  # in a batch that is tried again they may be there already
                self._session.execute(insert_new(self._session, row), rows)
        return told_of - known

    def _take(self, entry: Entry) -> None:
        fact, call_sid = entry.fact, entry.call.call_sid
        match fact:
            case Began():
                self._begin(entry.call)
            case FirstAudio(at_ms=at_ms):
                self._change(_HEAR, entry.call, new_first_audio_ms=at_ms)
            case Uttered():
                self._utterances[call_sid, fact.item_id] = {
                    "call_sid": call_sid,
                    "item_id": _clean(fact.item_id),
                    "role": fact.role,
                    "text": _clean(fact.text),
                    "start_ms": fact.start_ms,
                    "end_ms": fact.end_ms,
                    "interrupted": fact.interrupted,
                    "meant": _clean(fact.meant),
                    "growing": fact.growing,
                }
            case TurnAnswered():
                self._turns.append(
                    {
                        "id": entry.id,
                        "call_sid": call_sid,
                        "index": fact.index,
                        "at_ms": fact.at_ms,
                        "voice_to_voice_ms": fact.voice_to_voice_ms,
                        "audible_ms": fact.audible_ms,
                        "barge_in": fact.barge_in,
                    }
                )
            case ToolRan():
                self._tool_runs.append(
                    {
                        "call_sid": call_sid,
                        "tool_call_id": _clean(fact.tool_call_id),
                        "name": _clean(fact.name),
                        "arguments": _clean(fact.arguments),
                        "output": _clean(fact.output),
                        "outcome": fact.outcome,
                        "start_ms": fact.at_ms,
                        "duration_ms": fact.duration_ms,
                    }
                )
            case Used():
                self._usage.append(usage_row(entry.id, entry.call, fact))
            case Ended() if fact.reason != MOVED:  # it goes on in another process
                self._end(entry.call, fact)
            case Recorded():
                write_part(self._session, call_sid, fact)
            case Closed():
                self._close(entry.call, fact)
            case _:
                self._event(entry)

    def _event(self, entry: Entry) -> None:
        fact = entry.fact
        detail: Row
        match fact:
            case BargedIn():
                kind = "barge_in"
                clear_ms = entry.told_ms - fact.since_ms
                detail = {
                    "clearMs": round(clear_ms, 1),
                    "heardMs": fact.heard_ms,
                    "sentMs": fact.sent_ms,
                    "itemId": fact.item_id,
                }
            case ModelConnected(after_ms=after_ms, again=again):
                kind = "reconnected" if again else "connected"
                detail = {"awayMs" if again else "connectMs": round(after_ms, 1)}
            case ModelDisconnected(reason=reason):
                kind, detail = "disconnected", {"reason": reason}
            case KeysPressed(count=count, digits=digits):
                kind, detail = "dtmf", {"count": count, "digits": digits}
            case Fault(what=what, words=words):
                kind, detail = "error", {"message": _clean(f"{what}: {words}" if words else what)}
            case _:  # told to others, and no matter of the record
                return
        self._events.append(
            {
                "id": entry.id,
                "call_sid": entry.call.call_sid,
                "at_ms": fact.at_ms,
                "type": kind,
                "detail": detail,
            }
        )

    # -- the call itself ------------------------------------------------------------------------

    def _begin(self, call: Particulars) -> None:
        known = {
            "agent": call.agent,
            "parameters": _parameters(call),
            "model": call.model,
            "transcription_model": call.transcription_model,
            "settle_at": _settle_at(call, self._longest + NO_END_AFTER),
        }
        # What came back had ended for another process, or for a session that was gone; it has not.
        ended = {"status": "in-progress", "end_reason": None, "ended_at": None}
        again = ended if call.resumed else {}
        if call.direction == "browser":  # written down so late that it was taken to have stayed away
            again = {"status": "in-progress", "ended_at": None}
        if not self._change(_BEGIN, call, **known, **again, new_answered_at=call.began_at):
            row = answered_call(call, call.began_at)
            self._session.execute(insert_new(self._session, CallRow), {**row, **known})

    def _end(self, call: Particulars, ended: Ended) -> None:
        self._change(
            _END,
            call,
            new_end_reason=ended.reason,
            new_ended_at=_moment(call, ended.at_ms),
            settle_at=_settle_at(call, timedelta(milliseconds=ended.at_ms) + FIRST_AFTER),
        )

    def _close(self, call: Particulars, closed: Closed) -> None:
        """Only of a call that we placed we are told how it ended, unless a number was set up for that."""
        if call.direction != "outgoing":
            self._change(_CLOSE, call, new_ended_at=_moment(call, closed.at_ms))

    def _change(self, statement: Update, call: Particulars, **values: Any) -> bool:
        return rows_changed(self._session, statement, {"of_call": call.call_sid, **values}) > 0


@cache
def _put_utterance(dialect: str) -> Insert:
    """One that is there already may have grown."""
    statement = insert_for(dialect, UtteranceRow)
    return statement.on_conflict_do_update(
        index_elements=["call_sid", "item_id"],
        set_={
            name: statement.excluded[name]
            for name in ("text", "start_ms", "end_ms", "interrupted", "meant", "growing")
        },
    )


def _settle_at(call: Particulars, after: timedelta) -> datetime | None:
    """When to ask the carrier about a call; never about a browser's, in which it has no part."""
    return None if call.direction == "browser" else call.began_at + after


def _moment(call: Particulars, at_ms: float) -> datetime:
    return call.began_at + timedelta(milliseconds=at_ms)


def _parameters(call: Particulars) -> dict[str, str]:
    return {_clean(name): _clean(value) for name, value in call.parameters.items()}


def _clean(text: Any) -> Any:
    """Text without what PostgreSQL cannot hold."""
    return text.replace("\0", "") if isinstance(text, str) else text
