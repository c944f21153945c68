"""What a call is made of: the agent's file, carried over to both legs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from callapp import create_app
from callapp.agents import Agent
from callapp.agents.fields import McpServer, Transcription, TurnDetection
from callapp.call.bridge import Bridge
from callapp.call.making import CallMaker
from callapp.call_log import Admission
from callapp.call_log.records import AwayCall
from callapp.conversation.commands import LeaveStream
from callapp.conversation.wishes import SendDigits
from callapp.realtime.session import SessionConfig
from callapp.settings import Settings
from callapp.telephony.media_streams import Started
from tests.databases import sqlite_at

CALL_SID = "CA" + "1" * 32
NUMBER = "+815012345678"
ADMISSION = Admission(CALL_SID, CALL_SID, "shop", {}, "incoming", "+1", "+81")


class FakeCarrier:
    def __init__(self) -> None:
        self.apologies: list[tuple[str, str, str | None]] = []

    def apologise(self, call_sid: str, language: str, transfer_to: str | None = None) -> None:
        self.apologies.append((call_sid, language, transfer_to))

    def redirect(self, call_sid: str, document: str) -> None:
        pass


@pytest.fixture
def carrier() -> FakeCarrier:
    return FakeCarrier()


@pytest.fixture
def maker(tmp_path: Path, carrier: FakeCarrier) -> Iterator[CallMaker]:
    app = create_app(Settings(database_url=sqlite_at(tmp_path / "calls.sqlite")))
    services = app.extensions["callapp"]
    fake = cast(Any, carrier)
    yield replace(services.maker, carrier=fake, switchboard=replace(services.switchboard, carrier=fake))
    services.close()


def bridge_of(maker: CallMaker, away: AwayCall | None = None, **fields: Any) -> Bridge:
    agent = Agent(name="shop", instructions="Be kind.", **fields)
    started = Started(CALL_SID, "MZ1", {})
    return maker.bridge(cast(Any, None), started, ADMISSION, agent, "https://voice.example.com", away)


def config_of(maker: CallMaker, **fields: Any) -> SessionConfig:
    return bridge_of(maker, **fields)._downlink.model._config


def test_what_the_file_says_reaches_the_session(maker: CallMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_TOKEN", "a-secret-token")
    server = McpServer(
        server_label="crm",
        server_url="https://crm.example.com",
        approve=("find",),
        authorization="CRM_TOKEN",
    )
    config = config_of(
        maker,
        speed=1.25,
        reasoning="high",
        transcription=None,
        turn_detection=TurnDetection(threshold=0.9),
        noise_reduction="far_field",
        mcp=(server,),
        tools=("book_table", "end_call"),
    )
    assert (config.speed, config.reasoning, config.noise_reduction) == (1.25, "high", "far_field")
    assert config.transcription is None
    assert config.turn_detection.threshold == 0.9
    assert [remote.token for remote in config.remote_tools] == ["a-secret-token"]
    assert config.may_call("crm", "find")
    assert not config.may_call("crm", "delete")
    assert [tool["name"] for tool in config.tools] == ["book_table", "end_call"]


def test_what_the_file_does_not_say_is_as_ever(maker: CallMaker) -> None:
    config = config_of(maker)
    assert config.transcription == Transcription()
    assert config.turn_detection == TurnDetection()
    assert config.remote_tools == []


def test_with_a_fallback_number_the_caller_is_transferred_also_after_a_closing_line(
    maker: CallMaker, carrier: FakeCarrier
) -> None:
    """The closing in the TwiML would hang up."""
    outside = bridge_of(maker, fallback_number=NUMBER, closing="Goodbye.")._outside
    assert outside.apologise is not None
    outside.apologise()
    [(call_sid, language, fallback)] = carrier.apologies
    assert (call_sid, language, fallback.number) == (CALL_SID, "en-US", NUMBER)
    assert fallback.over_url.endswith("/transfer/fallback?agent=shop")


def test_without_one_the_closing_is_enough_and_without_that_an_apology_is_spoken(
    maker: CallMaker, carrier: FakeCarrier
) -> None:
    assert bridge_of(maker, closing="Goodbye.")._outside.apologise is None
    outside = bridge_of(maker)._outside
    assert outside.apologise is not None
    outside.apologise()
    assert carrier.apologies == [(CALL_SID, "en-US", None)]


def test_the_built_in_tools_have_the_database(maker: CallMaker) -> None:
    for name in ("check_availability", "book_table", "change_booking", "cancel_booking", "take_message"):
        assert maker.tools[name].provided, name


def test_a_call_that_leaves_again_has_lasted_since_its_first_process_had_it(maker: CallMaker) -> None:
    """Else the third one records over what the second one has, and gives the call more time."""
    came = AwayCall(ADMISSION, {"digits": "1"}, [], elapsed_ms=60_000)
    extension = bridge_of(maker, came)._outside.extension
    assert extension is not None
    extension.leave(LeaveStream(SendDigits("2"), (), 0.1), 1_000)
    left = maker.switchboard.away.find(CALL_SID)
    assert left is not None
    assert left.elapsed_ms == 61_000
    assert left.spent_usd == 0.1


def test_a_call_that_comes_from_another_process_has_cost_what_it_had_there(maker: CallMaker) -> None:
    """Else it could cost as much again with each key that is sent."""
    came = AwayCall(ADMISSION, {"digits": "1"}, [], spent_usd=0.25)
    assert bridge_of(maker, came).conversation.budget.spent_usd == 0.25


@pytest.mark.parametrize(("before_ms", "left_ms"), [(60_000, 240_000), (400_000, 0)])
def test_a_call_that_comes_from_another_process_has_the_time_that_it_has_not_had_there(
    maker: CallMaker, before_ms: int, left_ms: int
) -> None:
    came = AwayCall(ADMISSION, {"digits": "1"}, [], elapsed_ms=before_ms)
    assert bridge_of(maker, came, max_call_seconds=300).conversation.plan.most_ms == left_ms
