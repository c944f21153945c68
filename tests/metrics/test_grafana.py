"""The dashboard file: read by Grafana's own types, with questions that Prometheus understands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import prometheus, stat, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import Counter, Gauge, Histogram

from callapp.metrics.instruments import Instruments

FILE = Path(__file__).parents[2] / "callapp" / "metrics" / "grafana.json"
FILLED_IN = {"$__rate_interval": "5m", "$job": "callapp"}
"""What Grafana puts into a question before it asks."""

OPTIONS = {"stat": stat.Options, "timeseries": timeseries.Options}
SUFFIXES = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_count", "_sum")}
PROMETHEUS_OWN = {"job", "le"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def lost(given: Any, read: Any, path: str = "") -> Iterator[str]:
    """What is not there any more, or is another thing, once Grafana's types have read it."""
    if isinstance(given, dict) and isinstance(read, dict):
        for name, value in given.items():
            yield from lost(value, read.get(name, "nothing"), f"{path}.{name}")
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for index, value in enumerate(given):
            yield from lost(value, read[index], f"{path}[{index}]")
    elif given != read:
        yield f"{path}: {given!r} was read as {read!r}"


def read_by(kind: Any, given: dict[str, Any]) -> Any:
    return json.loads(JSONEncoder().encode(kind.from_json(given)))


def parsed(dashboard: dict[str, Any]) -> Iterator[Any]:
    """All that the panels ask, as Prometheus' grammar has it; raises for what it would not take."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in FILLED_IN.items():
                text = text.replace(name, value)
            yield promql_parser.parse(text)


def parts(expression: Any) -> Iterator[Any]:
    """An expression and all that is inside it."""
    yield expression
    for name in ("args", "expr", "lhs", "rhs", "vector_selector"):
        inner = getattr(expression, name, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None:
                yield from parts(one)


def series() -> dict[str, set[str]]:
    """Every series there is, and its labels."""
    found = {}
    for number in vars(Instruments()).values():
        for kind, suffixes in SUFFIXES.items():
            if isinstance(number, kind):
                for suffix in suffixes:
                    found[number._name + suffix] = {*number._labelnames, *PROMETHEUS_OWN}
    return found


def test_grafana_s_own_types_read_all_of_it(dashboard: dict[str, Any]) -> None:
    assert list(lost(dashboard, read_by(Dashboard, dashboard))) == []
    for panel in panels(dashboard):
        assert list(lost(panel["options"], read_by(OPTIONS[panel["type"]], panel["options"]))) == []
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        assert list(lost(custom, read_by(timeseries.FieldConfig, custom))) == []
        for target in panel["targets"]:
            assert list(lost(target, read_by(prometheus.Dataquery, target))) == []


def test_every_question_is_about_numbers_and_labels_that_there_are(dashboard: dict[str, Any]) -> None:
    known, asked = series(), set()
    for expression in parsed(dashboard):
        inner = list(parts(expression))
        selectors = [one for one in inner if isinstance(one, promql_parser.VectorSelector)]
        assert selectors
        labels = {label for one in selectors for label in known[one.name]}
        asked |= {one.name for one in selectors}
        for one in selectors:
            assert {matcher.name for matcher in one.matchers.matchers} <= known[one.name]
        for one in inner:
            if isinstance(one, promql_parser.AggregateExpr) and one.modifier is not None:
                assert set(one.modifier.labels) <= labels
    shown = {re.sub("_(bucket|count|sum)$", "", name) for name in asked}
    there = {re.sub("_(bucket|count|sum)$", "", name) for name in known}
    assert shown == there, "a number that no panel shows, or a panel without one"


def test_panels_have_names_and_places_of_their_own(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + across, place["y"] + down)
            for across in range(place["w"])
            for down in range(place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_it_asks_for_its_data_source_when_it_is_loaded(dashboard: dict[str, Any]) -> None:
    """A file that names somebody's own data source shows nothing anywhere else."""
    variable = dashboard["templating"]["list"][0]
    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    for panel in panels(dashboard):
        for holder in (panel, *panel["targets"]):
            assert holder["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
