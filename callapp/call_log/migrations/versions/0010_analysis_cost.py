"""What the analysis of a call took, and cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("usage_reports") as usage:
        for column in ("analysis_read", "analysis_written"):
            usage.add_column(sa.Column(column, sa.Integer(), nullable=False, server_default="0"))
        usage.add_column(sa.Column("analysis_usd", sa.Double(), nullable=True, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("usage_reports") as usage:
        for column in ("analysis_usd", "analysis_written", "analysis_read"):
            usage.drop_column(column)
