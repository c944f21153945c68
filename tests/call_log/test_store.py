"""The store keeps its promises on SQLite and on PostgreSQL, also when many ask at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import func, select

from callapp.call_log import Admission, PlacedCall, Store, StoreUnavailable
from callapp.call_log import store as store_module
from callapp.call_log.idempotency import IdempotencyKeys
from callapp.call_log.models import CallRow, IdempotencyKeyRow, StreamTokenRow
from callapp.call_log.never_was import dial_failed

T = TypeVar("T")

CALL_SID = "CA" + "1" * 32
ADMISSION = Admission(
    slot_key="placed-1",
    call_sid=CALL_SID,
    agent="operator",
    parameters={"名前": "山田 & <太郎>", "empty": ""},
    direction="outgoing",
    from_number="+14155550100",
    to_number="+819012345678",
)
PLACED = PlacedCall("placed-1", "operator", {"customerId": "12345"}, "+14155550100", "+819012345678")


def at_once(count: int, action: Callable[[], T]) -> list[T]:
    """Run the same thing in many threads, all let go at the same moment."""
    barrier = threading.Barrier(count, timeout=20)

    def run() -> T:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(timeout=30) for future in [pool.submit(run) for _ in range(count)]]


def rows(store: Store, table: Any) -> int:
    with store._sessions() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Moves the store's clock on."""
    passed = timedelta()
    monkeypatch.setattr(store_module, "_now", lambda: datetime.now(UTC) + passed)

    def advance(**by: float) -> None:
        nonlocal passed
        passed += timedelta(**by)

    return advance


# -- tokens ---------------------------------------------------------------------------------------


def test_a_token_brings_back_what_it_stands_for(store: Store) -> None:
    token = store.issue_token(ADMISSION, 300)
    assert store.redeem_token(token, CALL_SID) == ADMISSION


def test_a_token_is_useless_a_second_time(store: Store) -> None:
    token = store.issue_token(ADMISSION, 300)
    store.redeem_token(token, CALL_SID)
    assert store.redeem_token(token, CALL_SID) is None


def test_a_token_is_refused_for_another_call_and_stays_good_for_its_own(store: Store) -> None:
    token = store.issue_token(ADMISSION, 300)
    assert store.redeem_token(token, "CA" + "2" * 32) is None
    assert store.redeem_token(token, CALL_SID) == ADMISSION


def test_a_token_expires(store: Store, clock: Callable[..., None]) -> None:
    token = store.issue_token(ADMISSION, 300)
    clock(seconds=301)
    assert store.redeem_token(token, CALL_SID) is None


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 60_000, "日本", "a\x00b", "\ud800"])
def test_an_unknown_token_is_refused(store: Store, token: str) -> None:
    assert store.redeem_token(token, CALL_SID) is None


@pytest.mark.parametrize("call_sid", ["", "日本", "CA\x00", "\ud800"])
def test_a_call_sid_that_is_none_is_refused(store: Store, call_sid: str) -> None:
    token = store.issue_token(ADMISSION, 300)
    assert store.redeem_token(token, call_sid) is None


def test_only_the_hash_of_a_token_is_stored(store: Store) -> None:
    token = store.issue_token(ADMISSION, 300)
    with store._sessions() as session:
        row = session.scalars(select(StreamTokenRow)).one()
    assert token not in str(vars(row))


def test_of_many_redeemers_at_once_one_succeeds(store: Store) -> None:
    token = store.issue_token(ADMISSION, 300)
    answers = at_once(12, lambda: store.redeem_token(token, CALL_SID))
    assert [answer for answer in answers if answer is not None] == [ADMISSION]


def test_expired_tokens_and_keys_are_swept(store: Store, clock: Callable[..., None]) -> None:
    store.issue_token(ADMISSION, 300)
    IdempotencyKeys(store).claim("api", "key", "body")
    clock(hours=25)
    store._swept_at -= store_module.SWEEP_EVERY_S
    store.issue_token(ADMISSION, 300)
    assert rows(store, StreamTokenRow) == 1
    assert rows(store, IdempotencyKeyRow) == 0


# -- placed calls ---------------------------------------------------------------------------------


def dial(store: Store) -> None:
    store.place_call(PLACED)
    store.call_dialled("placed-1", CALL_SID, "queued")


def status_of(store: Store) -> str:
    call = store.find_placed("placed-1")
    assert call is not None
    return call.status


def test_a_placed_call_is_found_by_another_process(store: Store) -> None:
    store.place_call(PLACED)
    with closing(Store(store.database_url)) as other:
        assert other.find_placed("placed-1") == PLACED
        assert other.find_placed("another") is None


def test_a_status_is_news_once(store: Store) -> None:
    dial(store)
    assert store.note_status(CALL_SID, "initiated", 0)
    assert store.note_status(CALL_SID, "ringing", 1)
    assert not store.note_status(CALL_SID, "ringing", 1)
    assert status_of(store) == "ringing"


def test_an_earlier_status_that_comes_later_changes_nothing(store: Store) -> None:
    dial(store)
    assert store.note_status(CALL_SID, "in-progress", 2)
    assert not store.note_status(CALL_SID, "ringing", 1)
    assert not store.note_status(CALL_SID, "initiated", None)
    assert status_of(store) == "in-progress"


@pytest.mark.parametrize("late", [("ringing", 1), ("in-progress", 9), ("in-progress", None), ("failed", 10)])
def test_the_end_of_a_call_is_never_overwritten(store: Store, late: tuple[str, int | None]) -> None:
    dial(store)
    assert store.note_status(CALL_SID, "completed", 3)
    assert not store.note_status(CALL_SID, *late)
    assert status_of(store) == "completed"
    with store._sessions() as session:
        row = session.scalars(select(CallRow)).one()
    assert row.ended_at is not None
    assert row.ended_at.tzinfo is UTC


def test_a_callback_can_outrun_the_answer_to_the_dial(store: Store) -> None:
    store.place_call(PLACED)
    assert store.note_status(CALL_SID, "ringing", 1, placed_id="placed-1")
    store.call_dialled("placed-1", CALL_SID, "queued")
    assert status_of(store) == "ringing"


def test_a_call_that_ended_before_the_dial_was_answered_stays_ended(store: Store) -> None:
    store.place_call(PLACED)
    assert store.note_status(CALL_SID, "busy", None, placed_id="placed-1")
    store.call_dialled("placed-1", CALL_SID, "queued")
    assert status_of(store) == "busy"


def test_a_status_does_not_reach_a_placed_call_of_another_sid(store: Store) -> None:
    dial(store)
    assert not store.note_status("CA" + "2" * 32, "completed", 3, placed_id="placed-1")
    assert status_of(store) == "queued"


def test_a_status_of_an_unknown_call_is_no_news(store: Store) -> None:
    assert not store.note_status(CALL_SID, "completed", 3)


def test_a_dial_that_twilio_refused_has_failed(store: Store) -> None:
    store.place_call(PLACED)
    dial_failed(store, "placed-1")
    assert status_of(store) == "failed"


def test_of_the_same_status_many_times_at_once_one_is_news(store: Store) -> None:
    dial(store)
    assert sorted(at_once(8, lambda: store.note_status(CALL_SID, "completed", 3))) == [False] * 7 + [True]


# -- who answered -----------------------------------------------------------------------------------


def test_who_answered_is_known_by_the_calls_sid_and_the_first_word_stays(store: Store) -> None:
    dial(store)
    assert store.find_answered_by([CALL_SID]) == {}
    assert store.note_answered_by(CALL_SID, "machine_end_beep", "placed-1")
    assert not store.note_answered_by(CALL_SID, "human", "placed-1")
    assert store.find_answered_by([CALL_SID, "CA" + "2" * 32]) == {CALL_SID: "machine_end_beep"}


def test_who_answered_can_outrun_the_answer_to_the_dial_and_the_end_of_the_call(store: Store) -> None:
    store.place_call(PLACED)
    store.note_status(CALL_SID, "completed", 3, placed_id="placed-1")
    assert store.note_answered_by(CALL_SID, "human", "placed-1")
    assert store.find_answered_by([CALL_SID]) == {CALL_SID: "human"}


def test_who_answered_a_call_that_nobody_knows_is_no_news(store: Store) -> None:
    assert not store.note_answered_by(CALL_SID, "human", "placed-1")


# -- faults ---------------------------------------------------------------------------------------


def test_a_database_that_fails_surfaces_as_our_own_error(tmp_path: Path) -> None:
    with closing(Store(f"sqlite:///{tmp_path}/without-tables.sqlite")) as store:
        with pytest.raises(StoreUnavailable, match="no such table"):
            store.find_placed("placed-1")
        with pytest.raises(StoreUnavailable):
            IdempotencyKeys(store).claim("api", "key", "body")


def test_a_server_that_is_gone_surfaces_as_our_own_error() -> None:
    with (
        closing(Store("postgresql+psycopg://postgres@/x?host=/nonexistent")) as store,
        pytest.raises(StoreUnavailable),
    ):
        store.issue_token(ADMISSION, 300)


def test_a_store_waits_for_another_process_that_writes(database: str, store: Store) -> None:
    with closing(Store(database)) as other, ThreadPoolExecutor(1) as pool:
        with other.transaction() as session:
            session.add(
                IdempotencyKeyRow(
                    api_key_hash="a",
                    key="k",
                    claim_id="c",
                    body_hash="b",
                    claimed_at=datetime.now(UTC),
                    expires_at=datetime.now(UTC),
                )
            )
            session.flush()
            issued = pool.submit(store.issue_token, ADMISSION, 300)
        assert store.redeem_token(issued.result(timeout=10), CALL_SID) == ADMISSION
