"""The form that places a call: what ``POST /outgoing-call`` does, with the same checks, as they are typed."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from markupsafe import Markup

from callapp.agents import Agent
from callapp.call.pairing import OTHER_NUMBER
from callapp.phone_numbers import without_spaces
from callapp.services import services
from callapp.web.call_request import check_call_request
from callapp.web.desk.pages import agents_to_choose, in_words
from callapp.web.desk.sign_in import blueprint
from callapp.web.outgoing import count_request, place_call
from callapp.web.problems import Problem

_PARAMETER = "parameter."


@blueprint.get("/dial")
def dial() -> ResponseReturnValue:
    return _page({"phoneNumber": services().settings.to_phone_number or ""})


@blueprint.post("/dial")
def place() -> ResponseReturnValue:
    form = _form()
    try:
        if (too_many := count_request()) is not None:
            raise too_many
        placed = place_call(check_call_request(form))
    except Problem as problem:
        return _page(form, fault=in_words(problem.detail)), problem.code or 400
    flash(_("%(number)s is being called: %(sid)s.", number=placed["to"], sid=placed["callSid"]))
    # Not this page: who loads it again would have the phone ring again.
    return redirect(url_for("desk.call", call_sid=placed["callSid"]), 303)


@blueprint.post("/dial/check")
def check() -> ResponseReturnValue:
    """What is wrong with the form so far, in a sentence; nothing is called."""
    try:
        call = check_call_request(_form())
    except Problem as problem:
        return {"fault": in_words(problem.detail).striptags()}
    return {"fault": None, "to": call.to}


def _form() -> dict[str, Any]:
    """The form's fields as the API's body has them."""
    # An empty field is one that was not filled in yet, and not a value. Without a script there are fields for
    # all agents, and what two of them ask for by one name is filled in for one.
    parameters = {
        name.removeprefix(_PARAMETER): value
        for name, value in request.form.items(multi=True)
        if name.startswith(_PARAMETER) and value
    }
    if OTHER_NUMBER in parameters:
        parameters[OTHER_NUMBER] = without_spaces(parameters[OTHER_NUMBER])
    number = without_spaces(request.form.get("phoneNumber", ""))
    return {"phoneNumber": number, "agent": request.form.get("agent", ""), "parameters": parameters}


def _page(form: dict[str, Any], fault: Markup | None = None) -> str:
    # Captions are of calls that come in.
    agents = [agent for agent in agents_to_choose() if agent.kind != "captions"]
    needs = {agent.name: _needs(agent) for agent in agents}
    return render_template("desk/dial.html", agents=agents, needs=needs, form=form, fault=fault)


def _needs(agent: Agent) -> list[str]:
    """What has to be filled in for it: the values of its texts, and whom else an interpreter is to call."""
    needed = set(agent.missing({}))
    if agent.kind == "interpreter" and agent.other_party is None:
        needed.add(OTHER_NUMBER)
    return sorted(needed)
