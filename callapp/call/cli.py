"""``flask call``: place a call from the command line and follow it until it ends.

The call itself is carried by the server that runs at PUBLIC_URL, with the same database: this process
dials, and then asks Twilio how the call stands.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import NoReturn
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext

from callapp.agents import Agent
from callapp.agents.templates import is_text
from callapp.call.dial import dial
from callapp.call.pairing import OTHER_NUMBER
from callapp.call_log import PlacedCall, StoreUnavailable
from callapp.call_log.records import TERMINAL_STATUSES
from callapp.errors import CarrierError, CarrierRefused, CarrierTimeout
from callapp.phone_numbers import existing_e164
from callapp.services import Services, services
from callapp.settings import Settings
from callapp.telephony.rest import Carrier
from callapp.values import is_loopback

POLL_S = 1.0
# Beyond the longest call: Twilio may queue the dial, and lets it ring for a minute.
SPARE_S = 180.0
# Exit status of a call that was placed but reached nobody: busy, no answer, failed, canceled.
NOT_CONNECTED = 2
_MAY_RING = "the phone may ring all the same: look into the Twilio console before you try again"


@click.command("call")
@click.argument("number")
@click.option("--agent", "agent_name", metavar="NAME", help="Who speaks; DEFAULT_AGENT if left out.")
@click.option(
    "--param",
    "pairs",
    metavar="KEY=VALUE",
    multiple=True,
    help="A value for the agent's texts; may be given several times.",
)
@with_appcontext
def call(number: str, agent_name: str | None, pairs: tuple[str, ...]) -> None:
    """Call NUMBER through Twilio, e.g. +819012345678, and follow the call until it ends.

    The server has to be running at PUBLIC_URL. Ctrl-C asks whether to hang up. Exit status: 0 when the call
    was completed, 1 when it could not be placed or followed, 2 when nobody was reached.
    """
    app = services()
    order, origin = _order(app, number, agent_name, _parameters(pairs))
    try:
        detection_s = app.agents[order.agent].detection_s
        placed = dial(order, origin, app.store, app.carrier, detection_s=detection_s)
    except CarrierRefused as error:
        hint = f" ({error.code}, see {error.more_info})" if error.code and error.more_info else ""
        _fail(f"Twilio refused the call: {error.message}{hint}")
    except CarrierTimeout as error:
        _fail(f"{error}; {_MAY_RING}")
    except KeyboardInterrupt:  # of a call that is not known yet nobody can be asked whether to hang up
        _fail(f"stopped before Twilio had answered; {_MAY_RING}")
    except CarrierError as error:
        _fail(f"{error}: check the network, and TWILIO_API_URL if it is set")
    except StoreUnavailable as error:
        _fail(f"DATABASE_URL: the database does not answer: {error}")
    _tell(placed.status, f"{placed.sid} to {order.to_number}, agent {order.agent}")
    status = _Follower(app.carrier, placed.sid, placed.status).follow(app.settings.max_call_seconds + SPARE_S)
    sys.exit(0 if status == "completed" else NOT_CONNECTED)


class _Follower:
    """Watches one call from outside, by asking Twilio once a second, and tells each change.

    Args:
        status: the last one known, already told.
    """

    def __init__(self, carrier: Carrier, call_sid: str, status: str) -> None:
        self._carrier = carrier
        self._call_sid = call_sid
        self._status = status
        self._asked = False
        self._silent = False

    def follow(self, within_s: float) -> str:
        """Wait for the end of the call; return its last status. Ctrl-C asks once, then hangs up."""
        deadline_s = time.monotonic() + within_s
        while self._status not in TERMINAL_STATUSES:
            if time.monotonic() > deadline_s:
                _fail(
                    f"the call is still {self._status} after {within_s:.0f} s: end it in the Twilio console"
                )
            try:
                time.sleep(POLL_S)  # Twilio tells this process only what it asks
                self._look()
            except KeyboardInterrupt:
                self._on_interrupt()
        return self._status

    def _look(self) -> None:
        try:
            state = self._carrier.call_state(self._call_sid)
        except CarrierError as error:
            if isinstance(error, CarrierRefused) and error.status < 500 and error.status != 429:
                _fail(f"Twilio does not tell how the call goes: {error}")
            if not self._silent:  # it may come back; the deadline is there if not
                _tell("?", str(error))
            self._silent = True
            return
        self._silent = False
        if state.status != self._status:
            self._status = state.status
            _tell(state.status, "" if state.duration_s is None else f"after {state.duration_s} s")

    def _on_interrupt(self) -> None:
        if not self._asked:
            self._asked = True
            try:
                if not click.confirm("\nHang up?", default=True):
                    return
            except click.Abort:  # Ctrl-C again, or nobody there to answer
                click.echo()
        try:
            self._carrier.complete_call(self._call_sid)
        except CarrierError as error:
            click.echo(f"Could not hang up: {error}. Ctrl-C tries again.", err=True)


def _order(
    app: Services, number: str, agent_name: str | None, parameters: Mapping[str, str]
) -> tuple[PlacedCall, str]:
    """What is to be dialled, and the server's origin; leaves with every fault there is, one line each."""
    settings = app.settings
    faults = list(_missing_settings(settings))
    name = agent_name or settings.default_agent
    agent = app.agents.get(name)
    if agent is None:
        faults.append(f"there is no agent {name!r}: the agents are {', '.join(sorted(app.agents))}")
    else:
        faults += [
            f"the agent {name!r} needs a value for {missing!r}: add --param {missing}=…"
            for missing in agent.missing(parameters)
        ]
        parameters = agent.parameters_of(parameters)
        if agent.kind == "captions":
            faults.append(f"the agent {name!r} only listens to calls that come in: point a number at it")
    to_number = _callee(number, settings, faults)
    if agent is not None and agent.kind == "interpreter":
        other = _other_party(agent, parameters, to_number, settings, faults)
        parameters = {**parameters, OTHER_NUMBER: other}
    if faults or to_number is None or not settings.from_phone_number or not settings.public_url:
        _fail(*faults)
    placed_id = uuid.uuid4().hex
    return PlacedCall(placed_id, name, parameters, settings.from_phone_number, to_number), settings.public_url


def _callee(number: str, settings: Settings, faults: list[str]) -> str | None:
    """A number as it is dialled; what speaks against dialling it is added to the faults."""
    e164 = existing_e164(number)
    if e164 is None:
        faults.append(f"{number!r} is not a number that exists: give it in E.164, e.g. +819012345678")
    elif not settings.may_dial(e164):
        faults.append(
            f"{e164} may not be called: ALLOWED_DESTINATIONS permits "
            f"{', '.join(settings.allowed_destinations)}"
        )
    return e164


def _other_party(
    agent: Agent, parameters: Mapping[str, str], to_number: str | None, settings: Settings, faults: list[str]
) -> str:
    """Whom the callee is to be connected to: checked before anybody's phone rings."""
    number = parameters.get(OTHER_NUMBER, agent.other_party)
    if number is None:
        faults.append(f"the agent {agent.name!r} connects two people: add --param {OTHER_NUMBER}=…")
        return ""
    other = _callee(number, settings, faults)
    if other is not None and other == to_number:
        faults.append(f"NUMBER and {OTHER_NUMBER} are the same: give the numbers of two people")
    return other or ""


def _missing_settings(settings: Settings) -> Iterable[str]:
    if settings.twilio_account_sid is None:
        yield "TWILIO_ACCOUNT_SID is not set: copy it from the Twilio console into .env"
    if settings.twilio_auth_token is None:
        yield "TWILIO_AUTH_TOKEN is not set: copy it from the Twilio console into .env"
    if settings.from_phone_number is None:
        yield "FROM_PHONE_NUMBER is not set: write your Twilio number into .env, e.g. +14155550100"
    if settings.public_url is None:
        yield (
            "PUBLIC_URL is not set: write into .env where Twilio reaches the server, "
            "e.g. https://example.ngrok-free.app"
        )
    elif _here(settings.public_url) and not _here(settings.twilio_api_url):  # a simulator may be here, too
        yield (
            f"PUBLIC_URL is {settings.public_url}, which only this machine reaches: set it to where Twilio "
            "reaches the server, e.g. https://example.ngrok-free.app"
        )


def _here(origin: str) -> bool:
    return is_loopback(urlsplit(origin).hostname or "")


def _parameters(pairs: Iterable[str]) -> dict[str, str]:
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            _fail(f"--param {pair}: expected KEY=VALUE, e.g. --param customerId=12345")
        if not is_text(pair):
            _fail(f"--param {pair!r}: expected text without control characters")
        parameters[name] = value
    return parameters


def _tell(status: str, detail: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {status:<12} {detail}".rstrip())


def _fail(*faults: str) -> NoReturn:
    for fault in faults:
        click.echo(f"Error: {fault}", err=True)
    sys.exit(1)
