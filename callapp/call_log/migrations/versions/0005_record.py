"""The record of a call: what was said and done, how fast, and what was used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("calls") as calls:
        calls.add_column(sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True))
        calls.add_column(sa.Column("end_reason", sa.String(), nullable=True))
        calls.add_column(sa.Column("model", sa.String(), nullable=True))
        calls.add_column(sa.Column("transcription_model", sa.String(), nullable=True))
        calls.add_column(sa.Column("first_audio_ms", sa.Double(), nullable=True))
        calls.create_index("ix_calls_created_at", ["created_at"])
    op.create_table(
        "utterances",
        sa.Column("call_sid", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=True),
        sa.Column("start_ms", sa.Double(), nullable=False),
        sa.Column("end_ms", sa.Double(), nullable=False),
        sa.Column("interrupted", sa.Boolean(), nullable=False),
        sa.Column("meant", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("call_sid", "item_id", name="pk_utterances"),
    )
    op.create_table(
        "turns",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("call_sid", sa.String(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.Double(), nullable=False),
        sa.Column("voice_to_voice_ms", sa.Double(), nullable=False),
        sa.Column("audible_ms", sa.Double(), nullable=False),
        sa.Column("barge_in", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_turns"),
    )
    op.create_index("ix_turns_call_sid", "turns", ["call_sid"])
    op.create_table(
        "tool_runs",
        sa.Column("call_sid", sa.String(), nullable=False),
        sa.Column("tool_call_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("arguments", sa.String(), nullable=False),
        sa.Column("output", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("start_ms", sa.Double(), nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("call_sid", "tool_call_id", name="pk_tool_runs"),
    )
    op.create_table(
        "usage_reports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("call_sid", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Double(), nullable=False),
        sa.Column("input_text", sa.Integer(), nullable=False),
        sa.Column("input_audio", sa.Integer(), nullable=False),
        sa.Column("cached_text", sa.Integer(), nullable=False),
        sa.Column("cached_audio", sa.Integer(), nullable=False),
        sa.Column("output_text", sa.Integer(), nullable=False),
        sa.Column("output_audio", sa.Integer(), nullable=False),
        sa.Column("transcribed_s", sa.Double(), nullable=False),
        sa.Column("model_usd", sa.Double(), nullable=True),
        sa.Column("transcription_usd", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_usage_reports"),
    )
    op.create_index("ix_usage_reports_call_sid", "usage_reports", ["call_sid"])
    op.create_table(
        "call_events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("call_sid", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Double(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_call_events"),
    )
    op.create_index("ix_call_events_call_sid", "call_events", ["call_sid"])


def downgrade() -> None:
    for table in ("call_events", "usage_reports", "tool_runs", "turns", "utterances"):
        op.drop_table(table)
    with op.batch_alter_table("calls") as calls:
        calls.drop_index("ix_calls_created_at")
        for column in (
            "first_audio_ms",
            "transcription_model",
            "model",
            "end_reason",
            "answered_at",
        ):
            calls.drop_column(column)
