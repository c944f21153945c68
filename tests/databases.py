"""Databases for tests, of both kinds: what holds on SQLite has to hold on PostgreSQL.

The fixtures are every test's, by way of ``conftest.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import func, select

from callapp.call_log import Store, schema
from callapp.call_log.models import Base, JobRow
from tests.postgres import Cluster, cluster

KINDS = ["sqlite", "postgresql"]

_AS_IT_WAS = """
    SELECT FROM alembic_version
    WHERE NOT EXISTS (
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    )
    AND (SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY(%s)) = %s
    AND version_num = %s
"""
_NUMBERS_ANEW = "SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'"


def sqlite_at(path: Path) -> str:
    """The URL of an SQLite file with our tables, which is made if it is not there."""
    if not path.exists():
        path.write_bytes(_our_tables())
    return f"sqlite:///{path}"


@cache
def _our_tables() -> bytes:
    """An SQLite file that has them: running the migrations takes longer than most tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.sqlite"
        schema.upgrade(f"sqlite:///{path}")
        return path.read_bytes()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture(params=KINDS)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with nothing in it, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/calls.sqlite"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture(scope="session")
def postgres_template(postgres: Cluster) -> str:
    """The name of a database with our tables."""
    schema.upgrade(postgres.new_database("template"))
    return "template"


@pytest.fixture(scope="session")
def spare_databases() -> list[str]:
    """Those that a test has used, and that are empty again: making one takes longer than most tests."""
    return []


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with our tables, of either kind."""
    if request.param == "sqlite":
        yield sqlite_at(tmp_path / "calls.sqlite")
        return
    spare: list[str] = request.getfixturevalue("spare_databases")
    template = request.getfixturevalue("postgres_template")
    url = spare.pop() if spare else request.getfixturevalue("postgres").new_database(template=template)
    yield url
    if _emptied(url):
        spare.append(url)


def _emptied(url: str) -> bool:
    """Empty a database of PostgreSQL; false if it is not as it was: somebody is in it, or it was changed."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        tables = [table.name for table in reversed(Base.metadata.sorted_tables)]
        if connection.execute(_AS_IT_WAS, (tables, len(tables), schema.head())).fetchone() is None:
            return False
        deletions = [f'DELETE FROM "{name}"' for name in tables]
        connection.execute("; ".join([*deletions, _NUMBERS_ANEW]))  # type: ignore[arg-type]  (no literal)
    return True


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = Store(database)
    yield store
    store.close()


def jobs_waiting(store: Store, kinds: Collection[str]) -> int:
    """How many jobs of these kinds are not over."""
    count = select(func.count()).where(JobRow.kind.in_(kinds), JobRow.due_at.is_not(None))
    with store.transaction() as session:
        return session.scalars(count).one()
