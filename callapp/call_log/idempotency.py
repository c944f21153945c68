"""Idempotency keys: of requests that ask for the same, one does it, and the others get its answer.

The rows are known to all processes. Raises as ``Store`` does.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, update

from callapp.call_log.models import IdempotencyKeyRow
from callapp.call_log.records import Claim, ClaimOutcome
from callapp.call_log.statements import rows_changed
from callapp.call_log.store import Store, Taken

REMEMBERED_FOR = timedelta(hours=24)
# A dial takes ten seconds at most; a claim older than this was left by a process that died.
CLAIM_LIVES = timedelta(seconds=60)


class IdempotencyKeys:
    """The keys that requests were sent with. Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, api_key_hash: str, key: str, body_hash: str) -> Claim:
        """Try to be the request that carries out what ``key`` stands for.

        Of any number of requests at the same time, in any process, exactly one gets ``NEW``; it must
        then ``remember`` its answer or ``release`` the key.
        """
        now = _now()
        claim_id = uuid.uuid4().hex
        fresh: dict[str, Any] = {
            "claim_id": claim_id,
            "body_hash": body_hash,
            "claimed_at": now,
            "answer_status": None,
            "answer_body": None,
            "expires_at": now + REMEMBERED_FOR,
        }
        try:
            with self._store.transaction() as session:
                self._store.sweep(session, now)
                session.execute(insert(IdempotencyKeyRow).values(api_key_hash=api_key_hash, key=key, **fresh))
            return Claim(ClaimOutcome.NEW, claim_id)
        except Taken:
            pass
        with self._store.transaction() as session:
            row = session.get(IdempotencyKeyRow, (api_key_hash, key))
            if row is None:  # released between the two transactions: the next try will succeed
                return Claim(ClaimOutcome.IN_PROGRESS)
            answered = row.answer_status is not None
            lives_until = row.expires_at if answered else row.claimed_at + CLAIM_LIVES
            if lives_until <= now:
                # Whoever replaces the dead claim first has it; the others see another claim_id.
                dead = IdempotencyKeyRow.claim_id == row.claim_id
                if rows_changed(session, update(IdempotencyKeyRow).where(dead).values(**fresh)):
                    return Claim(ClaimOutcome.NEW, claim_id)
            elif row.body_hash != body_hash:
                return Claim(ClaimOutcome.OTHER_BODY)
            elif row.answer_status is not None:
                return Claim(ClaimOutcome.REPLAY, row.claim_id, row.answer_status, row.answer_body)
            return Claim(ClaimOutcome.IN_PROGRESS)

    def remember(self, claim: Claim, status: int, body: Mapping[str, Any]) -> None:
        """Keep the answer for the requests that come after with the same key."""
        with self._store.transaction() as session:
            session.execute(
                update(IdempotencyKeyRow)
                .where(IdempotencyKeyRow.claim_id == claim.id)
                .values(answer_status=status, answer_body=dict(body))
            )

    def release(self, claim: Claim) -> None:
        """Give the key back: what it stood for was not done."""
        with self._store.transaction() as session:
            session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.claim_id == claim.id))


def _now() -> datetime:
    return datetime.now(UTC)
