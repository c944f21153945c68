"""Who answered a call, as the carrier found out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("answered_by", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("calls", "answered_by")
