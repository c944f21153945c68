from __future__ import annotations

import datetime
import enum
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from callapp.errors import ConfigError
from callapp.tools import CallContext, tool
from callapp.tools.schema import describe

if TYPE_CHECKING:
    from collections import OrderedDict


@tool
def opening_hours(day: str) -> str:
    """Tell when the shop is open on a day of the week."""
    return "10:00-19:00"


def faults_of(function: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        describe(function)
    return caught.value.faults


def test_the_contracts_example_has_this_definition() -> None:
    assert describe(opening_hours).definition() == {
        "type": "function",
        "name": "opening_hours",
        "description": "Tell when the shop is open on a day of the week.",
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "string"}},
            "required": ["day"],
            "additionalProperties": False,
        },
    }


def test_tool_leaves_the_function_as_it_is() -> None:
    assert opening_hours("Monday") == "10:00-19:00"


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Guest(BaseModel):
    name: str
    title: str | None = None


@tool
def book(
    day: datetime.date,
    party: Annotated[int, Field(ge=1, le=12)],
    seat: Literal["window", "bar"] = "bar",
    size: Size = Size.SMALL,
    guests: list[Guest] = [],  # noqa: B006 - what a user may write
    note: Annotated[str, Field(description="Anything else.")] = "",
) -> str:
    """Book a table. Ask for the day
    and the number of guests first.

    This is for whoever reads the code.

    Args:
        day: The day, e.g. 2026-11-23: never
            one in the past.
        party: How many come.

    Returns:
        What to say.
    """
    return "ok"


def test_types_defaults_and_descriptions_become_the_schema() -> None:
    definition = describe(book).definition()
    assert definition["description"] == ("Book a table. Ask for the day and the number of guests first.")
    schema = definition["parameters"]
    assert schema["required"] == ["day", "party"]
    assert schema["properties"] == {
        "day": {
            "type": "string",
            "format": "date",
            "description": "The day, e.g. 2026-11-23: never one in the past.",
        },
        "party": {"type": "integer", "minimum": 1, "maximum": 12, "description": "How many come."},
        "seat": {"type": "string", "enum": ["window", "bar"], "default": "bar"},
        "size": {"$ref": "#/$defs/Size", "default": "small"},
        "guests": {"type": "array", "items": {"$ref": "#/$defs/Guest"}, "default": []},
        "note": {"type": "string", "default": "", "description": "Anything else."},
    }
    guest = schema["$defs"]["Guest"]
    assert "title" in guest["properties"], "a property of that name is not a title to be left out"
    assert isinstance(guest["properties"]["title"], dict)
    assert "title" not in guest


def test_the_same_function_gives_the_same_bytes() -> None:
    assert repr(describe(book).definition()) == repr(describe(book).definition())


def test_a_tool_without_parameters_takes_an_empty_object() -> None:
    def now() -> str:
        """Tell the time."""
        return ""

    assert describe(now).parameters_schema == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }


def test_the_context_is_hidden_from_the_model() -> None:
    def who(context: CallContext) -> str:
        """Tell who calls."""
        return ""

    described = describe(who)
    assert described.context_parameter == "context"
    assert described.parameters_schema["properties"] == {}


def test_an_optional_context_is_hidden_too() -> None:
    """Else the model would make one up."""

    def who(name: str, context: CallContext | None = None) -> str:
        """Tell who calls."""
        return ""

    described = describe(who)
    assert described.context_parameter == "context"
    assert list(described.parameters_schema["properties"]) == ["name"]


def test_a_parameter_may_have_any_name() -> None:
    def search(schema: str, _day: str, model_config: str, copy: str = "") -> str:
        """Search."""
        return ""

    described = describe(search)
    assert list(described.parameters_schema["properties"]) == ["schema", "_day", "model_config", "copy"]
    assert described.parameters_schema["required"] == ["schema", "_day", "model_config"]


def test_a_default_that_json_cannot_say_is_left_out_without_a_warning() -> None:
    missing = object()

    def search(text: Any = missing) -> str:
        """Search."""
        return ""

    assert describe(search).parameters_schema["properties"] == {"text": {}}


def test_a_field_is_no_default() -> None:
    """Pydantic's models read it there; a function is called with the Field itself."""

    def wait_for(minutes: int = Field(default=5, ge=1)) -> str:
        """Wait."""
        return str(minutes)

    (fault,) = faults_of(wait_for)
    assert "parameter 'minutes' has a Field for its default; expected e.g. `count: Annotated[" in fault


def test_nor_is_one_inside_the_type() -> None:
    """The model was told of it, and left the value out; the function was called without one, and failed."""

    def wait_for(minutes: Annotated[int, Field(default=5, ge=1)]) -> str:
        """Wait."""
        return str(minutes)

    def wait_long(minutes: Annotated[int, Field(default=5, ge=1)] = 60) -> str:
        """Wait."""
        return str(minutes)

    (fault,) = faults_of(wait_for)
    assert "parameter 'minutes' has a Field for its default; expected e.g. `count: Annotated[" in fault
    assert describe(wait_long).parameters_schema["properties"]["minutes"]["default"] == 60


def test_every_fault_is_told_with_file_and_line() -> None:
    async def 営業時間(day, *days: str, other: type, **more: str) -> str:  # type: ignore[no-untyped-def]  # noqa: N802
        return ""

    faults = faults_of(営業時間)
    line = 営業時間.__code__.co_firstlineno
    assert all(fault.startswith(f"{__file__}:{line}: tool '営業時間': ") for fault in faults)
    told = "\n".join(faults)
    assert len(faults) == 7
    assert "name does not fit" in told
    assert "`async def`" in told
    assert "no description" in told
    assert "parameter 'day' has no type" in told
    assert "parameter 'days' takes any number of values" in told
    assert "parameter 'other' has a type that cannot be given as JSON" in told
    assert "parameter 'more' takes any number of values" in told


def test_a_generator_that_waits_is_no_plain_def_either() -> None:
    async def hours() -> AsyncIterator[str]:
        """Opening hours."""
        yield "10:00-19:00"

    (fault,) = faults_of(hours)
    assert "is an `async def`" in fault


def test_a_pattern_that_pydantic_does_not_take_is_a_fault() -> None:
    """Its engine looks neither ahead nor behind, as that of Python's `re` does."""

    def find_order(number: Annotated[str, Field(pattern="^(?!0)[0-9]+$")]) -> str:
        """Find an order."""
        return number

    (fault,) = faults_of(find_order)
    assert "parameter 'number' has a type that cannot be given as JSON" in fault
    assert "look-around, including look-ahead and look-behind, is not supported" in fault
    assert "\n" not in fault


def test_a_type_that_is_only_there_for_the_type_checker_is_a_fault() -> None:
    def search(found: OrderedDict[str, str]) -> str:
        """Search."""
        return ""

    (fault,) = faults_of(search)
    assert "name 'OrderedDict' is not defined" in fault
    assert "outside of `if TYPE_CHECKING`" in fault


def test_parameters_by_position_alone_are_a_fault() -> None:
    def search(text: str, /) -> str:
        """Search."""
        return ""

    assert "before a `/`" in faults_of(search)[0]


def test_a_second_context_is_a_fault() -> None:
    def who(one: CallContext, two: CallContext) -> str:
        """Tell who calls."""
        return ""

    assert "parameter 'two' is a second CallContext" in faults_of(who)[0]


def test_a_docstring_of_parameters_alone_is_a_fault() -> None:
    def search(text: str) -> str:
        """
        Args:
            text: what to search for.
        """
        return ""

    assert "has no description" in faults_of(search)[0]


@pytest.mark.parametrize("value", ["opening_hours", 1, len, Guest, None])
def test_only_functions_are_tools(value: Any) -> None:
    with pytest.raises(TypeError, match="@tool goes, without brackets"):
        tool(value)
