from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callapp.call_log import Store, schema
from tests.postgres import Cluster, cluster, programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    bin_folder = programs()
    if bin_folder is None:
        pytest.skip("no PostgreSQL on this machine: initdb was not found")
    with cluster(bin_folder) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with nothing in it, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/calls.sqlite"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
def database(empty_database: str) -> str:
    """The URL of a database with our tables."""
    schema.upgrade(empty_database)
    return empty_database


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = Store(database)
    yield store
    store.close()
