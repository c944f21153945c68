"""What is being said on a call, told as it happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from callapp.call.journal import Particulars
from callapp.call_log.erasure import delete_calls
from callapp.conversation.facts import Began, Closed, Ended, Fact, Uttered
from callapp.web.captions import Captions
from tests.web.conftest import CALL_SID, FROM, TO, World

CALL = Particulars(CALL_SID, "incoming", FROM, TO, "heard", {}, "gpt-live-transcribe", "gpt-live-transcribe")


@pytest.fixture(autouse=True)
def _closes_the_record(world: World) -> Iterator[None]:
    yield
    world.services.record.close()


def tell(world: World, *facts: Fact) -> None:
    for fact in facts:
        world.services.record(CALL, fact, fact.at_ms)
    assert world.services.record.flush(5.0)


def said(text: str | None, *, growing: bool = False, item_id: str = "other-1") -> Uttered:
    return Uttered(2000, "other", item_id, text, 1000, 2000, growing=growing)


def events(told: bytes) -> list[tuple[str, Any]]:
    found = []
    for one in told.decode().split("\n\n")[:-1]:
        name, data = one.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_what_grows_is_told_again_and_what_stays_is_not(world: World) -> None:
    channel = Captions(world.services.store, CALL_SID)
    tell(world, Began(), said("Good", growing=True))
    ((name, told),) = events(channel.news())
    assert (name, told["text"], told["growing"]) == ("utterance", "Good", True)
    assert channel.news() == b""
    tell(world, said("Good morning."))
    expected = {
        "role": "other",
        "text": "Good morning.",
        "startMs": 1000,
        "endMs": 2000,
        "interrupted": False,
        "itemId": "other-1",
    }
    assert events(channel.news()) == [("utterance", expected)]
    assert events(channel.whole()) == [("utterance", expected)]


def test_the_end_of_a_call_is_told_after_its_last_words(world: World) -> None:
    channel = Captions(world.services.store, CALL_SID)
    tell(world, Began(), Ended(3000, "caller.hung_up"))
    assert events(channel.news()) == []
    tell(world, said("Bye."), Closed(3100))
    utterance, ended = events(channel.news())
    assert utterance[1]["text"] == "Bye."
    assert ended == ("ended", {"callSid": CALL_SID, "endReason": "caller.hung_up"})
    assert events(channel.whole()) == [utterance, ended]
    assert channel.news() == b""


def test_what_turns_out_to_be_no_words_is_told_only_to_those_who_have_read_some(world: World) -> None:
    channel = Captions(world.services.store, CALL_SID)
    tell(world, Began(), said("Hm", growing=True), said("", item_id="caller-1"))
    assert [one["itemId"] for _, one in events(channel.news())] == ["other-1"]
    tell(world, said(""))
    ((_, told),) = events(channel.news())
    assert (told["itemId"], told["text"]) == ("other-1", "")


def test_a_call_that_is_deleted_meanwhile_is_over(world: World) -> None:
    channel = Captions(world.services.store, CALL_SID)
    tell(world, Began(), said("Good"), Ended(3000, "caller.hung_up"), Closed(3100))
    delete_calls(world.services.store, [CALL_SID])
    assert events(channel.news()) == [("ended", {"callSid": CALL_SID, "endReason": None})]
    assert events(channel.whole()) == [("ended", {"callSid": CALL_SID, "endReason": None})]


@pytest.mark.parametrize("call_sid", [CALL_SID, "CA1", "nonsense"])
def test_there_has_to_be_such_a_call(world: World, call_sid: str) -> None:
    assert world.client.get(f"/calls/{call_sid}/captions").status_code == 404


def test_a_server_that_cannot_do_it_says_so_and_holds_nobody(world: World) -> None:
    """Under `flask run`, and when too many watch: the transcript is there to be asked for."""
    tell(world, Began())
    assert world.client.get(f"/calls/{CALL_SID}/captions").status_code == 204
