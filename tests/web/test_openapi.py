"""The description of the API, and an attack on the API by it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from callapp.conversation.facts import Began
from callapp.web.openapi import describe
from tests.web.conftest import API_KEY, CALL_SID, MakeWorld, World
from tests.web.test_calls import CALL, OTHER_SID, OVER, TALK, tell

EXAMPLES = 200


def test_the_document_describes_every_route_of_the_record(world: World) -> None:
    document = world.client.get("/openapi.json").json
    assert document is not None
    assert document["openapi"] == "3.1.0"
    assert {path: sorted(methods) for path, methods in document["paths"].items()} == {
        "/calls": ["get"],
        "/calls/{call_sid}": ["delete", "get"],
        "/calls/{call_sid}/captions": ["get"],
        "/calls/{call_sid}/hangup": ["post"],
        "/calls/{call_sid}/recording": ["get"],
        "/calls/{call_sid}/transcript": ["get"],
        "/calls/{call_sid}/transfer": ["post"],
    }
    call = document["components"]["schemas"]["WholeCall"]["properties"]
    assert {"callSid", "from", "to", "utterances", "toolRuns", "cost"} <= call.keys()


def test_the_document_is_drawn_from_the_app(world: World) -> None:
    assert world.client.get("/openapi.json").json == describe(world.app)


@pytest.mark.timeout(240)  # on a machine that is busy with other tests
def test_nothing_that_fits_the_document_or_does_not_breaks_the_api(make_world: MakeWorld) -> None:
    """Schemathesis sends right and wrong requests and holds each answer against the document."""
    import schemathesis  # takes long

    world = make_world(callapp_api_key=API_KEY)
    answered: Counter[int] = Counter()
    tell(world.services, TALK + OVER)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", world.app)
    operations = [result.ok() for result in schema.get_all_operations()]
    cases = st.one_of(
        one.as_strategy(generation_mode=mode) for one in operations for mode in schemathesis.GenerationMode
    )

    @seed(20261125)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def attack(case: Any) -> None:
        if case.meta.generation.mode.is_positive:  # with what no schema can know
            case.query.pop("cursor", None)
            if case.path.endswith(
                "/hangup"
            ):  # of a call that goes on; who can be transferred to, no schema knows
                case.path_parameters["call_sid"] = OTHER_SID
                tell(world.services, [Began()], replace(CALL, call_sid=OTHER_SID, began_at=datetime.now(UTC)))
            elif "call_sid" in case.path_parameters:
                case.path_parameters["call_sid"] = CALL_SID
                tell(world.services, TALK + OVER)
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {API_KEY}"})
        answered[answer.status_code] += 1

    try:
        attack()
    finally:
        world.services.record.close()
    assert answered.keys() >= {200, 202, 204, 404}, answered  # it went behind the door
