"""The body of ``POST /outgoing-call``: read, checked, and made into a ``CallRequest``.

Checks come in the order that the statuses have in the README: 413 and 415, 400, 404, 403. A template value
that is missing is the one 400 that can only be found once the agent is known to exist.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from callapp.agents import Agent
from callapp.agents.templates import is_text
from callapp.call.pairing import OTHER_NUMBER
from callapp.phone_numbers import e164, existing_e164
from callapp.sentences import N_
from callapp.services import services
from callapp.web.problems import Problem
from callapp.web.urls import public_origin, reachable

MAX_BODY_BYTES = 16 * 1024
# Of forms, which are read before it is known whose they are; Twilio's can carry what its add-ons have found.
MAX_FORM_BYTES = 64 * 1024
MAX_IDEMPOTENCY_KEY_CHARS = 255
FIELDS = ("phoneNumber", "agent", "parameters")

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")


@dataclass(frozen=True)
class CallRequest:
    """A call that may be placed, as far as the request itself goes.

    ``other`` is who is called as well, to talk to them; most agents speak themselves. ``body_hash`` is of the
    body and of who is called by it: a setting or a file may say so.
    """

    to: str
    other: str | None
    agent: Agent
    parameters: Mapping[str, str]
    idempotency_key: str | None
    body_hash: str


def check_call_request(body: Mapping[str, Any]) -> CallRequest:
    """Check what a body asks for; the request says where we are reached, and its idempotency key.

    Raises:
        Problem: 400, 403 or 404.
    """
    settings, agents = services().settings, services().agents
    for field in body:
        if field not in FIELDS:
            raise Problem(400, f"There is no field {field!r}: the fields are {', '.join(FIELDS)}.")
    to = _callee(body)
    agent_name = body.get("agent", settings.default_agent)
    if not isinstance(agent_name, str):
        raise Problem(
            400, "agent has to be a string, the name of an agent; leave it out for the default one."
        )
    parameters = read_parameters(body.get("parameters", {}))
    key = _idempotency_key()
    origin = public_origin()
    if settings.public_url is None and not reachable(origin):
        raise Problem(
            400,
            N_(
                "Twilio cannot reach this server at %(origin)s: set PUBLIC_URL to the origin at which it "
                "can, e.g. https://example.ngrok-free.app.",
                origin=origin,
            ),
        )

    agent = agents.get(agent_name)
    if agent is None:
        raise Problem(
            404,
            N_(
                "There is no agent %(agent)r: the agents are %(agents)s.",
                agent=agent_name,
                agents=", ".join(sorted(agents)),
            ),
        )
    if agent.kind == "captions":
        raise Problem(
            400,
            N_(
                "The agent %(agent)r only listens to calls that come in: point a number at it.",
                agent=agent.name,
            ),
        )
    missing = agent.missing(parameters)
    if missing:
        raise Problem(
            400,
            N_(
                "The agent %(agent)r needs values in parameters for: %(names)s.",
                agent=agent.name,
                names=", ".join(missing),
            ),
        )
    parameters = agent.parameters_of(parameters)
    other = _other_party(agent, parameters, to) if agent.kind == "interpreter" else None
    if not all(settings.may_dial(number) for number in (to, other) if number is not None):
        raise Problem(
            403,
            N_(
                "Calls to this destination are not allowed: ALLOWED_DESTINATIONS permits %(allowed)s.",
                allowed=", ".join(settings.allowed_destinations),
            ),
        )
    return CallRequest(to, other, agent, parameters, key, _hash([body, to, other]))


def read_json() -> dict[str, Any]:
    """The object that is the request's body.

    Raises:
        Problem: 400, 413 or 415.
    """
    # A chunked body, which does not say its length, is cut at the limit without a word.
    request.max_content_length = MAX_BODY_BYTES + 1
    try:
        # Read even if it turns out to be of the wrong type: a body left in the socket would be taken
        # for the next request.
        raw = request.get_data(cache=False)
        if len(raw) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge
    except RequestEntityTooLarge:
        raise Problem(413, f"The body is over {MAX_BODY_BYTES // 1024} KiB.") from None
    if request.mimetype != "application/json":
        raise Problem(415, "Send the body as JSON, with the header `Content-Type: application/json`.")
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Problem(400, f"The body is not JSON: {reason}.") from None
    if not isinstance(body, dict):
        raise Problem(400, 'The body has to be a JSON object, e.g. {"phoneNumber": "+819012345678"}.')
    return body


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field occurs twice")
    return fields


def _callee(body: Mapping[str, Any]) -> str:
    """The number to call, in E.164."""
    if "phoneNumber" in body:
        return _e164(body["phoneNumber"], N_("phoneNumber"))
    usual = services().settings.to_phone_number  # checked when the settings were read
    if usual is None:
        raise Problem(400, N_("There is nobody to call: give phoneNumber, or set TO_PHONE_NUMBER."))
    return usual


def _other_party(agent: Agent, parameters: Mapping[str, str], to: str) -> str:
    """The number of the second person of an interpreted call, in E.164."""
    given = parameters.get(OTHER_NUMBER)
    if given is None and agent.other_party is None:
        raise Problem(
            400,
            N_(
                "The agent %(agent)r connects two people: give the number of the other in parameters, "
                "as %(field)s.",
                agent=agent.name,
                field=OTHER_NUMBER,
            ),
        )
    other = agent.other_party if given is None else _e164(given, f"parameters.{OTHER_NUMBER}")
    if other is None or other == to:
        raise Problem(
            400,
            N_("phoneNumber and %(field)s are the same: give the numbers of two people.", field=OTHER_NUMBER),
        )
    return other


def _e164(number: object, name: str) -> str:
    """A number that can be dialled, as it was given; ``name`` is that of the field."""
    if not isinstance(number, str) or not _E164.fullmatch(number):
        raise Problem(
            400,
            N_("%(field)s has to be a string in E.164, without spaces, e.g. +819012345678.", field=name),
        )
    if e164(number) is None:
        raise Problem(400, N_("%(field)s has a country code that does not exist.", field=name))
    existing = existing_e164(number)
    if existing is None:
        raise Problem(
            400,
            N_("%(field)s is not a number that exists: check its country code and its length.", field=name),
        )
    if number != existing:  # e.g. the 0 that is dialled at home, kept after the country code
        raise Problem(400, N_("%(field)s is not in E.164; did you mean %(e164)s?", field=name, e164=existing))
    return number


def read_parameters(given: Any) -> dict[str, str]:
    """Values for the agent's texts. Numbers and booleans become what JSON would show.

    Raises:
        Problem: 400.
    """
    if not isinstance(given, dict):
        raise Problem(400, 'parameters has to be an object, e.g. {"customerId": "12345"}.')
    parameters = {}
    for name, value in given.items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, float) and not math.isfinite(value):
            raise Problem(400, f"The number of the parameter {name!r} is too large.")
        elif isinstance(value, (int, float)):
            value = str(value)
        elif not isinstance(value, str):
            raise Problem(400, f"The parameter {name!r} has to be a string, a number, true or false.")
        if not name or not (is_text(name) and is_text(value)):
            raise Problem(
                400, N_("The parameter %(name)r has to be text without control characters.", name=name)
            )
        parameters[name] = value
    return parameters


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_CHARS:
        raise Problem(400, f"Idempotency-Key has to have 1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters.")
    return key


def _hash(asked: Any) -> str:
    """The same for the same JSON, whatever its spaces and the order of its fields."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
