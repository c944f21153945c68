"""Tickets with which a signed-in browser opens the media socket."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "upgrade_tickets",
        sa.Column("ticket_hash", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ticket_hash", name="pk_upgrade_tickets"),
    )
    op.create_index("ix_upgrade_tickets_expires_at", "upgrade_tickets", ["expires_at"])


def downgrade() -> None:
    op.drop_table("upgrade_tickets")
