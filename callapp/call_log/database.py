"""The database as all tables are reached: short transactions, whose errors are ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.orm import Session, sessionmaker

from callapp.call_log.engine import is_sqlite, open_engine
from callapp.errors import CallappError

# https://www.postgresql.org/docs/current/errcodes-appendix.html: a right that was taken away, as Heroku does
# where a database is full, and a table that is being restored.
MENDED_BY_HAND = ("42501", "42P01")


class StoreUnavailable(CallappError):
    """The database does not answer, or refused what we asked of it."""

    @property
    def hopeless(self) -> bool:
        """Whether it will never take that, however often it is asked."""
        cause = self.__cause__
        if isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) in MENDED_BY_HAND:
            return False
        foreign = isinstance(cause, StatementError) and not isinstance(cause, DBAPIError)
        return foreign or isinstance(cause, (DataError, IntegrityError, ProgrammingError))


class Taken(StoreUnavailable):
    """A row with this key is there already."""


class Database:
    """Hands out transactions, each on a connection of its own. Safe from any thread."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self._engine = open_engine(database_url)
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)
        on_one_connection = is_sqlite(self._engine.url)
        self._reading = open_engine(database_url, reads_only=True) if on_one_connection else self._engine
        self._readers = sessionmaker(self._reading, expire_on_commit=False)

    def close(self) -> None:
        """Close every idle connection."""
        self._engine.dispose()
        self._reading.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A short transaction.

        Raises:
            Taken: a row with this key is there already.
            StoreUnavailable: anything else that the database does wrong.
        """
        with _our_errors(), self._sessions.begin() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One that may take long and writes nothing: on SQLite others get at the database meanwhile.

        Raises:
            StoreUnavailable: the database does something wrong.
        """
        with _our_errors(), self._readers.begin() as session:
            yield session


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Taken(str(error.orig)) from error
    except SQLAlchemyError as error:
        raise StoreUnavailable(str(getattr(error, "orig", None) or error)) from error
