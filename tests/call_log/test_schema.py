"""The schema gets to where this version needs it, or the start says that it is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from callapp.call_log import Store, schema
from callapp.call_log.engine import open_engine
from callapp.call_log.models import Base
from callapp.errors import ConfigError

PROJECT = Path(__file__).parents[2]


def test_the_migrations_lead_to_the_tables_of_the_models(database: str) -> None:
    engine = open_engine(database)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_the_files_of_the_migrations_are_named_in_their_order(database: str) -> None:
    """So that a start knows which schema it needs without loading Alembic."""
    engine = open_engine(database)
    with engine.begin() as connection:
        in_order = [
            script.revision
            for script in ScriptDirectory.from_config(schema._config(connection)).walk_revisions()
        ]
    engine.dispose()
    assert schema._revisions() == in_order[::-1]
    assert schema.head() == schema.revision(database) == in_order[0]


def test_a_start_on_a_database_that_is_up_to_date_does_not_load_alembic(database: str) -> None:
    program = (
        "import sys; from callapp.call_log import Store, schema; "
        f"schema.prepare({database!r}); Store({database!r}).close(); "
        "print([name for name in sys.modules if 'alembic' in name])"
    )
    started = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=50, check=True
    )
    assert started.stdout == "[]\n"


def test_upgrading_twice_changes_nothing(database: str) -> None:
    schema.upgrade(database)
    schema.prepare(database)


def test_many_processes_may_upgrade_at_the_same_moment(empty_database: str) -> None:
    program = f"from callapp.call_log import schema; schema.upgrade({empty_database!r})"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=50)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, errors
    schema.prepare(empty_database)


def test_sqlite_is_made_at_the_start_in_wal_mode_with_its_folder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a/folder 50%/calls.sqlite"
    schema.prepare(url)
    with closing(Store(url)) as store:
        assert store.find_placed("x") is None
        with store._engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_sqlite_that_cannot_be_written_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"DATABASE_URL: cannot write .*file"):
        schema.prepare(f"sqlite:///{tmp_path}/file/calls.sqlite")


def test_a_file_that_is_no_database_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").write_text("This is a letter, not a database. " * 100)
    with pytest.raises(ConfigError, match=r"DATABASE_URL: .*not a database"):
        schema.prepare(f"sqlite:///{tmp_path}/calls.sqlite")


@pytest.mark.parametrize("use", [schema.prepare, schema.upgrade, Store])
@pytest.mark.parametrize("path", ["", "/", "/:memory:"])
def test_a_database_in_memory_refuses_the_start(use: Callable[[str], object], path: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL names an SQLite database in memory: name a file"):
        use(f"sqlite://{path}")


@pytest.mark.parametrize("use", [schema.prepare, schema.upgrade, Store])
@pytest.mark.parametrize(
    "uri",
    ["file:calls?mode=memory&uri=true", "file::memory:?cache=shared&uri=true", "file:{folder}/a?uri=true"],
)
def test_a_uri_of_sqlites_own_refuses_the_start(
    use: Callable[[str], object], uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can name one in memory; of another the folder would be looked for in one named ``file:``."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"DATABASE_URL: 'file:.*' is a URI of SQLite's: name a file"):
        use(f"sqlite:///{uri.format(folder=tmp_path)}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("use", [schema.prepare, schema.upgrade, Store])
def test_an_option_of_sqlite_that_cannot_be_read_refuses_the_start(
    use: Callable[[str], object], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"DATABASE_URL: an option .* cannot be read: .*soon"):
        use(f"sqlite:///{tmp_path}/calls.sqlite?timeout=soon")


def test_postgresql_is_not_touched_by_a_start(request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres").new_database()
    with pytest.raises(ConfigError, match="flask db upgrade"):
        schema.prepare(url)
    engine = open_engine(url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    schema.upgrade(url)
    schema.prepare(url)


@pytest.mark.parametrize("use", [schema.prepare, schema.upgrade])
def test_a_database_of_a_later_version_refuses_the_start(database: str, use: Callable[[str], None]) -> None:
    """As after a step back to the version before: no upgrade helps."""
    with closing(Store(database)) as store, store.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"at 9999, of a newer callapp than this one: install") as error:
        use(database)
    assert "flask db upgrade" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["me:hunter2@/x?host=/nonexistent", "/x?host=/nonexistent&user=me&password=hunter2"]
)
def test_postgresql_that_is_not_there_refuses_the_start_without_telling_the_password(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as raised:
        schema.prepare(f"postgresql+psycopg://{url}")
    assert len(raised.value.faults) == 1
    assert "\n" not in raised.value.faults[0]
    assert "hunter2" not in raised.value.faults[0]


def test_the_schema_can_be_taken_back(database: str) -> None:
    from alembic import command

    engine = open_engine(database)
    with engine.begin() as connection:
        command.downgrade(schema._config(connection), "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
