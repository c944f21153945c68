"""Of any number of requests with the same key one is new, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from callapp.call_log import ClaimOutcome, Store, idempotency
from callapp.call_log.idempotency import IdempotencyKeys
from tests.call_log.test_store import CALL_SID, at_once


@pytest.fixture
def keys(store: Store) -> IdempotencyKeys:
    return IdempotencyKeys(store)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Moves the keys' clock on."""
    passed = timedelta()
    monkeypatch.setattr(idempotency, "_now", lambda: datetime.now(UTC) + passed)

    def advance(**by: float) -> None:
        nonlocal passed
        passed += timedelta(**by)

    return advance


def test_the_first_request_is_new_and_the_next_gets_its_answer(keys: IdempotencyKeys) -> None:
    claim = keys.claim("api", "key", "body")
    assert claim.outcome is ClaimOutcome.NEW
    keys.remember(claim, 201, {"callSid": CALL_SID, "to": "+81"})
    again = keys.claim("api", "key", "body")
    assert (again.outcome, again.status, again.body) == (
        ClaimOutcome.REPLAY,
        201,
        {"callSid": CALL_SID, "to": "+81"},
    )


def test_another_body_is_told_apart_before_and_after_the_answer(keys: IdempotencyKeys) -> None:
    claim = keys.claim("api", "key", "body")
    assert keys.claim("api", "key", "other").outcome is ClaimOutcome.OTHER_BODY
    keys.remember(claim, 201, {})
    assert keys.claim("api", "key", "other").outcome is ClaimOutcome.OTHER_BODY


def test_api_keys_do_not_share_idempotency_keys(keys: IdempotencyKeys) -> None:
    keys.claim("api", "key", "body")
    assert keys.claim("other", "key", "body").outcome is ClaimOutcome.NEW


def test_a_released_key_is_new_again(keys: IdempotencyKeys) -> None:
    keys.release(keys.claim("api", "key", "body"))
    assert keys.claim("api", "key", "other").outcome is ClaimOutcome.NEW


def test_an_answer_is_forgotten_after_a_day(keys: IdempotencyKeys, clock: Callable[..., None]) -> None:
    keys.remember(keys.claim("api", "key", "body"), 201, {})
    clock(hours=23, minutes=59)
    assert keys.claim("api", "key", "body").outcome is ClaimOutcome.REPLAY
    clock(minutes=2)
    assert keys.claim("api", "key", "body").outcome is ClaimOutcome.NEW


def test_a_claim_of_a_crashed_process_can_be_taken_over(
    keys: IdempotencyKeys, clock: Callable[..., None]
) -> None:
    dead = keys.claim("api", "key", "body")
    clock(seconds=59)
    assert keys.claim("api", "key", "body").outcome is ClaimOutcome.IN_PROGRESS
    clock(seconds=2)
    heir = keys.claim("api", "key", "body")
    assert heir.outcome is ClaimOutcome.NEW
    # The one presumed dead comes back: it has no say any more.
    keys.remember(dead, 201, {"callSid": "dead"})
    keys.release(dead)
    assert keys.claim("api", "key", "body").outcome is ClaimOutcome.IN_PROGRESS
    keys.remember(heir, 201, {"callSid": "heir"})
    assert keys.claim("api", "key", "body").body == {"callSid": "heir"}


def test_of_many_claims_at_once_one_is_new(keys: IdempotencyKeys) -> None:
    outcomes = at_once(12, lambda: keys.claim("api", "key", "body").outcome)
    assert outcomes.count(ClaimOutcome.NEW) == 1
    assert outcomes.count(ClaimOutcome.IN_PROGRESS) == 11


def test_of_many_heirs_of_a_dead_claim_one_is_new(keys: IdempotencyKeys, clock: Callable[..., None]) -> None:
    keys.claim("api", "key", "body")
    clock(seconds=61)
    outcomes = at_once(12, lambda: keys.claim("api", "key", "body").outcome)
    assert outcomes.count(ClaimOutcome.NEW) == 1
