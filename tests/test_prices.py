"""Prices: those of OpenAI's pages, and none that were guessed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import callapp.prices
from callapp.agents.fields import Transcription
from callapp.call.pricing import pricing
from callapp.conversation.events import Usage
from callapp.prices import TextTokens, model_prices, text_usd, usd_per_minute
from callapp.settings import Settings

DEFAULT = Settings().openai_realtime_model


def test_the_models_we_use_by_default_have_a_price() -> None:
    assert model_prices(DEFAULT) is not None
    assert usd_per_minute(Transcription().model) is not None


def test_the_model_that_analyses_calls_by_default_has_a_price() -> None:
    tokens = TextTokens(read=1_000_000, cached=200_000, cache_written=100_000, written=10_000)
    usd = text_usd(Settings().analysis_model, tokens)
    assert usd == pytest.approx(0.7 * 0.20 + 0.2 * 0.02 + 0.1 * 0.25 + 0.01 * 1.20)
    assert text_usd("gpt-99", tokens) is None


def test_cached_tokens_are_a_part_of_those_read() -> None:
    prices = model_prices("gpt-realtime-2.1")
    assert prices is not None
    usage = Usage(
        input_text=1_000_000, cached_text=250_000, output_text=100_000, input_audio=10_000, output_audio=5_000
    )
    assert prices.usd(usage) == pytest.approx(0.75 * 4 + 0.25 * 0.40 + 0.1 * 24 + 0.01 * 32 + 0.005 * 64)
    assert prices.usd(Usage(input_audio=100, cached_audio=900)) == pytest.approx(100 * 0.40 / 1e6)


def test_a_minute_of_speech_costs_what_the_readme_says() -> None:
    """600 tokens a minute for the caller, 1,200 for the agent."""
    rows = {}
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for line in readme.partition("## What a call costs")[2].splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        rows[cells[0]] = cells[1:]
    models = rows[""]
    for column, model in enumerate(models):
        prices = model_prices(model)
        assert prices is not None
        caller = prices.usd(Usage(input_audio=600))
        agent = prices.usd(Usage(output_audio=1200))
        assert caller == pytest.approx(float(rows["a minute of the caller's speech"][column]))
        assert agent == pytest.approx(float(rows["a minute of the agent's speech"][column]))


def test_the_table_says_when_and_where_it_was_read() -> None:
    table = json.loads(Path(callapp.prices.__file__).with_name("prices.json").read_text(encoding="utf-8"))
    assert table["read"] >= "2026-11"
    assert table["source"].startswith("https://")


def test_a_model_of_tomorrow_has_no_price_which_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    assert model_prices("a-model-of-tomorrow") is None
    with caplog.at_level(logging.WARNING):
        assert pricing("a-model-of-tomorrow", Transcription().model) is None
        assert pricing("a-model-of-tomorrow", Transcription().model) is None
    assert [record.getMessage() for record in caplog.records] == [
        "! the prices of a-model-of-tomorrow are not known: MAX_CALL_COST_USD does not hold for its calls"
    ]


def test_a_call_pays_for_its_transcription_too() -> None:
    usd_of = pricing(DEFAULT, Transcription().model)
    assert usd_of is not None
    assert usd_of(Usage(transcribed_s=60)) == pytest.approx(0.0045)
    assert usd_of(Usage(output_audio=1200, transcribed_s=30)) == pytest.approx(0.024 + 0.00225)
