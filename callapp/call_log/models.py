"""The tables. Their history is in ``migrations/``; a test holds the two against each other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Dialect, MetaData, TypeDecorator, UniqueConstraint, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC; SQLite would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Constraints have predictable names, so that a later migration can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: JSON(none_as_null=True),
        dict[str, str]: JSON,
        list[Any]: JSON,
        datetime: UtcTime,
    }


class CallRow(Base):
    """A call. One that we place has an id of ours before Twilio names it; that of any other is its SID."""

    __tablename__ = "calls"

    id: Mapped[str] = mapped_column(primary_key=True)
    call_sid: Mapped[str | None] = mapped_column(unique=True)
    direction: Mapped[str]
    agent: Mapped[str]
    parameters: Mapped[dict[str, str]]
    from_number: Mapped[str]
    to_number: Mapped[str]
    status: Mapped[str]
    # Twilio's SequenceNumber of the callback that brought the status; None before the first one.
    status_sequence: Mapped[int | None]
    # Twilio's AnsweredBy: human, machine_end_beep …; None while, or where, nobody listened for it.
    answered_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]
    model: Mapped[str | None]
    transcription_model: Mapped[str | None]
    first_audio_ms: Mapped[float | None]
    carrier_usd: Mapped[float | None]
    recording_path: Mapped[str | None]
    recording_seconds: Mapped[float | None]
    # When to ask the carrier what it knows of the call, or to close one that it knows nothing of if that has
    # not come to be; None for not at all, or not any more.
    settle_at: Mapped[datetime | None] = mapped_column(index=True)
    settle_tries: Mapped[int] = mapped_column(server_default="0")
    # What came of its analysis; None while there is none. Extracted data may be None after it, too.
    summary: Mapped[str | None]
    verdict: Mapped[str | None]
    tags: Mapped[list[str] | None]
    extracted: Mapped[dict[str, Any] | None]


class UtteranceRow(Base):
    """What somebody said, as it was heard; ``meant`` is all of it, where it was cut.

    ``growing`` is what is still being said, or written down.
    """

    __tablename__ = "utterances"

    call_sid: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    text: Mapped[str | None]
    start_ms: Mapped[float]
    end_ms: Mapped[float]
    interrupted: Mapped[bool]
    meant: Mapped[str | None]
    growing: Mapped[bool] = mapped_column(server_default=false())


class TurnRow(Base):
    """How soon the agent answered one turn of the caller's."""

    __tablename__ = "turns"

    id: Mapped[str] = mapped_column(primary_key=True)
    call_sid: Mapped[str] = mapped_column(index=True)
    index: Mapped[int]
    at_ms: Mapped[float]
    voice_to_voice_ms: Mapped[float]
    audible_ms: Mapped[float]
    barge_in: Mapped[bool]


class ToolRunRow(Base):
    """A tool that the model called. Arguments are the model's own text, JSON or not."""

    __tablename__ = "tool_runs"

    call_sid: Mapped[str] = mapped_column(primary_key=True)
    tool_call_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    arguments: Mapped[str]
    output: Mapped[str | None]
    outcome: Mapped[str]
    start_ms: Mapped[float]
    duration_ms: Mapped[float]


class UsageRow(Base):
    """What OpenAI reported to have used, once, and its price then; ``None`` if not known.

    The tokens of the analysis, which is no part of the talk, are counted by themselves.
    """

    __tablename__ = "usage_reports"

    id: Mapped[str] = mapped_column(primary_key=True)
    call_sid: Mapped[str] = mapped_column(index=True)
    at_ms: Mapped[float]
    input_text: Mapped[int]
    input_audio: Mapped[int]
    cached_text: Mapped[int]
    cached_audio: Mapped[int]
    output_text: Mapped[int]
    output_audio: Mapped[int]
    transcribed_s: Mapped[float]
    analysis_read: Mapped[int] = mapped_column(server_default="0")
    analysis_written: Mapped[int] = mapped_column(server_default="0")
    model_usd: Mapped[float | None]
    transcription_usd: Mapped[float | None]
    analysis_usd: Mapped[float | None] = mapped_column(server_default="0")


class CallEventRow(Base):
    """Anything else that happened on a call."""

    __tablename__ = "call_events"

    id: Mapped[str] = mapped_column(primary_key=True)
    call_sid: Mapped[str] = mapped_column(index=True)
    at_ms: Mapped[float]
    type: Mapped[str]
    detail: Mapped[dict[str, Any]]


class RecordingPartRow(Base):
    """What one process recorded of a call, in milliseconds of the call; most have one part."""

    __tablename__ = "recording_parts"

    call_sid: Mapped[str] = mapped_column(primary_key=True)
    from_ms: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str]


class StreamTokenRow(Base):
    """A one-time token that has not been redeemed yet. Only its hash is stored."""

    __tablename__ = "stream_tokens"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    slot_key: Mapped[str]
    call_sid: Mapped[str]
    agent: Mapped[str]
    parameters: Mapped[dict[str, str]]
    direction: Mapped[str]
    from_number: Mapped[str]
    to_number: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UpgradeTicketRow(Base):
    """What lets a signed-in browser open ``/ws`` once. Only its hash is stored."""

    __tablename__ = "upgrade_tickets"

    ticket_hash: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AwayRow(Base):
    """A call that has left its stream and may come back, to any process.

    ``trip`` says what for, ``said`` what was said so far as ``[role, text, interrupted]``.
    """

    __tablename__ = "calls_away"

    call_sid: Mapped[str] = mapped_column(primary_key=True)
    slot_key: Mapped[str]
    agent: Mapped[str]
    parameters: Mapped[dict[str, str]]
    direction: Mapped[str]
    from_number: Mapped[str]
    to_number: Mapped[str]
    trip: Mapped[dict[str, Any]]
    said: Mapped[list[Any]]
    elapsed_ms: Mapped[int]
    spent_usd: Mapped[float] = mapped_column(server_default="0")
    # Of a warm transfer: where the caller waits, and the colleague's call.
    room: Mapped[str | None]
    colleague_sid: Mapped[str | None]
    # Set once, by whoever is first: the caller is on the way back, or the call is over for us.
    coming_back: Mapped[bool]
    why: Mapped[str]
    outcome: Mapped[str | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class NoticeRow(Base):
    """What one process tells the others, for some seconds."""

    __tablename__ = "notices"

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    body: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime]


class IdempotencyKeyRow(Base):
    """An ``Idempotency-Key`` that was used; ``answer_status`` is ``None`` while the first request runs."""

    __tablename__ = "idempotency_keys"

    api_key_hash: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    claim_id: Mapped[str] = mapped_column(unique=True)
    body_hash: Mapped[str]
    claimed_at: Mapped[datetime]
    answer_status: Mapped[int | None]
    answer_body: Mapped[dict[str, Any] | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class JobRow(Base):
    """Something to be done about a call, however often it takes; a call has one of each kind at most.

    It stays when it is over, so that it is not done twice; what it was to send does not.
    """

    __tablename__ = "jobs"
    __table_args__ = (UniqueConstraint("call_sid", "kind", name="uq_jobs_call_sid_kind"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    call_sid: Mapped[str]
    created_at: Mapped[datetime]
    # Not before then; None once it is over.
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    attempts: Mapped[int]
    # What is to be sent, the same at every attempt; None before the first one.
    body: Mapped[str | None]
    # done or failed; None until it is over.
    outcome: Mapped[str | None]
