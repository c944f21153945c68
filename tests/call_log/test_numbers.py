"""What the calls of some days come to, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from callapp.call_log import Store
from callapp.call_log.listing import Wanted, list_calls
from callapp.call_log.models import CallRow
from callapp.call_log.numbers import ToolFigures, count
from callapp.call_log.record import Record
from callapp.conversation.facts import Began, Closed, Ended, Fact, ToolRan, TurnAnswered
from tests.call_log.test_record import BEGAN, CALL, TALK, WAIT_S


def call_of(store: Store, number: int, days_ago: int, *facts: Fact) -> None:
    record = Record(store)
    call = replace(CALL, call_sid=f"CA{number:032x}", began_at=BEGAN - timedelta(days=days_ago))
    for fact in facts:
        record(call, fact, fact.at_ms)
    assert record.flush(WAIT_S)
    record.close()


def test_each_day_has_its_calls_waits_and_cost(store: Store) -> None:
    call_of(store, 1, 0, *TALK)
    waits = [TurnAnswered(1000.0 * n, n, 100.0 * n, 0, False) for n in range(1, 21)]
    call_of(store, 2, 2, Began(), *waits, Ended(30_000, "caller.hung_up"), Closed(30_001))
    call_of(store, 3, 2, Began(), Ended(1000, "caller.hung_up"), Closed(1001))
    call_of(store, 4, 3, *TALK)  # before the days that are asked for
    numbers = count(store, BEGAN.date(), 3)
    assert [day.day for day in numbers.days] == [BEGAN.date() - timedelta(days=ago) for ago in (2, 1, 0)]
    assert [day.calls for day in numbers.days] == [2, 0, 1]
    assert [(day.p50_ms, day.p95_ms) for day in numbers.days] == [(1000, 1900), (None, None), (620.4, 620.4)]
    assert numbers.days[0].usd == numbers.days[1].usd == 0
    assert numbers.days[2].usd > 0
    assert numbers.end_reasons == [("caller.hung_up", 2), ("agent.ended", 1)]


def test_a_tool_that_did_not_do_its_work_is_counted(store: Store) -> None:
    runs = [
        ToolRan(1000.0 * n, f"call_{n}", "look_up", "{}", None, outcome, 5)
        for n, outcome in enumerate(("ok", "error", "timeout", "ok"))
    ]
    call_of(store, 1, 0, Began(), *runs, ToolRan(9000, "call_9", "end_call", "{}", "", "ok", 1))
    assert count(store, BEGAN.date(), 1).tools == [
        ToolFigures("look_up", 4, 2),
        ToolFigures("end_call", 1, 0),
    ]


@pytest.mark.parametrize(
    "read",
    [
        lambda store: count(store, BEGAN.date(), 1).days[0].calls,
        lambda store: len(list_calls(store, Wanted(words="order"), 5).calls),
    ],
)
def test_who_looks_at_many_calls_and_who_writes_do_not_wait_for_each_other(
    store: Store, read: Callable[[Store], int]
) -> None:
    """It takes seconds where there are a hundred thousand calls, and a phone that rings is written down."""
    call_of(store, 1, 0, *TALK)
    with store.transaction() as session:
        session.execute(delete(CallRow).where(CallRow.id == "none"))
        assert read(store) == 1
    with store.reading() as session:
        session.execute(select(CallRow.id)).all()
        call_of(store, 2, 0, *TALK)


@pytest.mark.parametrize("days", [1, 90])
def test_without_calls_there_is_nothing_to_measure(store: Store, days: int) -> None:
    numbers = count(store, BEGAN.date(), days)
    assert len(numbers.days) == days
    assert not any(day.calls for day in numbers.days)
    assert (numbers.end_reasons, numbers.tools) == ([], [])
