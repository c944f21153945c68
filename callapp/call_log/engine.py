"""Connections to the database: SQLite in WAL mode, or PostgreSQL. Every wait has a deadline."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import URL, make_url

from callapp.errors import ConfigError

BUSY_S = 5  # how long a statement waits for another process's lock
CONNECT_S = 5
POOL_WAIT_S = 5
READ_ONLY = "25006"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def parse_url(database_url: str) -> URL:
    """Read ``DATABASE_URL``, of which the settings have seen that it is a URL of SQLite or PostgreSQL.

    Raises:
        ConfigError: it names no file, or an option of it cannot be read.
    """
    url = make_url(database_url)
    if is_sqlite(url):
        database = url.database or ":memory:"
        if database == ":memory:":
            # Each connection would have a memory of its own.
            raise ConfigError(["DATABASE_URL names an SQLite database in memory: name a file, sqlite:///…"])
        if database.startswith("file:"):
            # By which it can be in memory as well; and we look for the file's folder ourselves.
            raise ConfigError([f"DATABASE_URL: {database!r} is a URI of SQLite's: name a file, sqlite:///…"])
        try:
            url.get_dialect()().create_connect_args(url)
        except ValueError as error:
            raise ConfigError([f"DATABASE_URL: an option after the ? cannot be read: {error}"]) from None
    return url


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def open_engine(database_url: str, *, busy_s: int = BUSY_S, reads_only: bool = False) -> Engine:
    """Make an engine; nothing is connected yet. Safe to use from many threads.

    Its errors do not quote what was to be written: names and words of callers would get into the log.

    Args:
        reads_only: whether nothing is written by it.
    """
    url = parse_url(database_url)
    if is_sqlite(url):
        # SQLite lets one transaction write at a time. With one connection, this process's threads queue
        # for it in turn; with several they would poll for the file's lock, and some starve for a second.
        engine = create_engine(
            url,
            pool_size=1,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            connect_args={"timeout": busy_s},
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin if reads_only else _begin_immediate)
        return engine
    engine = create_engine(
        url,
        pool_timeout=POOL_WAIT_S,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_S,
            # A server that vanishes without a word is noticed in seconds rather than in hours.
            "tcp_user_timeout": busy_s * 1000,
            "keepalives_idle": 30,
            # A pooler that deals out transactions gives the next one to a server that has prepared nothing.
            "prepare_threshold": None,
        },
        hide_parameters=True,
    )

    def connect(_dialect: object, _record: object, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        from callapp.call_log.postgres import ImpatientConnection  # psycopg, which not everybody needs

        connection = ImpatientConnection.connect(*args, **options)
        connection.most_s = busy_s + 1  # after the server's own limit, set below: that says more
        return connection

    event.listen(engine, "do_connect", connect)

    def limit_waits(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {busy_s * 1000}")
        connection.commit()

    event.listen(engine, "connect", limit_waits)
    event.listen(engine, "handle_error", _leave_read_only)
    return engine


def _leave_read_only(context: ExceptionContext) -> None:
    # Where a standby took over, the connections made before everybody knew lead to one that stays read-only,
    # and work in all other respects.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Left alone, the driver begins a transaction at the first write, by its own rules.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # In WAL mode this loses nothing but the last moments before a power cut, and saves an fsync a commit.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    # Who only reads sees the database as it was when they began, and is in no writer's way.
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once, without waiting its turn,
    # if another process wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
