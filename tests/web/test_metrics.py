"""``GET /metrics``: for those who have the key, and as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.web.conftest import API_KEY, MakeWorld


def test_metrics_want_the_api_key(make_world: MakeWorld) -> None:
    world = make_world(callapp_api_key=API_KEY)
    assert world.client.get("/metrics").status_code == 401
    answer = world.client.get("/metrics", headers={"Authorization": f"Bearer {API_KEY}"})
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")


def test_metrics_show_how_things_stand(make_world: MakeWorld) -> None:
    world = make_world(max_concurrent_calls=7)
    world.services.registry.take_slot("a call")
    text = world.client.get("/metrics").get_data(as_text=True)
    shown = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert shown["callapp_calls_capacity"] == 7
    assert shown["callapp_slots_taken"] == 1
    assert shown["callapp_calls_active"] == 0
