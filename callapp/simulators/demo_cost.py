"""What a call would have cost at OpenAI: the usage it reported, at published prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from callapp.prices import model_prices, usd_per_minute


def model_usd(model: str, usages: Iterable[Mapping[str, Any]]) -> float | None:
    """Price the ``usage`` of each ``response.done``; None when the model's prices are not known."""
    prices = model_prices(model)
    if prices is None:
        return None
    usd = 0.0
    for usage in usages:
        read, written = usage["input_token_details"], usage["output_token_details"]
        for kind, price in (("text_tokens", prices.text), ("audio_tokens", prices.audio)):
            usd += price.usd(read[kind], read["cached_tokens_details"][kind], written[kind])
    return usd


def transcription_usd(model: str, usages: Iterable[Mapping[str, Any]]) -> float | None:
    """Price the ``usage`` of each finished transcription; None when it is not known or not by time."""
    price = usd_per_minute(model)
    listed = list(usages)
    if price is None or any(usage["type"] != "duration" for usage in listed):
        return None
    return price * sum(float(usage["seconds"]) for usage in listed) / 60
