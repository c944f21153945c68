"""What a call would have cost at OpenAI: the usage it reported, at published prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# USD for a million tokens: text in, cached, out; audio in, cached, out. The model pages of
# https://platform.openai.com/docs/models, read 2026-11.
_PRICES = {
    "gpt-realtime-2.1-mini": {"text": (0.60, 0.06, 2.40), "audio": (10.0, 0.30, 20.0)},
}
# USD for a minute of what the caller said.
_TRANSCRIPTION_PRICES = {"gpt-transcribe": 0.0045}


def model_usd(model: str, usages: Iterable[Mapping[str, Any]]) -> float | None:
    """Price the ``usage`` of each ``response.done``; None when the model's prices are not known."""
    prices = _PRICES.get(model)
    if prices is None:
        return None
    microdollars = 0.0
    for usage in usages:
        read, written = usage["input_token_details"], usage["output_token_details"]
        for kind, (new_price, cached_price, written_price) in prices.items():
            tokens, cached = read[f"{kind}_tokens"], read["cached_tokens_details"][f"{kind}_tokens"]
            microdollars += (tokens - cached) * new_price + cached * cached_price
            microdollars += written[f"{kind}_tokens"] * written_price
    return microdollars / 1e6


def transcription_usd(model: str, usages: Iterable[Mapping[str, Any]]) -> float | None:
    """Price the ``usage`` of each finished transcription; None when it is not known or not by time."""
    price = _TRANSCRIPTION_PRICES.get(model)
    listed = list(usages)
    if price is None or any(usage["type"] != "duration" for usage in listed):
        return None
    return price * sum(float(usage["seconds"]) for usage in listed) / 60
