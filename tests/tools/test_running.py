from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from callapp.call_log.store import StoreUnavailable
from callapp.conversation.wishes import CollectDigits, StaySilent
from callapp.tools import CallContext, EndCall, ToolError
from callapp.tools.registry import load_tools
from callapp.tools.running import LONGEST_ANSWER, Result
from callapp.tools.schema import describe

CONTEXT = CallContext(
    call_sid="CA" + "0" * 32,
    agent="operator",
    parameters={"customerId": "12345"},
    from_number="+15005550006",
    to_number="+819012345678",
    direction="outgoing",
)


def run(function: Callable[..., object], arguments_json: str = "{}") -> Result:
    return describe(function).run(arguments_json, CONTEXT)


def answer(value: object) -> Result:
    def give() -> Any:
        """Give it."""
        return value

    return run(give)


def error_of(result: Result) -> str:
    assert isinstance(result, str)
    told = json.loads(result)
    assert list(told) == ["error"]
    assert "Traceback" not in told["error"]
    return str(told["error"])


def table(day: datetime.date, party: Annotated[int, Field(ge=1)] = 2) -> str:
    """Find a table."""
    return f"{day:%d.%m.} for {party}"


def test_arguments_arrive_with_their_types() -> None:
    assert run(table, '{"day": "2026-11-23", "party": 4}') == "23.11. for 4"


def test_what_is_not_given_has_the_functions_own_default() -> None:
    assert run(table, '{"day": "2026-11-23"}') == "23.11. for 2"


def test_parameters_with_awkward_names_arrive() -> None:
    def search(schema: str, _day: str) -> list[str]:
        """Search."""
        return [schema, _day]

    assert run(search, '{"schema": "a", "_day": "b"}') == '["a","b"]'


def test_the_context_is_passed() -> None:
    def who(context: CallContext) -> str:
        """Tell who calls."""
        return context.parameters["customerId"]

    assert run(who) == "12345"


def test_the_model_cannot_give_the_context() -> None:
    def who(context: CallContext) -> str:
        """Tell who calls."""
        return context.call_sid

    assert "no parameter 'context'" in error_of(run(who, '{"context": {"call_sid": "CA1"}}'))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"day": "2026-11', "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('"\ud800"', "not a JSON object"),
        ("", "'day' is missing"),
        ("{}", "'day' is missing"),
        ('{"day": "soon"}', "'day': input should be a valid date"),
        ('{"day": "2026-11-23", "party": 0}', "'party': input should be greater than or equal to 1"),
        ('{"day": "2026-11-23", "room": 1}', "no parameter 'room'"),
        ("[" * 10_000, "not valid JSON"),
    ],
)
def test_wrong_arguments_are_told_to_the_model(arguments: str, told: str) -> None:
    error = error_of(run(table, arguments))
    assert told in error
    assert "call it again" in error
    assert len(error) < 500


@pytest.mark.parametrize(
    ("given", "taken"),
    [("a\0b", "ab"), ("\0\0", ""), ("\\\0", "\\"), ("\\u0000", "\\u0000"), ("\\\\u0000", "\\\\u0000")],
)
def test_a_zero_byte_is_left_out_and_nothing_else(given: str, taken: str) -> None:
    def echo(word: str) -> str:
        """Say it again."""
        return word

    assert run(echo, json.dumps({"word": given})) == taken


def test_an_empty_text_stands_for_no_arguments() -> None:
    def now() -> str:
        """Tell the time."""
        return "noon"

    assert run(now, "") == "noon"


def test_many_faults_are_told_in_short() -> None:
    error = error_of(run(table, json.dumps({f"x{n}": n for n in range(50)})))
    assert "and 48 more" in error


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("営業中です", "営業中です"),
        (None, '{"ok": true}'),
        ({"時": [1, 2.5, True]}, '{"時":[1,2.5,true]}'),
        (datetime.date(2026, 11, 23), '"2026-11-23"'),
        (Decimal("1.10"), '"1.10"'),
        (float("nan"), "null"),
        ("half \ud83d of a pair", "half ? of a pair"),
        (EndCall("done"), EndCall("done")),
    ],
)
def test_what_a_tool_returns_becomes_text(value: object, expected: Result) -> None:
    assert answer(value) == expected


def test_dataclasses_become_objects() -> None:
    result = answer(CONTEXT)
    assert isinstance(result, str)
    assert json.loads(result)["agent"] == "operator"


def test_a_long_answer_is_cut_and_says_so() -> None:
    result = answer("あ" * (LONGEST_ANSWER + 7))
    assert result == "あ" * LONGEST_ANSWER + "\n[cut: 7 more characters]"


def test_a_tool_error_is_told_in_its_own_words() -> None:
    def refund() -> str:
        """Refund."""
        raise ToolError("返金は担当者が行います。")

    assert run(refund) == '{"error": "返金は担当者が行います。"}'


def test_a_tool_error_without_words_is_a_failure_like_others(caplog: pytest.LogCaptureFixture) -> None:
    """Of an empty one the model would make up what went wrong."""

    def refund() -> str:
        """Refund."""
        raise ToolError

    assert error_of(run(refund)).startswith("refund failed for a technical reason.")
    (record,) = caplog.records
    assert "its ToolError says nothing" in record.getMessage()
    assert record.call_sid == CONTEXT.call_sid  # type: ignore[attr-defined]


def test_a_long_tool_error_is_cut_as_an_answer_is() -> None:
    """OpenAI refuses an output of more than 256,000 characters: the model would go on without one."""

    def refund() -> str:
        """Refund."""
        raise ToolError("x" * 300_000)

    assert error_of(run(refund)) == "x" * LONGEST_ANSWER + "\n[cut: 280000 more characters]"


@pytest.mark.parametrize("raised", [ValueError("password=hunter2"), SystemExit(1), RecursionError()])
def test_what_a_tool_raises_is_logged_and_kept_from_the_model(
    raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def refund() -> str:
        """Refund."""
        raise raised

    with caplog.at_level(logging.ERROR):
        error = error_of(run(refund))
    assert error.startswith("refund failed for a technical reason.")
    assert "hunter2" not in error
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.call_sid == CONTEXT.call_sid  # type: ignore[attr-defined]


def test_a_database_that_is_away_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A traceback for each tool of each call would hide what matters."""

    def book() -> str:
        """Book."""
        raise StoreUnavailable("connection refused")

    with caplog.at_level(logging.ERROR):
        assert error_of(run(book)).startswith("book failed for a technical reason.")
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.getMessage() == "! tool book failed: connection refused"
    assert record.call_sid == CONTEXT.call_sid  # type: ignore[attr-defined]


def test_an_answer_that_cannot_be_json_is_a_failure() -> None:
    assert "technical reason" in error_of(answer(object()))
    assert "technical reason" in error_of(answer(sys))


def test_a_tool_that_the_model_made_up() -> None:
    tools = load_tools().only(["end_call"])
    error = error_of(tools.find("transfer_call").run("{}", CONTEXT))
    assert error == "There is no tool 'transfer_call'. The tools you have: end_call."


def test_collect_digits_and_wait_hand_over_what_they_want() -> None:
    tools = load_tools()
    assert tools["wait"].run("{}", CONTEXT) == StaySilent()
    collect_digits = tools["collect_digits"]
    assert collect_digits.run('{"count": 4}', CONTEXT) == CollectDigits(4)
    assert collect_digits.run('{"count": 4, "sensitive": true}', CONTEXT) == CollectDigits(4, sensitive=True)
    for count in (0, 33):
        assert "'count'" in str(collect_digits.run(f'{{"count": {count}}}', CONTEXT))


def test_end_call_hands_over_its_reason() -> None:
    end_call = load_tools()["end_call"]
    assert end_call.run('{"reason": " the caller\\n said goodbye "}', CONTEXT) == EndCall(
        "the caller said goodbye"
    )
    assert end_call.run("{}", CONTEXT) == EndCall("")
    assert end_call.run(json.dumps({"reason": "x" * 5000}), CONTEXT) == EndCall("x" * 200)


@given(st.text() | st.dictionaries(st.text(), st.text() | st.integers() | st.none()).map(json.dumps))
def test_no_arguments_crash_a_tool(arguments: str) -> None:
    result = run(table, arguments)
    assert isinstance(result, str)
    result.encode()
