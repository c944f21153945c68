"""Chooses what the processes of one callapp have in common."""

from __future__ import annotations

from callapp.call_log.engine import is_sqlite, parse_url
from callapp.peers.wire import Wire
from callapp.settings import Settings


def wire_in_common(settings: Settings, database_url: str) -> Wire | None:
    """Redis where there is one, or else PostgreSQL; ``None``: each process is by itself."""
    if settings.redis_url is not None:
        # Imported here: not everybody has a Redis, and its library is large.
        from callapp.peers.redis import Redis

        return Redis(settings.redis_url)
    if is_sqlite(parse_url(database_url)):
        return None
    from callapp.peers.postgres import Postgres

    return Postgres(database_url)
