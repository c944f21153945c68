"""What the carrier charged for a call, and when to ask for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("carrier_usd", sa.Double(), nullable=True))
        calls.add_column(sa.Column("settle_at", sa.DateTime(timezone=True), nullable=True))
        calls.add_column(sa.Column("settle_tries", sa.Integer(), nullable=False, server_default="0"))
        calls.create_index("ix_calls_settle_at", ["settle_at"])


def downgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.drop_index("ix_calls_settle_at")
        for column in ("settle_tries", "settle_at", "carrier_usd"):
            calls.drop_column(column)
