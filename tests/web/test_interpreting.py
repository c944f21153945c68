"""What an interpreted call is told of its price."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from callapp import create_app
from callapp.agents import Agent
from callapp.call.pairing import Place
from callapp.call_log import Admission
from callapp.settings import Settings
from callapp.web.interpreting import interpreted_side
from tests.databases import sqlite_at

UNKNOWN = "model-of-tomorrow"


@pytest.mark.parametrize("engine", ["translation", "realtime"])
@pytest.mark.parametrize(("most_usd", "warned"), [(1.0, True), (None, False)])
def test_a_limit_that_cannot_hold_for_a_model_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, engine: Any, most_usd: float | None, warned: bool
) -> None:
    model = f"{UNKNOWN}-{engine}-{warned}"  # some are told of once a process
    settings = Settings(database_url=sqlite_at(tmp_path / "calls.sqlite"), max_call_cost_usd=most_usd)
    services = create_app(settings).extensions["callapp"]
    agent = Agent(
        name="mine", instructions="", kind="interpreter", languages=("ja", "en"), engine=engine, model=model
    )
    admission = Admission("CA1", "CA1", "mine", Place.new().parameters, "incoming", "+1", "+81")
    try:
        interpreted_side(cast(Any, None), "CA1", admission, agent, services, "https://voice.example.com")
    finally:
        services.close()
    assert (f"{model} " in caplog.text and "MAX_CALL_COST_USD does not hold" in caplog.text) is warned
