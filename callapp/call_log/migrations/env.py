"""Alembic's entry point: runs the steps on the connection that ``schema.py`` opened."""

from __future__ import annotations

from alembic import context

import callapp.office.models  # noqa: F401 - its tables are in the same database
from callapp.call_log.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
# The caller's transaction holds all steps, on SQLite too: either all are done or none.
context.run_migrations()
