"""What OpenAI reports to have used for a call, as rows, with the price of that day."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from callapp.call.journal import Particulars
from callapp.call_log.models import CallRow, UsageRow
from callapp.call_log.statements import held
from callapp.conversation.events import Usage
from callapp.conversation.facts import Used
from callapp.prices import ModelPrices, TextTokens, model_prices, text_usd, usd_per_minute


def usage_row(row_id: str, call: Particulars, used: Used) -> dict[str, Any]:
    """What the model's service reported in mid-call."""
    usage = used.usage
    prices, minute_usd = model_prices(call.model), usd_per_minute(call.transcription_model or "")
    transcription_usd: float | None = 0.0
    if usage.transcribed_s:
        transcription_usd = None if minute_usd is None else usage.transcribed_s / 60 * minute_usd
    return {
        "id": row_id,
        "call_sid": call.call_sid,
        "at_ms": used.at_ms,
        "input_text": usage.input_text,
        "input_audio": usage.input_audio,
        "cached_text": usage.cached_text,
        "cached_audio": usage.cached_audio,
        "output_text": usage.output_text,
        "output_audio": usage.output_audio,
        "transcribed_s": usage.transcribed_s,
        "model_usd": _model_usd(usage, prices),
        "transcription_usd": transcription_usd,
    }


def write_analysis_usage(session: Session, call_sid: str, model: str, tokens: TextTokens | None) -> None:
    """Write down what one answer of a text model about a call took; nothing if the call was deleted.

    Args:
        tokens: ``None`` if the service does not say: then what the call cost is not known any more.
    """
    if session.scalar(held(select(CallRow.id).where(CallRow.call_sid == call_sid))) is None:
        return
    nothing = dict.fromkeys(
        ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio"), 0
    )
    session.execute(
        insert(UsageRow).values(
            id=uuid.uuid4().hex,
            call_sid=call_sid,
            at_ms=0.0,  # after the call: no moment of it
            **nothing,
            transcribed_s=0.0,
            model_usd=0.0,
            transcription_usd=0.0,
            analysis_read=tokens.read if tokens else 0,
            analysis_written=tokens.written if tokens else 0,
            analysis_usd=text_usd(model, tokens) if tokens else None,
        )
    )


def _model_usd(usage: Usage, prices: ModelPrices | None) -> float | None:
    """What tokens cost: nothing where there are none, whatever the model."""
    if prices is not None:
        return prices.usd(usage)
    return 0.0 if usage == Usage(transcribed_s=usage.transcribed_s) else None
