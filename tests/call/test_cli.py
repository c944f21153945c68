"""``flask call``, against the pretend Twilio and a server that answers its webhooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from flask import Flask

from callapp import create_app
from callapp.call import cli
from callapp.settings import Settings
from callapp.simulators.callee import Callee
from callapp.simulators.carrier import Carrier
from callapp.simulators.phone_record import Address
from tests.databases import sqlite_at
from tests.simulators.phone_app import App

FROM = "+14155550100"
TO = "+819012345678"
SHORT_CALL = '<Response><Pause length="1"/><Hangup/></Response>'
LONG_CALL = '<Response><Pause length="600"/></Response>'
SCRIBE = "---\nkind: captions\nforward_to: +81312345678\n---\nWhom the calls are for.\n"
SHOP = "---\nmax_call_seconds: 60\n---\nYou speak to {{ name }}, customer {{ customerId }}.\n"
INTERPRETED = ["--agent", "interpreter"]

MakeApp = Callable[..., Flask]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "POLL_S", 0.02)


@pytest.fixture
def twilio() -> Iterator[Carrier]:
    with Carrier() as carrier:
        yield carrier


@pytest.fixture
def server(twilio: Carrier) -> Iterator[App]:
    """The server at PUBLIC_URL; another process than the command."""
    with App(twilio) as server:
        server.twiml = SHORT_CALL
        yield server


@pytest.fixture
def make_app(tmp_path: Path, twilio: Carrier, server: App) -> Iterator[MakeApp]:
    with ExitStack() as stack:
        (tmp_path / "shop.md").write_text(SHOP)
        (tmp_path / "scribe.md").write_text(SCRIBE)

        def make(**changes: Any) -> Flask:
            given = {
                "twilio_account_sid": twilio.account_sid,
                "twilio_auth_token": twilio.auth_token,
                "twilio_api_url": twilio.url,
                "from_phone_number": FROM,
                "public_url": server.url,
                "agents_dir": tmp_path,
                "database_url": sqlite_at(tmp_path / "calls.sqlite"),
                **changes,
            }
            app = create_app(Settings(**given))
            stack.callback(app.extensions["callapp"].close)
            return app

        yield make


def run(app: Flask, *args: str, answers: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=["call", *args], input=answers)


def told(result: Result) -> list[str]:
    """The statuses that were told, without their times and details."""
    return [line.split()[1] for line in result.stdout.splitlines() if line[2:3] == ":"]


def test_a_call_is_followed_to_its_end(make_app: MakeApp, twilio: Carrier) -> None:
    result = run(make_app(), TO)
    assert result.exit_code == 0, result.output
    assert told(result)[0] == "queued"
    assert told(result)[-2:] == ["in-progress", "completed"]
    (call,) = twilio.calls
    assert f"{call.sid} to {TO}, agent operator" in result.stdout
    assert result.stdout.splitlines()[-1].endswith(f"after {round(call.duration_s)} s")


def test_the_webhooks_find_the_call_in_the_database(make_app: MakeApp, twilio: Carrier, server: App) -> None:
    """The server is another process: what it is to know of the call stands in the store."""
    app = make_app()
    result = run(app, TO, "--agent", "shop", "--param", "name=Ms Tanaka", "--param", "customerId=a=1")
    assert result.exit_code == 0, result.output
    (call,) = twilio.calls
    assert (call.plan.from_number, call.plan.to_number) == (FROM, TO)
    assert isinstance(call.plan.source, Address)
    url, _, placed_id = call.plan.source.url.rpartition("=")
    assert url == f"{server.url}/incoming-call?agent=shop&placed"
    assert call.plan.status_callback is not None
    assert call.plan.status_callback.url == f"{server.url}/call-status?placed={placed_id}"
    placed = app.extensions["callapp"].store.find_placed(placed_id)
    assert placed.call_sid == call.sid
    assert placed.agent == "shop"
    assert placed.parameters == {"name": "Ms Tanaka", "customerId": "a=1"}


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
def test_nobody_reached_is_exit_status_2(make_app: MakeApp, twilio: Carrier, outcome: Any) -> None:
    twilio.next_callee(Callee(picks_up=outcome))
    result = run(make_app(), TO)
    assert result.exit_code == 2, result.output
    assert told(result)[-1] == outcome


def test_a_number_may_be_written_as_people_write_it(make_app: MakeApp, twilio: Carrier) -> None:
    assert run(make_app(), "+81 (0)90-1234-5678").exit_code == 0
    assert twilio.calls[0].plan.to_number == TO


def test_the_other_person_of_an_interpreted_call_is_known_when_the_phone_is_picked_up(
    make_app: MakeApp, twilio: Carrier
) -> None:
    app = make_app()
    given = ["--param", "otherPhoneNumber=+1 415 555 0123", "--param", "case=17"]
    assert run(app, TO, *INTERPRETED, *given).exit_code == 0
    (call,) = twilio.calls
    assert isinstance(call.plan.source, Address)
    placed = app.extensions["callapp"].store.find_placed(call.plan.source.url.rpartition("=")[2])
    assert placed.parameters == {"otherPhoneNumber": "+14155550123", "case": "17"}


@pytest.mark.parametrize(
    ("changes", "args", "error"),
    [
        ({"twilio_account_sid": None}, [TO], "TWILIO_ACCOUNT_SID is not set"),
        ({"twilio_auth_token": None}, [TO], "TWILIO_AUTH_TOKEN is not set"),
        ({"from_phone_number": None}, [TO], "FROM_PHONE_NUMBER is not set"),
        ({"public_url": None}, [TO], "PUBLIC_URL is not set"),
        (
            {"public_url": "http://localhost:3000", "twilio_api_url": "https://api.twilio.com"},
            [TO],
            "PUBLIC_URL is http://localhost:3000, which only this machine reaches",
        ),
        ({}, ["+8190"], "'+8190' is not a number that exists"),
        ({}, ["09012345678"], "'09012345678' is not a number that exists"),
        ({"allowed_destinations": ("+1", "+49")}, [TO], "ALLOWED_DESTINATIONS permits +1, +49"),
        (
            {},
            [TO, "--agent", "nobody"],
            "there is no agent 'nobody': the agents are interpreter, operator, ",
        ),
        ({}, [TO, "--agent", "shop", "--param", "name=x"], "add --param customerId=…"),
        ({}, [TO, "--agent", "scribe"], "the agent 'scribe' only listens to calls that come in"),
        ({}, [TO, *INTERPRETED], "connects two people: add --param otherPhoneNumber=…"),
        ({}, [TO, *INTERPRETED, "--param", "otherPhoneNumber=12"], "'12' is not a number that exists"),
        ({}, [TO, *INTERPRETED, "--param", f"otherPhoneNumber={TO}"], "give the numbers of two people"),
        (
            {"allowed_destinations": ("+81",)},
            [TO, *INTERPRETED, "--param", f"otherPhoneNumber={FROM}"],
            f"{FROM} may not be called: ALLOWED_DESTINATIONS permits +81",
        ),
        ({}, [TO, "--param", "name"], "--param name: expected KEY=VALUE"),
        ({}, [TO, "--param", "=x"], "--param =x: expected KEY=VALUE"),
        ({}, [TO, "--param", "name=a\x07"], r"--param 'name=a\x07': expected text without control"),
        ({}, [TO, "--param", "na\x1bme=a"], r"--param 'na\x1bme=a': expected text without control"),
        ({}, [TO, "--param", "name=\udcff"], r"--param 'name=\udcff': expected text without control"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_dialled(
    make_app: MakeApp, twilio: Carrier, changes: dict[str, Any], args: list[str], error: str
) -> None:
    result = run(make_app(**changes), *args)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert error in line
    assert twilio.requests == []


def test_all_faults_are_told_at_once(make_app: MakeApp) -> None:
    app = make_app(twilio_account_sid=None, public_url=None)
    result = run(app, "12", "--agent", "shop")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 5


def test_a_refusal_is_told_in_twilios_words(make_app: MakeApp, twilio: Carrier) -> None:
    twilio.fail_next(21215, message="Account not authorized to call this number.")
    result = run(make_app(), TO)
    assert result.exit_code == 1
    assert "Account not authorized to call this number. (21215, see https://" in result.stderr


def test_a_twilio_that_is_not_there_is_told(make_app: MakeApp, twilio: Carrier) -> None:
    twilio.break_next("drop")
    result = run(make_app(), TO)
    assert result.exit_code == 1
    assert "Twilio could not be reached" in result.stderr


def test_a_poll_that_fails_is_told_once_and_tried_again(make_app: MakeApp, twilio: Carrier) -> None:
    app = make_app()
    carrier = app.extensions["callapp"].carrier
    place_call = carrier.place_call

    def place_and_break(**dial: str) -> Any:
        placed = place_call(**dial)
        for _ in range(3):
            twilio.break_next("drop")
        for status in (429, 503):
            twilio.fail_next(20500, status=status)
        return placed

    carrier.place_call = place_and_break
    result = run(app, TO)
    assert result.exit_code == 0, result.output
    assert told(result).count("?") == 1


def test_a_call_that_does_not_end_is_not_followed_for_ever(
    make_app: MakeApp, server: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.twiml = LONG_CALL
    monkeypatch.setattr(cli, "SPARE_S", 0)
    result = run(make_app(max_call_seconds=1), TO)
    assert result.exit_code == 1
    assert "the call is still in-progress after 1 s" in result.stderr


def test_who_stops_it_before_twilio_has_answered_is_told_that_the_phone_may_ring(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    app = make_app()
    monkeypatch.setattr(app.extensions["callapp"].carrier, "place_call", interrupted)
    result = run(app, TO)
    assert result.exit_code == 1
    assert "the phone may ring all the same" in result.stderr


class Interrupts:
    """Stands for Ctrl-C: pressed at the given looks at the call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: set[int]) -> None:
        self.looks = 0
        self.asked = 0
        self.at = at
        look = cli._Follower._look

        def looked(follower: cli._Follower) -> None:
            look(follower)
            if follower._status == "in-progress":
                self.looks += 1
                if self.looks in self.at:
                    raise KeyboardInterrupt

        monkeypatch.setattr(cli._Follower, "_look", looked)
        confirm = click.confirm

        def confirmed(*args: Any, **options: Any) -> bool:
            self.asked += 1
            return confirm(*args, **options)

        monkeypatch.setattr(click, "confirm", confirmed)


@pytest.mark.parametrize("answer", ["y\n", "\n", ""])
def test_ctrl_c_asks_and_hangs_up(
    make_app: MakeApp, twilio: Carrier, server: App, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """No answer at all, as from a script, hangs up too: nobody would be left who could."""
    server.twiml = LONG_CALL
    interrupts = Interrupts(monkeypatch, {1})
    result = run(make_app(), TO, answers=answer)
    assert result.exit_code == 0, result.output
    assert told(result)[-1] == "completed"
    assert interrupts.asked == 1
    assert twilio.calls[0].ended


def test_ctrl_c_asks_only_once(make_app: MakeApp, server: App, monkeypatch: pytest.MonkeyPatch) -> None:
    server.twiml = LONG_CALL
    interrupts = Interrupts(monkeypatch, {1, 3})
    result = run(make_app(), TO, answers="n\n")
    assert result.exit_code == 0, result.output
    assert interrupts.asked == 1
    assert interrupts.looks >= 3
