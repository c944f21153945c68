"""The line between a browser at the desk and ``/ws``, where a phone's audio comes from Twilio.

A browser cannot sign its upgrade as Twilio does. The signed-in page asks for a *ticket* instead, which
travels as a WebSocket subprotocol: unlike a query it stands in no log on the way. From the upgrade on, the
browser says what Twilio says, and its ``start`` carries a one-time token as that of any call.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import request

from callapp.agents import Agent
from callapp.call_log import Admission
from callapp.sentences import N_
from callapp.services import Services, services
from callapp.web.problems import Problem
from callapp.web.slots import take_slot

SUBPROTOCOL = "callapp.browser"
"""What the server chooses; a browser wants one of those it offered to be chosen."""
TICKET_PREFIX = "ticket."

# From the page's request to its upgrade nobody has to do anything but the browser.
TICKET_LIVES_S = 20
# And to its start.
STREAM_WITHIN_S = 30


@dataclass(frozen=True)
class BrowserCall:
    """What a page needs to make one call."""

    call_sid: str
    stream_sid: str
    token: str
    ticket: str


def open_line(agent: Agent, parameters: Mapping[str, str], session_id: str, app: Services) -> BrowserCall:
    """Take a slot for one call of a signed-in browser, and make its token and its ticket.

    Raises:
        Problem: 400, the agent does not talk to one alone; 503, there is no slot.
        StoreUnavailable: the database did not take it.
    """
    if agent.kind != "assistant":
        raise Problem(
            400,
            N_("The agent %(agent)r connects two phones: place a call to hear it.", agent=agent.name),
        )
    call_sid = f"CA{secrets.token_hex(16)}"  # looks like Twilio's, and is none of theirs
    take_slot(call_sid, app.registry)
    try:
        app.registry.expect_stream(call_sid, STREAM_WITHIN_S)
        admission = Admission(
            slot_key=call_sid,
            call_sid=call_sid,
            agent=agent.name,
            parameters=parameters,
            direction="browser",
            from_number="browser",
            to_number="",
        )
        return BrowserCall(
            call_sid=call_sid,
            stream_sid=f"MZ{secrets.token_hex(16)}",
            token=app.store.issue_token(admission, STREAM_WITHIN_S),
            ticket=app.store.issue_ticket(session_id, TICKET_LIVES_S),
        )
    except BaseException:
        app.registry.give_back(call_sid)
        raise


def offered_ticket() -> str | None:
    """The ticket among the subprotocols of an upgrade; ``None`` if it is not a browser's."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    for name in (part.strip() for part in offered.split(",")):
        if name.startswith(TICKET_PREFIX):
            return name.removeprefix(TICKET_PREFIX)
    return None


def same_origin() -> bool:
    """Whether the page that asks is one of ours: browsers let any page open a WebSocket to anywhere."""
    origin = request.headers.get("Origin", "")
    ours = services().settings.public_url
    return bool(origin) and (origin == ours or urlsplit(origin).netloc == request.host)
