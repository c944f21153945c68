"""A menu that repeats itself is pointed out to the model, once."""

from __future__ import annotations

import pytest

from callapp.conversation.commands import CreateResponse, Tell
from callapp.conversation.events import CallerSaid, ModelLost, SessionConfirmed
from callapp.conversation.repetition import Repetition
from tests.conversation.test_machine import live, only

MENU = "For sales, press one. For support, press two."
LIKE_IT = "For sales press 1. For support, press two!"
OTHER = "Please enter your customer number, followed by the pound key."


def points(*said: str) -> list[bool]:
    """Which of these transcripts led to a word to the model."""
    repetition = Repetition()
    return [repetition.heard(text) is not None for text in said]


def test_what_is_said_for_the_third_time_is_pointed_out_once() -> None:
    assert points(MENU, MENU, MENU, MENU, MENU) == [False, False, True, False, False]


def test_a_transcription_that_hears_it_a_little_differently_is_no_other_menu() -> None:
    assert points(MENU, LIKE_IT, MENU) == [False, False, True]


def test_a_menu_in_pieces_with_other_things_between_them_is_one_all_the_same() -> None:
    """A pause ends a turn, so a menu comes as several."""
    assert points(MENU, OTHER, MENU, OTHER, MENU, OTHER) == [False, False, False, False, True, True]


@pytest.mark.parametrize("word", ["Yes.", "Hello? Hello?", "もしもし、聞こえますか。", "", "…"])
def test_what_people_say_often_is_no_menu(word: str) -> None:
    assert points(*[word] * 5) == [False] * 5


def test_a_japanese_menu_is_one() -> None:
    menu = "ご予約の方は一を、お問い合わせの方は二を押してください。"
    assert points(menu, menu, menu) == [False, False, True]


def test_the_model_is_told_and_not_asked_to_speak() -> None:
    """It answers the turn anyway; a second answer would be one too many."""
    call = live()
    for number in range(2):
        assert call.tell(CallerSaid(f"item_{number}", MENU)) == []
    commands = call.tell(CallerSaid("item_2", MENU))
    [told] = only(commands, Tell)
    assert told.role == "system"
    assert "press two" in told.text
    assert only(commands, CreateResponse) == []


def test_a_model_that_is_away_is_told_when_it_is_back() -> None:
    call = live()
    call.tell(CallerSaid("item_0", MENU), CallerSaid("item_1", MENU))
    call.tell(ModelLost("openai.disconnected"))
    assert call.tell(CallerSaid("item_2", MENU)) == []
    told = only(call.tell(SessionConfirmed()), Tell)
    assert len([one for one in told if "for the 3rd time" in one.text]) == 1
