"""A database with our tables, of either kind, as for the call log."""

from __future__ import annotations

from tests.call_log.conftest import database, empty_database, postgres, store

__all__ = ["database", "empty_database", "postgres", "store"]
