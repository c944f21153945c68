"""Somebody who rings an interpreter is asked, by the keypad, in which language and with whom to talk."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from callapp.agents.agent_file import AgentFile
from callapp.call.pairing import OTHER_NUMBER, Place
from callapp.web.interpreter_menu import Menu
from tests.web.conftest import CALL_SID, FROM, ORIGIN, TO, MakeWorld

ACTION = "https://voice.example.com/incoming-call?agent=pair"


@pytest.fixture
def menu(tmp_path: Path) -> Menu:
    path = tmp_path / "pair.md"
    path.write_text("---\nkind: interpreter\nlanguages: [ja, en]\n---\nBetween two.\n", encoding="utf-8")
    return Menu(AgentFile(path, ()).agent, ACTION, lambda number: number.startswith(("+81", "+44")))


def asked(answer: str | dict[str, str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """What is said, each after its language, and the attributes of the Gather it is said in."""
    assert isinstance(answer, str)
    (gather,) = ElementTree.fromstring(answer).iter("Gather")
    return [(say.attrib["language"], say.text or "") for say in gather], gather.attrib


def test_the_language_is_asked_for_in_both(menu: Menu) -> None:
    said, gather = asked(menu.answer({}, ""))
    assert said == [("ja-JP", "日本語は、1を押してください。"), ("en-US", "For English, press 2.")]
    assert (gather["action"], gather["numDigits"]) == (f"{ACTION}&asked=language", "1")


def test_languages_that_have_no_lines_of_their_own_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "pair.md"
    front = "kind: interpreter\nengine: realtime\nlanguages: [sv, en]"
    path.write_text(f"---\n{front}\n---\nBetween two.\n", encoding="utf-8")
    said, _ = asked(Menu(AgentFile(path, ()).agent, ACTION, lambda number: True).answer({}, ""))
    assert said == [("en-US", "For Swedish, press 1."), ("en-US", "For English, press 2.")]


def test_the_number_is_asked_for_in_the_language_that_was_chosen(menu: Menu) -> None:
    said, gather = asked(menu.answer({"asked": "language"}, "2"))
    assert [language for language, _ in said] == ["en-US"]
    assert gather["action"] == f"{ACTION}&asked=number&side=1"
    assert gather["finishOnKey"] == "#"
    assert "numDigits" not in gather


@pytest.mark.parametrize("digits", ["442079460000", "00442079460000"])
def test_a_number_that_may_be_called_is_what_the_call_is_known_by(menu: Menu, digits: str) -> None:
    known = menu.answer({"asked": "number", "side": "1"}, digits)
    assert isinstance(known, dict)
    assert known[OTHER_NUMBER] == "+442079460000"
    place = Place.of(known)
    assert place is not None
    assert place.side == 1


@pytest.mark.parametrize("digits", ["", "12", "4420", "14155550100", "99999999999999999"])
def test_a_number_that_is_none_or_may_not_be_called_is_asked_for_again(menu: Menu, digits: str) -> None:
    """Whoever rings is not to call the world at our cost."""
    said, gather = asked(menu.answer({"asked": "number", "side": "0"}, digits))
    assert said[0] == ("ja-JP", "その番号には、おかけになれません。")
    assert gather["action"] == f"{ACTION}&asked=number&side=0"


@pytest.mark.parametrize(
    ("query", "digits"),
    [({"asked": "language"}, "3"), ({"asked": "number"}, "442079460000"), ({"asked": "x"}, "1")],
)
def test_an_answer_that_makes_no_sense_begins_anew(menu: Menu, query: dict[str, str], digits: str) -> None:
    assert asked(menu.answer(query, digits))[1]["action"] == f"{ACTION}&asked=language"


def test_a_caller_who_has_chosen_is_connected(make_world: MakeWorld) -> None:
    world = make_world(allowed_destinations=("+44",))
    path = "/incoming-call?agent=interpreter"
    fields = {"CallSid": CALL_SID, "From": FROM, "To": TO}
    for digits in ("", "2"):
        answer = world.webhook(path, {**fields, "Digits": digits} if digits else fields)
        path = asked(answer.text)[1]["action"].removeprefix(ORIGIN)
        assert world.slots == 0
    answer = world.webhook(path, {**fields, "Digits": "442079460000"})
    root = ElementTree.fromstring(answer.text)
    assert [verb.tag for verb in root] == ["Say", "Connect", "Say", "Hangup"]
    assert root[0].attrib["language"] == "en-US"
    parameters = {one.attrib["name"]: one.attrib["value"] for one in root.iter("Parameter")}
    assert parameters["otherPhoneNumber"] == "+442079460000"
    assert parameters["callapp_side"] == "1"
    assert world.slots == 1


def test_without_allowed_destinations_nobody_is_asked_whom_to_call(make_world: MakeWorld) -> None:
    world = make_world()
    answer = world.webhook("/incoming-call?agent=interpreter")
    assert [verb.tag for verb in ElementTree.fromstring(answer.text)] == ["Say", "Hangup"]
