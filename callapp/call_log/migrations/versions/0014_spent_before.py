"""What a call that is away had cost when it left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("calls_away") as away:
        away.add_column(sa.Column("spent_usd", sa.Double(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("calls_away") as away:
        away.drop_column("spent_usd")
