"""The tools for which a call leaves its stream."""

from __future__ import annotations

import json

import pytest

from callapp.conversation.wishes import SendDigits, Transfer
from callapp.tools import CallContext
from callapp.tools.registry import load_tools
from callapp.tools.transfer_call import LONGEST_SUMMARY, name_destinations

CALL = CallContext("CA1", "shop", {}, "+1", "+81", "incoming", ("sales", "support"))
TOOLS = load_tools()


def run(name: str, **arguments: object) -> object:
    return TOOLS[name].run(json.dumps(arguments), CALL)


def error(result: object) -> str:
    assert isinstance(result, str)
    return str(json.loads(result)["error"])


def test_a_transfer_goes_to_a_destination_of_the_agents() -> None:
    assert run("transfer_call", destination="sales") == Transfer("sales")
    wish = run("transfer_call", destination="sales", warm=True, summary="Wants  a\nquote. " + "x" * 900)
    assert isinstance(wish, Transfer)
    assert wish.summary.startswith("Wants a quote. x")
    assert len(wish.summary) == LONGEST_SUMMARY


@pytest.mark.parametrize("made_up", ["+819012345678", "Sales", "boss"])
def test_a_destination_that_the_model_made_up_is_none(made_up: str) -> None:
    assert "sales, support" in error(run("transfer_call", destination=made_up))


def test_the_model_is_told_whom_it_can_put_callers_through_to() -> None:
    definitions = TOOLS.only(("end_call", "transfer_call")).definitions()
    end_call, transfer_call = name_destinations(definitions, ("sales", "support"))
    assert transfer_call["parameters"]["properties"]["destination"]["enum"] == ["sales", "support"]
    assert end_call == definitions[0]
    assert "enum" not in definitions[1]["parameters"]["properties"]["destination"]  # other agents have others


@pytest.mark.parametrize("digits", ["1", "*0#9", "1ww4711#"])
def test_keys_are_sent_as_they_are(digits: str) -> None:
    assert run("send_digits", digits=digits) == SendDigits(digits)


@pytest.mark.parametrize("digits", ["", "one", "12 34", "+81", "1" * 41])
def test_what_is_no_key_is_not_sent(digits: str) -> None:
    assert "send_digits was not run" in error(run("send_digits", digits=digits))
