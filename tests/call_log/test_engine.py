"""How PostgreSQL is spoken to."""

from __future__ import annotations

from sqlalchemy import text

from callapp.call_log.engine import open_engine
from tests.postgres import Cluster


def test_nothing_is_prepared_since_the_next_transaction_may_reach_another_server(postgres: Cluster) -> None:
    engine = open_engine(postgres.new_database())
    with engine.connect() as connection:
        for _ in range(10):
            connection.execute(text("SELECT :one + 1"), {"one": 1})
        prepared = connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
    engine.dispose()
    assert prepared == 0
