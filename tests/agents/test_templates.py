from __future__ import annotations

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.agents import templates
from callapp.agents.templates import TemplateFault


def assert_nothing_is_missing(text: str, values: dict[str, str]) -> None:
    jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(text).render(values)


def test_values_are_filled_in() -> None:
    assert templates.fill("{{ name }}様、{{name}}様", {"name": "田中"}) == "田中様、田中様"


def test_a_missing_value_is_left_empty() -> None:
    assert templates.fill("[{{ name }}]{% if vip %}!{% endif %}", {}) == "[]"


def test_a_value_is_never_taken_for_a_template() -> None:
    values = {"name": "{{ secret }}{% for x in y %}<b>&", "secret": "s3cret"}
    assert templates.fill("{{ name }}", values) == values["name"]


def test_needed_are_the_names_without_a_default() -> None:
    text = "{{ b }} {{ a | upper }} {{ c | default('x') }} {% if d is defined %}{{ d }}{% endif %} {{ a }}"
    assert templates.needed(text) == ("a", "b")
    templates.check(text)
    assert templates.fill(text, {"a": "x", "b": "y"}) == "y X x  x"


def test_what_is_needed_is_all_that_a_text_asks_for() -> None:
    text = "{% if vip == 'yes' %}{{ name }}{% else %}{{ fallback | default(other) }}{% endif %}"
    needed = templates.needed(text)
    assert needed == ("name", "other", "vip")
    assert_nothing_is_missing(text, dict.fromkeys(needed, "x"))


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ name.upper() }}",
        "{{ name['a'] }}",
        "{{ range(10) }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 9 ** 9 }}",
        "{{ customer-id }}",
        "{{ name | center(1000000000) }}",
        "{{ name | attr('upper') }}",
        "{{ name ~ name }}",
        "{{ self }}",
        "{% if name < 3 %}{% endif %}",
        "{% if name is divisibleby 3 %}{% endif %}",
        "{% set x = 1 %}",
        "{% macro f() %}{% endmacro %}",
        "{% include 'passwd' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% filter upper %}{% endfilter %}",
    ],
)
def test_what_could_loop_raise_or_reach_out_is_a_fault(text: str) -> None:
    with pytest.raises(TemplateFault, match="cannot be used in a template") as caught:
        templates.check(f"a\n{text}")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "text", ["{{ name", "{{ }}", "{% if %}", "{% endif %}", "{# open", "{{ a b }}", "{{ a | nope }}"]
)
def test_what_is_no_template_is_a_fault(text: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        templates.check(f"a\nb\n{text}")
    assert caught.value.line == 3


@pytest.mark.parametrize(
    "text",
    [
        "{{ name | upper(1, 2, 3) }}",
        "{{ name | trim(1) }}",
        "{{ 'x' | upper(1) }}",
        "{{ name is defined(1) }}",
        "{% if vip == 'yes' %}{{ name | upper(1) }}{% endif %}",
        "{% if vip %}{{ name }}{% elif name == (vip | trim(1)) %}!{% else %}{{ name }}{% endif %}",
        "{{ vip or (name | upper(1)) }}",
        "{{ name | default(vip and (name | upper(1)) or 'x') }}",
        "{{ name | upper(*vip) }}",
        "{{ name | trim(*vip) }}",
        "{{ name | trim(vip) }}",
        "{{ name | trim((vip == 'yes') or 'x') }}",
        "{{ name | default(**vip) }}",
    ],
)
def test_wrong_arguments_are_a_fault_wherever_they_stand(text: str) -> None:
    """Also in a branch that few calls take: it would be the caller of one of them who hears of it."""
    with pytest.raises(TemplateFault) as caught:
        templates.check(f"a\n{text}")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "text",
    ["{% if a %}" * 120 + "x" + "{% endif %}" * 120, "{{ " + "not " * 5000 + "a }}", "{{ " + "(" * 5000],
    ids=["branches", "operators", "brackets"],
)
def test_what_is_nested_beyond_what_python_takes_is_a_fault(text: str) -> None:
    """It was loaded, and each call of the agent failed."""
    with pytest.raises(TemplateFault, match="nested too deeply"):
        templates.check(text)


def test_a_filter_whose_argument_hangs_on_the_call_is_told_how_it_would_do() -> None:
    with pytest.raises(TemplateFault, match="what trim is given has to be written out; expected"):
        templates.check("{{ name | trim(vip) }}")
    templates.check("{{ name | trim('.') | default(vip) }}")


def test_braces_can_be_written() -> None:
    text = "{{ '{{' }} {% raw %}{{ name }}{% endraw %} { } #"
    templates.check(text)
    assert templates.needed(text) == ()
    assert templates.fill(text, {}) == "{{ {{ name }} { } #"


@given(st.text(alphabet="{}%#| abif'endx=.()[]\n"))
def test_a_text_that_was_checked_can_always_be_filled(text: str) -> None:
    try:
        templates.check(text)
    except TemplateFault:
        return
    templates.fill(text, {})
    values = dict.fromkeys(templates.needed(text), "{{ x }}")
    templates.fill(text, values)
    assert_nothing_is_missing(text, values)


@given(st.text(), st.text())
def test_any_value_arrives_as_it_is(before: str, value: str) -> None:
    before = before.replace("{", "").replace("\r", "")
    assert templates.fill(before + "{{ v }}.", {"v": value}) == f"{before}{value}."
