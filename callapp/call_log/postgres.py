"""Connections to PostgreSQL that do not wait for ever.

A server whose disc is stuck, or a pooler whose server is gone, keeps the connection alive and answers
nothing: neither the server's own limit nor the system's ends that.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

T = TypeVar("T")

# How often it is seen whether the socket is still there, as psycopg does it.
LOOK_S = 0.1
# A batch may take so many times as long as a statement: the server may say nothing until all of it is done.
BATCH_TIMES = 10


class ImpatientConnection(psycopg.Connection[Any]):
    """Gives itself up when an answer takes longer than ``most_s``."""

    most_s: float | None = None
    """For ever at first; ``connect`` has a limit of its own."""

    def wait(self, gen: PQGen[T], interval: float = LOOK_S, timeout: float | None = None) -> T:
        """As psycopg's, with our limit where it has none. Its cursors do all of their waiting by it."""
        most_s = self.most_s
        if most_s is not None and self.pgconn.pipeline_status:  # which is how psycopg sends a batch
            most_s *= BATCH_TIMES
        try:
            return super().wait(gen, interval, most_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - what it documents to raise
            if timeout is not None:
                raise
            self.pgconn.finish()  # the answer may still come, and would be taken for the next one
            raise psycopg.OperationalError(f"no answer within {most_s:g} s") from error
