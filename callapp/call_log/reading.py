"""What the call log knows of calls, read from its tables."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pydantic_core import from_json
from sqlalchemy import Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session

from callapp.call_log.documents import (
    Call,
    CallEvent,
    CallPage,
    Cost,
    Recording,
    ToolRun,
    Turn,
    UsageTotals,
    Utterance,
    WholeCall,
)
from callapp.call_log.models import CallEventRow, CallRow, ToolRunRow, TurnRow, UsageRow, UtteranceRow
from callapp.call_log.records import TERMINAL_STATUSES
from callapp.call_log.store import Store
from callapp.phone_numbers import without_spaces
from callapp.prices import usd_per_minute

# Who knows a number from home begins with a 0 that it has not in E.164.
_NUMBER = re.compile(r"0*(\+?[0-9]+)")


class BadCursor(ValueError):
    """A cursor that no page of ours has handed out."""


@dataclass(frozen=True)
class Wanted:
    """Which calls are asked for; ``None`` asks for any."""

    status: str | None = None
    direction: str | None = None
    agent: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: str | None = None  # somewhere in what was said, or in the numbers


@dataclass(frozen=True)
class LiveCall:
    """A call that goes on, and what was said last in it."""

    call: Call
    latest: Utterance | None


def find_call(store: Store, call_sid: str) -> WholeCall | None:
    """All that is known of a call; ``None`` if there is none of that SID.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    with store.transaction() as session:
        row = _row(session, call_sid)
        if row is None:
            return None
        (call,) = _calls(session, [row])
        utterances = _of(session, UtteranceRow, call_sid, UtteranceRow.start_ms, UtteranceRow.end_ms)
        return WholeCall(
            **dict(call),
            utterances=[_utterance(one) for one in utterances if one.text != ""],
            turns=[_turn(one) for one in _of(session, TurnRow, call_sid, TurnRow.at_ms)],
            tool_runs=[_tool_run(one) for one in _of(session, ToolRunRow, call_sid, ToolRunRow.start_ms)],
            events=_events(_of(session, CallEventRow, call_sid, CallEventRow.at_ms), utterances),
        )


def find_unplaced(store: Store, number: str) -> list[Call]:
    """The calls to a number that never came to be, and so have no SID, oldest first.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    query = select(CallRow).where(CallRow.to_number == number, CallRow.call_sid.is_(None))
    with store.transaction() as session:
        return _calls(session, session.scalars(query.order_by(CallRow.created_at)).all())


@dataclass(frozen=True)
class Words:
    """What has been said on a call so far, in the order in which it was begun; and whether it is over."""

    utterances: list[Utterance]
    ended: bool
    end_reason: str | None


def find_words(store: Store, call_sid: str) -> Words | None:
    """What is said on a call; ``None`` if there is none of that SID. What had no words in it is empty.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    with store.transaction() as session:
        row = _row(session, call_sid)
        if row is None:
            return None
        utterances = _of(session, UtteranceRow, call_sid, UtteranceRow.start_ms, UtteranceRow.end_ms)
        over = row.status in TERMINAL_STATUSES
        return Words([_utterance(one) for one in utterances], over, row.end_reason)


def list_live(store: Store, since: datetime, limit: int) -> list[LiveCall]:
    """The calls that go on, in any process, oldest first.

    Args:
        since: none can be older; what is was left behind by a process that died.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    query = (
        select(CallRow)
        .where(
            CallRow.status.not_in(TERMINAL_STATUSES),
            CallRow.ended_at.is_(None),
            CallRow.created_at >= since,
        )
        .order_by(CallRow.created_at, CallRow.id)
        .limit(limit)
    )
    with store.transaction() as session:
        calls = _calls(session, session.scalars(query).all())
        latest = _latest(session, [call.call_sid for call in calls if call.call_sid is not None])
        return [LiveCall(call, latest.get(call.call_sid or "")) for call in calls]


def recording_path(store: Store, call_sid: str) -> str | None:
    """Where the recording of a call is kept, if there is one."""
    with store.transaction() as session:
        return session.scalars(
            select(CallRow.recording_path).where(CallRow.call_sid == call_sid)
        ).one_or_none()


def list_calls(store: Store, wanted: Wanted, limit: int, cursor: str | None = None) -> CallPage:
    """Calls, newest first, a page at a time.

    Args:
        cursor: where the page begins: the ``next_cursor`` of the one before.

    Raises:
        BadCursor: it is none of ours.
        StoreUnavailable: the database does not answer.
    """
    query = _filtered(wanted).order_by(CallRow.created_at.desc(), CallRow.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(CallRow.created_at, CallRow.id) < tuple_(*_read_cursor(cursor)))
    with store.reading() as session:
        rows = session.scalars(query).all()
        page = rows[:limit]
        more = _cursor(page[-1]) if len(rows) > limit else None
        return CallPage(calls=_calls(session, page), next_cursor=more)


def _filtered(wanted: Wanted) -> Select[CallRow]:
    equal = (
        (CallRow.status, wanted.status),
        (CallRow.direction, wanted.direction),
        (CallRow.agent, wanted.agent),
        (CallRow.from_number, wanted.from_number),
        (CallRow.to_number, wanted.to_number),
    )
    query = select(CallRow).where(*(column == value for column, value in equal if value is not None))
    if wanted.since is not None:
        query = query.where(CallRow.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(CallRow.created_at < wanted.until)
    if wanted.words is not None:
        said = select(UtteranceRow.call_sid).where(UtteranceRow.text.icontains(wanted.words, autoescape=True))
        digits = _NUMBER.fullmatch(without_spaces(wanted.words))
        number = digits[1] if digits else wanted.words
        query = query.where(
            or_(
                CallRow.call_sid.in_(said),
                CallRow.call_sid == wanted.words,
                CallRow.from_number.contains(number, autoescape=True),
                CallRow.to_number.contains(number, autoescape=True),
            )
        )
    return query


def _cursor(row: CallRow) -> str:
    return urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        created_at, _, row_id = urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        moment = datetime.fromisoformat(created_at)
    except (ValueError, binascii.Error, UnicodeError) as error:
        raise BadCursor(cursor) from error
    if moment.tzinfo is None or "\0" in row_id:
        raise BadCursor(cursor)
    return moment, row_id


def _latest(session: Session, call_sids: Sequence[str]) -> dict[str, Utterance]:
    """What was said last in each of these calls."""
    spoken = (UtteranceRow.call_sid.in_(call_sids), UtteranceRow.text != "")
    newest = (
        select(UtteranceRow.call_sid, func.max(UtteranceRow.start_ms).label("start_ms"))
        .where(*spoken)
        .group_by(UtteranceRow.call_sid)
        .subquery()
    )
    query = select(UtteranceRow).join(
        newest,
        and_(UtteranceRow.call_sid == newest.c.call_sid, UtteranceRow.start_ms == newest.c.start_ms),
    )
    return {row.call_sid: _utterance(row) for row in session.scalars(query.where(*spoken))}


# -- rows as documents ----------------------------------------------------------------------------


def _row(session: Session, call_sid: str) -> CallRow | None:
    return session.scalars(select(CallRow).where(CallRow.call_sid == call_sid)).one_or_none()


def _of(session: Session, table: Any, call_sid: str, *order: Any) -> Sequence[Any]:
    return session.scalars(select(table).where(table.call_sid == call_sid).order_by(*order)).all()


def _calls(session: Session, rows: Sequence[CallRow]) -> list[Call]:
    used = _used(session, [row.call_sid for row in rows if row.call_sid is not None])
    return [_call(row, used.get(row.call_sid or "", _Used())) for row in rows]


@dataclass(frozen=True)
class _Used:
    """What one call has used in all: of so many reports, so many have a price."""

    input_text: int = 0
    input_audio: int = 0
    cached: int = 0
    output_text: int = 0
    output_audio: int = 0
    transcribed_s: float = 0.0
    analysis_read: int = 0
    analysis_written: int = 0
    model_usd: float | None = None
    transcription_usd: float | None = None
    analysis_usd: float | None = None
    reports: int = 0
    priced: int = 0
    priced_speech: int = 0
    priced_analysis: int = 0


def _used(session: Session, call_sids: Sequence[str]) -> dict[str, _Used]:
    if not call_sids:
        return {}
    query = (
        select(
            UsageRow.call_sid,
            func.sum(UsageRow.input_text),
            func.sum(UsageRow.input_audio),
            func.sum(UsageRow.cached_text + UsageRow.cached_audio),
            func.sum(UsageRow.output_text),
            func.sum(UsageRow.output_audio),
            func.sum(UsageRow.transcribed_s),
            func.sum(UsageRow.analysis_read),
            func.sum(UsageRow.analysis_written),
            func.sum(UsageRow.model_usd),
            func.sum(UsageRow.transcription_usd),
            func.sum(UsageRow.analysis_usd),
            func.count(),
            func.count(UsageRow.model_usd),
            func.count(UsageRow.transcription_usd),
            func.count(UsageRow.analysis_usd),
        )
        .where(UsageRow.call_sid.in_(call_sids))
        .group_by(UsageRow.call_sid)
    )
    return {call_sid: _Used(*sums) for call_sid, *sums in session.execute(query)}


def _call(row: CallRow, used: _Used) -> Call:
    seconds = None
    if row.answered_at is not None and row.ended_at is not None:
        seconds = round(max(0.0, (row.ended_at - row.answered_at).total_seconds()), 3)
    return Call(
        call_sid=row.call_sid,
        direction=cast(Any, row.direction),
        from_number=row.from_number,
        to_number=row.to_number,
        agent=row.agent,
        model=row.model,
        parameters=row.parameters,
        status=row.status,
        answered_by=row.answered_by,
        end_reason=row.end_reason,
        created_at=row.created_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        duration_seconds=seconds,
        first_audio_ms=None if row.first_audio_ms is None else round(row.first_audio_ms),
        usage=UsageTotals(
            input_audio_tokens=used.input_audio,
            input_text_tokens=used.input_text,
            cached_tokens=used.cached,
            output_audio_tokens=used.output_audio,
            output_text_tokens=used.output_text,
            transcription_seconds=round(used.transcribed_s, 3),
            analysis_input_tokens=used.analysis_read,
            analysis_output_tokens=used.analysis_written,
        ),
        cost=_cost(row, used),
        recording=_recording(row),
        summary=row.summary,
        verdict=cast(Any, row.verdict),
        tags=row.tags,
        extracted=row.extracted,
    )


def _cost(row: CallRow, used: _Used) -> Cost:
    model_usd = used.model_usd or 0.0 if used.priced == used.reports else None
    transcription_usd = used.transcription_usd or 0.0 if used.priced_speech == used.reports else None
    if row.transcription_model is not None and usd_per_minute(row.transcription_model) is None:
        transcription_usd = None  # such a service does not even report what we could price
    analysis_usd = used.analysis_usd or 0.0 if used.priced_analysis == used.reports else None
    total_usd = None
    if model_usd is not None and transcription_usd is not None and analysis_usd is not None:
        total_usd = model_usd + transcription_usd + analysis_usd + (row.carrier_usd or 0.0)
    return Cost(
        total_usd=_usd(total_usd),
        model_usd=_usd(model_usd),
        transcription_usd=_usd(transcription_usd),
        analysis_usd=_usd(analysis_usd),
        carrier_usd=_usd(row.carrier_usd),
    )


def _recording(row: CallRow) -> Recording | None:
    if row.recording_path is None:
        return None
    return Recording(url=f"/calls/{row.call_sid}/recording", seconds=row.recording_seconds)


def _usd(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)


def _utterance(row: UtteranceRow) -> Utterance:
    return Utterance(
        role=cast(Any, row.role),
        text=row.text,
        start_ms=round(row.start_ms),
        end_ms=round(row.end_ms),
        interrupted=row.interrupted,
        item_id=row.item_id,
        growing=row.growing,
    )


def _turn(row: TurnRow) -> Turn:
    return Turn(
        index=row.index,
        voice_to_voice_ms=round(row.voice_to_voice_ms),
        audible_ms=round(row.audible_ms),
        barge_in=row.barge_in,
    )


def _tool_run(row: ToolRunRow) -> ToolRun:
    try:
        # Strict where the standard library is not: halves of surrogate pairs, NaN and bottomless nesting
        # are in no JSON that could be handed on.
        arguments = from_json(row.arguments, allow_inf_nan=False)
    except ValueError:
        arguments = row.arguments
    return ToolRun(
        name=row.name,
        arguments=arguments,
        output=row.output,
        outcome=cast(Any, row.outcome),
        start_ms=round(row.start_ms),
        duration_ms=round(row.duration_ms),
    )


def _events(rows: Sequence[CallEventRow], utterances: Sequence[UtteranceRow]) -> list[CallEvent]:
    """What happened, and where the agent was cut, all that it had meant to say."""
    events = [CallEvent(at_ms=round(row.at_ms), type=row.type, detail=row.detail) for row in rows]
    events += [
        CallEvent(at_ms=round(row.end_ms), type="cut", detail={"itemId": row.item_id, "meant": row.meant})
        for row in utterances
        if row.meant is not None
    ]
    return sorted(events, key=lambda event: event.at_ms)
