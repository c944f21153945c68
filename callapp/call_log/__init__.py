"""The call log: the state that all processes share, in SQLite or PostgreSQL."""

from __future__ import annotations

from callapp.call_log import schema
from callapp.call_log.records import Admission, Claim, ClaimOutcome, PlacedCall
from callapp.call_log.store import Store, StoreUnavailable, Taken

__all__ = [
    "Admission",
    "Claim",
    "ClaimOutcome",
    "PlacedCall",
    "Store",
    "StoreUnavailable",
    "Taken",
    "open_store",
]


def open_store(database_url: str) -> Store:
    """Make the database ready and open it.

    Raises:
        ConfigError: it cannot be opened, or it is a PostgreSQL on which ``flask db upgrade`` is due.
    """
    schema.prepare(database_url)
    return Store(database_url)
