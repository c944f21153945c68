"""Bring a database to the schema this version needs, or say that it is not there.

SQLite is upgraded at every start, however many processes start at once. PostgreSQL is upgraded by
``flask db upgrade``, once, when the operator says so; a start only checks it.

Alembic runs the migrations, and is loaded only where there are some to run: it makes every start slower.
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from callapp.call_log.engine import BUSY_S, is_sqlite, open_engine, parse_url
from callapp.errors import ConfigError

if TYPE_CHECKING:
    from alembic.config import Config

log = logging.getLogger(__name__)

UPGRADE_S = 60  # for the lock and for each statement of a migration
LOCK_POLL_S = 0.05
ADVISORY_LOCK = 0x63616C6C  # any number that no other program on this database uses
MIGRATIONS = Path(__file__).with_name("migrations")


def prepare(database_url: str) -> None:
    """Make the database ready to use, at the start of a process.

    Raises:
        ConfigError: it cannot be opened, or it is a PostgreSQL that is not at this version's schema.
    """
    if is_sqlite(parse_url(database_url)):
        upgrade(database_url)
        return
    current, wanted = revision(database_url, UPGRADE_S), head()
    _require_known(current)
    if current != wanted:
        raise ConfigError(
            [
                f"DATABASE_URL: the schema of the database is at {current or 'nothing yet'}, "
                f"this version of callapp needs {wanted}: run `flask db upgrade`"
            ]
        )


def default_url(instance: Path) -> str:
    """Where the database is when DATABASE_URL is not set: in Flask's instance folder."""
    return f"sqlite:///{instance / 'callapp.db'}"


def revision(database_url: str, busy_s: int = BUSY_S) -> str | None:
    """The schema that a database has; ``None`` if it has none yet. Changes nothing.

    Raises:
        ConfigError: it cannot be opened, or not be written.
    """
    with _connect(database_url, busy_s) as connection:
        return _revision(connection)


def known(revision: str) -> bool:
    """Whether this version of callapp can upgrade a database of that schema."""
    return revision in _revisions()


def upgrade(database_url: str) -> None:
    """Run the migrations that are missing. Any number of processes may do so at the same time.

    Raises:
        ConfigError: the database cannot be opened or written.
    """
    url = parse_url(database_url)
    if not is_sqlite(url):
        with _connect(database_url) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            _run_migrations(connection)
        return
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _file_lock(path.with_name(path.name + ".lock")):
            _use_wal(database_url)
            with _connect(database_url) as connection:
                _run_migrations(connection)
    except OSError as error:
        raise ConfigError(
            [
                f"DATABASE_URL: cannot write {path}: {error.strerror or error}; "
                "make its folder writable, or give another DATABASE_URL"
            ]
        ) from error


def head() -> str:
    """The revision this version of callapp is written for."""
    return _revisions()[-1]


@cache
def _revisions() -> list[str]:
    """All that there are, the oldest first: each migration's file begins with its own."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def _run_migrations(connection: Connection) -> None:
    before, wanted = _revision(connection), head()
    if before == wanted:
        return
    _require_known(before)
    from alembic import command

    command.upgrade(_config(connection), "head")
    log.info("= database schema upgraded from %s to %s", before or "nothing", wanted)


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _require_known(current: str | None) -> None:
    """Refuse a schema that a later version has made: there is no way back from here."""
    if current is not None and not known(current):
        raise ConfigError(
            [
                f"DATABASE_URL: the schema of the database is at {current}, of a newer callapp than this "
                "one: install that version, or give this one another DATABASE_URL"
            ]
        )


@contextmanager
def _connect(database_url: str, busy_s: int = UPGRADE_S) -> Iterator[Connection]:
    """A connection in a transaction; what goes wrong in it is told in one line, without the password."""
    engine = open_engine(database_url, busy_s=busy_s)
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        where = engine.url.set(query={}).render_as_string()  # hides a password, but for one in the query
        raise ConfigError([f"DATABASE_URL: the database {where} does not work: {reason}"]) from error
    finally:
        engine.dispose()


def _use_wal(database_url: str) -> None:
    """Let readers and a writer work side by side. The file remembers it.

    Not done on each connection: two processes switching at once would get "database is locked" without
    waiting for each other.
    """
    engine = open_engine(database_url, busy_s=UPGRADE_S)
    try:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            raw.close()
    except (SQLAlchemyError, sqlite3.Error) as error:
        reason = getattr(error, "orig", None) or error
        raise ConfigError([f"DATABASE_URL: cannot open {engine.url.database}: {reason}"]) from error
    finally:
        engine.dispose()


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Hold ``path`` against other processes; the kernel lets go of it if this one dies."""
    deadline = time.monotonic() + UPGRADE_S
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConfigError(
                        [f"DATABASE_URL: another process has held {path} for {UPGRADE_S} s"]
                    ) from None
                time.sleep(LOCK_POLL_S)  # a lock with a deadline can only be polled for
        yield
