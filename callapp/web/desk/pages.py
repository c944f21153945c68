"""What all pages of the desk share: the way in, their language, and how faults look."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from flask import Flask, Response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import Babel, get_locale
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from markupsafe import Markup, escape
from werkzeug.exceptions import HTTPException

from callapp.agents import Agent
from callapp.call_log import StoreUnavailable
from callapp.phone_numbers import as_read
from callapp.recording.shelf import ShelfUnavailable
from callapp.sentences import N_, Quoted, Sentence
from callapp.services import services
from callapp.version import VERSION
from callapp.web import problems
from callapp.web.desk.sign_in import LANGUAGE, blueprint, session_of_request
from callapp.web.problems import Problem

LANGUAGES = {"ja": "日本語", "en": "English"}


def prepare(app: Flask) -> None:
    """Let the app speak the desk's languages."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = "web/translations"
    Babel(app, locale_selector=_language)


@blueprint.get("", strict_slashes=False)  # people type a slash, too
def home() -> ResponseReturnValue:
    return redirect(url_for("desk.live"), 303)


@blueprint.get("/<path:path>")
def nowhere(path: str) -> ResponseReturnValue:  # noqa: ARG001 - what Flask gives
    """Whatever is no page of the desk."""
    raise Problem(404, N_("There is no such page."))


@blueprint.post("/language")
def set_language() -> ResponseReturnValue:
    """Speak another language from now on; go on where the reader was."""
    wanted = request.form.get(LANGUAGE)
    if wanted in LANGUAGES:
        session[LANGUAGE] = wanted
    back = request.form.get("back", "")
    # A path of the desk, and nothing that a browser takes for another host.
    safe = back.startswith("/desk") and "//" not in back and "\\" not in back
    return redirect(back if safe else url_for("desk.home"), 303)


def agents_to_choose() -> list[Agent]:
    """All agents, the default one first."""
    agents = services().agents
    return sorted(agents.values(), key=lambda agent: (agent is not agents.default, agent.name))


blueprint.add_app_template_filter(as_read, "phone")


@blueprint.context_processor
def shown_everywhere() -> dict[str, object]:
    return {
        "languages": LANGUAGES,
        "language": str(get_locale() or "en"),
        "here": _here(),
        "signed_in": session_of_request() is not None,
        "version": VERSION,
        "can_sign_out": services().settings.callapp_api_key is not None and session_of_request() is not None,
    }


@blueprint.app_template_filter()
def in_words(said: object) -> Markup:
    """A sentence in the language of whoever reads it; what is quoted in it is marked as English.

    Its ``striptags()`` is the text of it, for programs.
    """
    if isinstance(said, Quoted):
        return Markup('<span lang="en">{}</span>').format(said)
    if not isinstance(said, Sentence):
        return escape(said)
    words = escape(_(said.template))
    # Other values are left to Markup, which escapes them.
    values = {
        name: in_words(value) if isinstance(value, Sentence | Quoted) else value
        for name, value in said.values.items()
    }
    return words % values if values else words


@blueprint.errorhandler(HTTPException)
def show_fault(error: HTTPException) -> ResponseReturnValue | HTTPException:
    """A page for people, a problem for programs."""
    said = in_words(_detail(error))
    error.description = said.striptags()
    answer = problems.answer(error)
    if not (request.accept_mimetypes.accept_html and isinstance(answer, Response)):
        return answer
    status = HTTPStatus(answer.status_code)
    page = render_template("desk/fault.html", status=status, detail=said)
    kept = {name: answer.headers[name] for name in ("Allow", "Retry-After") if name in answer.headers}
    return page, status, kept


@blueprint.errorhandler(StoreUnavailable)
def show_database_down(error: StoreUnavailable) -> ResponseReturnValue | HTTPException:
    return show_fault(problems.database_down(error))


@blueprint.errorhandler(ShelfUnavailable)
def show_shelf_away(error: ShelfUnavailable) -> ResponseReturnValue | HTTPException:
    return show_fault(problems.shelf_away(error))


def _here() -> str:
    """What shows the reader this page again; of a form that was sent, the page that it is on."""
    return request.full_path.rstrip("?") if request.method == "GET" else urlsplit(request.referrer or "").path


def _detail(error: HTTPException) -> Sentence | Quoted:
    if isinstance(error, Problem):
        return error.detail
    if isinstance(error, CSRFError):
        if "referrer" in (error.description or ""):  # else it is the token; Flask-WTF has no other sign of it
            return N_(
                "The browser does not say that this form is of this address. Let it send a Referer to it, "
                "and a proxy in front pass on the Host that was asked for."
            )
        return N_("This form is of an earlier session. Load its page again, then send it once more.")
    if error.code == HTTPStatus.INTERNAL_SERVER_ERROR:
        return problems.FAILED
    return Quoted(error.description or "")


def _language() -> str:
    chosen = session.get(LANGUAGE)
    if chosen in LANGUAGES:
        return str(chosen)
    return request.accept_languages.best_match(LANGUAGES, "en") or "en"
