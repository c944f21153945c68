"""What OpenAI charges, as published: ``prices.json`` beside this file, which says when it was read.

A model that is not in it costs an unknown amount, never a guessed one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

_FILE = Path(__file__).with_name("prices.json")


class TokenCounts(Protocol):
    """Tokens that were read and written; the cached ones are among those read."""

    @property
    def input_text(self) -> int: ...
    @property
    def input_audio(self) -> int: ...
    @property
    def cached_text(self) -> int: ...
    @property
    def cached_audio(self) -> int: ...
    @property
    def output_text(self) -> int: ...
    @property
    def output_audio(self) -> int: ...


@dataclass(frozen=True)
class TokenPrices:
    """USD for a million tokens of one kind."""

    input: float
    cached: float
    output: float

    def usd(self, read: int, cached: int, written: int) -> float:
        """Price some tokens; ``cached`` are those of ``read`` that were in the cache."""
        cached = min(cached, read)
        return ((read - cached) * self.input + cached * self.cached + written * self.output) / 1e6


@dataclass(frozen=True)
class ModelPrices:
    """What a speech-to-speech model charges."""

    text: TokenPrices
    audio: TokenPrices

    def usd(self, tokens: TokenCounts) -> float:
        """Price what one response took."""
        return self.text.usd(tokens.input_text, tokens.cached_text, tokens.output_text) + self.audio.usd(
            tokens.input_audio, tokens.cached_audio, tokens.output_audio
        )


@dataclass(frozen=True)
class TextTokens:
    """What one answer of a text model took: those from the cache, and put there, are among those read."""

    read: int
    cached: int
    cache_written: int
    written: int


def model_prices(model: str) -> ModelPrices | None:
    """The prices of a speech-to-speech model; ``None`` if they are not known."""
    prices = _table()["usd_per_million_tokens"].get(model)
    if prices is None:
        return None
    return ModelPrices(TokenPrices(**prices["text"]), TokenPrices(**prices["audio"]))


def usd_per_minute(model: str) -> float | None:
    """What a transcription model charges for a minute of speech; ``None`` if that is not known."""
    price: float | None = _table()["usd_per_minute"].get(model)
    return price


def text_usd(model: str, tokens: TextTokens) -> float | None:
    """What an answer of a text model cost; ``None`` if its prices are not known."""
    prices = _table()["usd_per_million_text_tokens"].get(model)
    if prices is None:
        return None
    plain = TokenPrices(prices["input"], prices["cached"], prices["output"])
    extra: float = tokens.cache_written * (prices["cache_write"] - prices["input"]) / 1e6
    return plain.usd(tokens.read, tokens.cached, tokens.written) + extra


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return table
