from __future__ import annotations

from tests.web.conftest import MakeWorld, World


def test_the_service_says_its_name(world: World) -> None:
    answer = world.client.get("/")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["name"] == "callapp"
    assert answer.json["version"]


def test_ready_while_another_call_can_be_taken(make_world: MakeWorld) -> None:
    world = make_world(max_concurrent_calls=1)
    assert world.client.get("/readyz").status_code == 200
    world.services.registry.take_slot("a call")
    answer = world.client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "full"})
    assert world.client.get("/healthz").status_code == 200


def test_not_ready_while_draining_but_alive(world: World) -> None:
    world.services.registry.drain_requested = True
    answer = world.client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "draining"})
    assert world.client.get("/healthz").status_code == 200


def test_health_needs_no_key_from_anywhere(make_world: MakeWorld) -> None:
    world = make_world(callapp_api_key="k")
    for path in ("/", "/healthz", "/readyz"):
        answer = world.client.get(
            path, environ_base={"REMOTE_ADDR": "203.0.113.5"}, base_url="https://x.example.com"
        )
        assert answer.status_code == 200
