"""Where the recording of a call is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("recording_path", sa.String(), nullable=True))
        calls.add_column(sa.Column("recording_seconds", sa.Double(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        for column in ("recording_seconds", "recording_path"):
            calls.drop_column(column)
