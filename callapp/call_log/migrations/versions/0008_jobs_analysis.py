"""Jobs, which are webhooks to be sent and calls to be analysed; and what came of an analysis."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("call_sid", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("body", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("call_sid", "kind", name="uq_jobs_call_sid_kind"),
    )
    op.create_index("ix_jobs_due_at", "jobs", ["due_at"])
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("summary", sa.String(), nullable=True))
        calls.add_column(sa.Column("verdict", sa.String(), nullable=True))
        calls.add_column(sa.Column("tags", sa.JSON(), nullable=True))
        calls.add_column(sa.Column("extracted", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_table("jobs")
    with op.batch_alter_table("calls") as calls:
        for column in ("extracted", "tags", "verdict", "summary"):
            calls.drop_column(column)
