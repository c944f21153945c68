"""What the calls of some days come to: how many, how they ended, how soon answers came, what was spent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from callapp.call_log.models import CallRow, ToolRunRow, TurnRow, UsageRow
from callapp.call_log.store import Store

# More of the newest are not looked at: the figures of a day do not change by more of them.
MOST_ROWS = 200_000
_AT_ONCE = 2_000


@dataclass(frozen=True)
class Day:
    """One day, by UTC; ``None`` where there is nothing to measure.

    Args:
        p50_ms: the median of how long answers were waited for; ``p95_ms`` the one that 5 % exceed.
        usd: what was spent, as far as prices are known.
    """

    day: date
    calls: int
    p50_ms: float | None
    p95_ms: float | None
    usd: float


@dataclass(frozen=True)
class ToolFigures:
    """How often a tool ran, and how often it did not do its work."""

    name: str
    runs: int
    failures: int


@dataclass(frozen=True)
class Numbers:
    """All figures of some days, the oldest day first; reasons and tools with the most first."""

    days: Sequence[Day]
    end_reasons: Sequence[tuple[str, int]]
    tools: Sequence[ToolFigures]


def count(store: Store, until: date, days: int) -> Numbers:
    """The figures of so many days, of which ``until`` is the last.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    dates = [until - timedelta(days=ago) for ago in reversed(range(days))]
    since = datetime.combine(dates[0], time.min, UTC)
    before = datetime.combine(until + timedelta(days=1), time.min, UTC)
    wanted = and_(CallRow.created_at >= since, CallRow.created_at < before)
    calls: Counter[date] = Counter()
    reasons: Counter[str] = Counter()
    waits: dict[date, list[float]] = defaultdict(list)
    usd: dict[date, float] = defaultdict(float)
    with store.reading() as session:
        for created_at, reason, carrier_usd in _newest(session, _CALLS.where(wanted)):
            calls[created_at.date()] += 1
            usd[created_at.date()] += carrier_usd or 0.0
            if reason is not None:
                reasons[reason] += 1
        for created_at, wait_ms in _newest(session, _WAITS.where(wanted)):
            waits[created_at.date()].append(wait_ms)
        for created_at, spent_usd in _newest(session, _SPENT.where(wanted)):
            usd[created_at.date()] += spent_usd
        tools = _tools(session.execute(_RAN.where(wanted)))
    return Numbers(
        days=[_day(day, calls[day], waits[day], usd[day]) for day in dates],
        end_reasons=reasons.most_common(),
        tools=tools,
    )


_CALLS = select(CallRow.created_at, CallRow.end_reason, CallRow.carrier_usd)
_WAITS = select(CallRow.created_at, TurnRow.voice_to_voice_ms).join(
    TurnRow, TurnRow.call_sid == CallRow.call_sid
)
_SPENT = (
    select(
        CallRow.created_at,
        func.sum(
            func.coalesce(UsageRow.model_usd, 0)
            + func.coalesce(UsageRow.transcription_usd, 0)
            + func.coalesce(UsageRow.analysis_usd, 0)
        ),
    )
    .join(UsageRow, UsageRow.call_sid == CallRow.call_sid)
    .group_by(CallRow.id, CallRow.created_at)
)
_RAN = (
    select(ToolRunRow.name, ToolRunRow.outcome, func.count())
    .join(CallRow, ToolRunRow.call_sid == CallRow.call_sid)
    .group_by(ToolRunRow.name, ToolRunRow.outcome)
)


def _newest(session: Session, query: Any) -> Iterable[Any]:
    return session.execute(query.order_by(CallRow.created_at.desc()).limit(MOST_ROWS)).yield_per(_AT_ONCE)


def _day(day: date, calls: int, waits_ms: list[float], usd: float) -> Day:
    waits_ms.sort()
    return Day(day, calls, _percentile(waits_ms, 0.5), _percentile(waits_ms, 0.95), round(usd, 6))


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share of them does not exceed."""
    if not ordered:
        return None
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


def _tools(rows: Iterable[Any]) -> list[ToolFigures]:
    runs: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for name, outcome, number in rows:
        runs[name] += number
        if outcome != "ok":
            failures[name] += number
    return [ToolFigures(name, number, failures[name]) for name, number in runs.most_common()]
