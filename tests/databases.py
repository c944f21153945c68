"""Databases for tests, of both kinds: what holds on SQLite has to hold on PostgreSQL.

The fixtures are every test's, by way of ``conftest.py``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from callapp.call_log import Store, schema
from tests.postgres import Cluster, cluster, programs

KINDS = ["sqlite", "postgresql"]


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
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "calls.sqlite"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: Cluster) -> str:
    """The name of a database with our tables: running the migrations takes longer than most tests."""
    schema.upgrade(postgres.new_database("template"))
    return "template"


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with our tables, of either kind."""
    if request.param == "sqlite":
        path = tmp_path / "calls.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    template = request.getfixturevalue("postgres_template")
    return str(request.getfixturevalue("postgres").new_database(template=template))


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = Store(database)
    yield store
    store.close()
