"""Databases for tests, of both kinds: what holds on SQLite has to hold on PostgreSQL.

The fixtures are every test's, by way of ``conftest.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from callapp.call_log import Store, schema
from tests.postgres import Cluster, cluster, programs

KINDS = ["sqlite", "postgresql"]


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
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("no PostgreSQL on this machine: initdb was not found")
    with cluster(bin_folder) as running:
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


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with our tables, of either kind."""
    if request.param == "sqlite":
        return sqlite_at(tmp_path / "calls.sqlite")
    template = request.getfixturevalue("postgres_template")
    return str(request.getfixturevalue("postgres").new_database(template=template))


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = Store(database)
    yield store
    store.close()
