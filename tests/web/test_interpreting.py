"""What an interpreted call is told of its price, and whom it may ring."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from callapp import create_app
from callapp.agents import Agent
from callapp.call.pairing import Place
from callapp.call_log import Admission
from callapp.errors import CarrierRefused, CarrierTimeout
from callapp.settings import Settings
from callapp.web.interpreting import CannotCall, interpreted_side
from tests.databases import sqlite_at
from tests.web.conftest import CALL_SID, FROM, ORIGIN, TO, MakeWorld, World, slots_after

OTHER = "+442079460000"
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
        interpreted_side(cast(Any, None), admission, agent, services, "https://voice.example.com")
    finally:
        services.close()
    assert (f"{model} " in caplog.text and "MAX_CALL_COST_USD does not hold" in caplog.text) is warned


def ring_the_other(world: World) -> None:
    """As the side of a caller who rang us does, once their stream is there."""
    agent = Agent(name="mine", instructions="", kind="interpreter", languages=("ja", "en"), other_party=OTHER)
    admission = Admission(CALL_SID, CALL_SID, "mine", Place.new().parameters, "incoming", FROM, TO)
    side = interpreted_side(cast(Any, None), admission, agent, world.services, ORIGIN)
    assert side._outside.call_partner is not None
    side._outside.call_partner()


def test_the_other_person_is_rung_and_a_line_is_kept_while_it_rings(make_world: MakeWorld) -> None:
    world = make_world(allowed_destinations=["+44"])
    ring_the_other(world)
    assert [(dial["to"], dial["from_"]) for dial in world.carrier.dialled] == [(OTHER, FROM)]
    assert [slots_after(s, world.services.registry) for s in (179, 181)] == [1, 0]


@pytest.mark.parametrize(
    ("why", "settings"),
    [
        ("ALLOWED_DESTINATIONS", {"allowed_destinations": ["+81"]}),
        ("RATE_LIMIT_PER_CALLEE", {"rate_limit_per_callee": "1/hour"}),
        ("all lines are busy", {"max_concurrent_calls": 1}),
    ],
)
def test_what_holds_for_calls_that_are_asked_for_holds_for_the_other_person(
    make_world: MakeWorld, why: str, settings: dict[str, Any]
) -> None:
    world = make_world(**settings)
    world.services.rate_limits.count_callee(OTHER)
    world.services.registry.take_slot(CALL_SID)
    with pytest.raises(CannotCall, match=why):
        ring_the_other(world)
    assert world.carrier.dialled == []
    assert world.slots == 1


def test_who_may_be_rung_all_the_same_keeps_their_line(world: World) -> None:
    """Who picks up then was promised one; and Twilio has the call, whoever else wants to make one."""
    world.carrier.error = CarrierTimeout("Twilio did not answer within 10 s")
    with pytest.raises(CarrierTimeout):
        ring_the_other(world)
    assert [slots_after(s, world.services.registry) for s in (179, 181)] == [1, 0]


def test_who_cannot_be_rung_needs_no_line(world: World) -> None:
    world.carrier.error = CarrierRefused(400, 21215, "not permitted", None)
    with pytest.raises(CarrierRefused):
        ring_the_other(world)
    assert world.slots == 0
