"""The setup page: what ``flask doctor`` finds, and the one thing that we can set right ourselves."""

from __future__ import annotations

from pathlib import Path

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue

from callapp.doctor.examination import examine
from callapp.doctor.finding import Finding, Level
from callapp.services import services
from callapp.web.desk.sign_in import blueprint

_WORST_FIRST = (Level.FAULT, Level.WARNING, Level.OK)


@blueprint.get("/setup")
def setup() -> ResponseReturnValue:
    """At once; what takes seconds comes with the findings. Without a script the page waits for them."""
    found = {"findings": _examine(fixes_webhook=False)} if "found" in request.args else {}
    return render_template("desk/setup.html", **found)


@blueprint.get("/setup/findings")
def findings() -> ResponseReturnValue:
    """A piece of the page: all that was found."""
    return render_template("desk/findings.html", findings=_examine(fixes_webhook=False))


@blueprint.post("/setup")
def fix_webhook() -> ResponseReturnValue:
    """Let calls to our number come here, and look again."""
    return render_template("desk/setup.html", findings=_examine(fixes_webhook=True))


def _examine(*, fixes_webhook: bool) -> list[Finding]:
    app = services()
    found = examine(app.settings, app.agents, Path(current_app.instance_path), lambda _: fixes_webhook)
    return sorted(found, key=lambda finding: _WORST_FIRST.index(finding.level))
