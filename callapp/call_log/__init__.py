"""The call log: the state that all processes share, in SQLite or PostgreSQL."""

from __future__ import annotations

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
]
