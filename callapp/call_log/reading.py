"""What the call log knows of calls, read from its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pydantic_core import from_json
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from callapp.call_log.documents import (
    Call,
    CallEvent,
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
from callapp.call_log.statements import GOES_ON
from callapp.call_log.store import Store
from callapp.prices import usd_per_minute


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
        (call,) = as_calls(session, [row])
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
        return as_calls(session, session.scalars(query.order_by(CallRow.created_at)).all())


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
        .where(GOES_ON, CallRow.created_at >= since)
        .order_by(CallRow.created_at, CallRow.id)
        .limit(limit)
    )
    with store.transaction() as session:
        calls = as_calls(session, session.scalars(query).all())
        latest = _latest(session, [call.call_sid for call in calls if call.call_sid is not None])
        return [LiveCall(call, latest.get(call.call_sid or "")) for call in calls]


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


def as_calls(session: Session, rows: Sequence[CallRow]) -> list[Call]:
    """Rows as documents, with what each call has used."""
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
