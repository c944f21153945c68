"""The browser phone: a page that is a phone at ``/ws``, and the request that opens the line for it."""

from __future__ import annotations

from flask import render_template
from flask.typing import ResponseReturnValue

from callapp.sentences import N_
from callapp.services import services
from callapp.telephony.twiml import AGENT_PARAMETER, TOKEN_PARAMETER
from callapp.web.browser_line import SUBPROTOCOL, TICKET_PREFIX, open_line
from callapp.web.call_request import read_json, read_parameters
from callapp.web.desk.pages import agents_to_choose
from callapp.web.desk.sign_in import blueprint, session_of_request
from callapp.web.outgoing import count_request
from callapp.web.problems import Problem


@blueprint.get("/phone")
def phone() -> ResponseReturnValue:
    # An interpreter needs two phones.
    agents = [agent for agent in agents_to_choose() if agent.kind == "assistant"]
    pretends = services().settings.openai_api_key is None
    return render_template("desk/phone.html", agents=agents, pretends=pretends)


@blueprint.post("/phone/calls")
def open_call() -> ResponseReturnValue:
    """Everything that the page needs to make one call; what is spoken by Twilio otherwise, as text."""
    app = services()
    if (too_many := count_request()) is not None:
        raise too_many
    body = read_json()
    agent = app.agents.get(str(body.get("agent", app.settings.default_agent)))
    if agent is None:
        raise Problem(404, N_("There is no such agent any more: load the page again."))
    parameters = agent.parameters_of(read_parameters(body.get("parameters", {})))
    missing = agent.missing(parameters)
    if missing:
        raise Problem(400, N_("The agent needs values for: %(names)s.", names=", ".join(missing)))
    lines = {which: agent.line(which, parameters) for which in ("opening", "closing")}
    session_id = session_of_request()
    assert session_id is not None, "the desk is for those who signed in"
    line = open_line(agent, parameters, session_id, app)
    return {
        "callSid": line.call_sid,
        "streamSid": line.stream_sid,
        "subprotocols": [SUBPROTOCOL, TICKET_PREFIX + line.ticket],
        "parameters": {**parameters, TOKEN_PARAMETER: line.token, AGENT_PARAMETER: agent.name},
        **lines,
    }, 201
