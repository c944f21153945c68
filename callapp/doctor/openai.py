"""What OpenAI says of the key and the models: a session is opened, and closed before it costs anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode

import requests
import websocket

from callapp.doctor.finding import Finding, Level, fault, ok, warning
from callapp.sentences import N_, Quoted, Sentence
from callapp.settings import Settings

WAIT_S = 5.0
TRANSLATIONS = "/translations"

_SET_THE_KEY = N_("set OPENAI_API_KEY to a key from https://platform.openai.com/api-keys")
NO_KEY = fault(N_("OPENAI_API_KEY is not set"), _SET_THE_KEY)


def check_model(
    settings: Settings, key: str, model: str, named_by: str, below: str = ""
) -> Iterator[Finding]:
    """Whether a session with this model can be opened, today and in future.

    Args:
        named_by: the setting or field that names the model, to say what to correct.
        below: where such sessions are below OPENAI_REALTIME_URL, if not there itself.
    """
    session = _check_session(settings, key, model, named_by, below)
    yield session
    if session.level is Level.OK:
        yield from _check_shutdown(settings, key, model, named_by)


def _check_session(settings: Settings, key: str, model: str, named_by: str, below: str) -> Finding:
    try:
        first = _first_event(f"{settings.openai_realtime_url}{below}?{urlencode({'model': model})}", key)
    except websocket.WebSocketBadStatusException as error:
        return fault(
            N_(
                "%(url)s answers HTTP %(status)s instead of a session",
                url=settings.openai_realtime_url,
                status=error.status_code,
            ),
            N_("check OPENAI_REALTIME_URL and OPENAI_API_KEY"),
        )
    except (websocket.WebSocketException, OSError, ValueError) as error:
        return fault(
            N_(
                "no session at %(url)s: %(error)s",
                url=settings.openai_realtime_url,
                error=Quoted(_first_line(error)),
            ),
            N_("check the network, and OPENAI_REALTIME_URL if it is set"),
        )
    if first.get("type") == "session.created":
        return ok(N_("OpenAI opens a session of %(model)s", model=model))
    reported = first.get("error")
    refusal = reported if isinstance(reported, dict) else {}
    code = str(refusal.get("code") or refusal.get("type") or first.get("type"))
    reason = Quoted(f"{code}: {refusal.get('message', '')}".replace(key, "…"))
    return fault(
        N_("OpenAI refuses a session of %(model)s: %(reason)s", model=model, reason=reason),
        _advice(code, named_by),
    )


def _advice(code: str, named_by: str) -> Sentence:
    """What to do about a refusal."""
    match code:
        case "invalid_api_key":
            return _SET_THE_KEY
        case "model_not_found":
            return N_("give the project of the key access to it, or correct %(name)s", name=named_by)
        case "invalid_model":
            return N_("correct %(name)s", name=named_by)
        case "insufficient_quota" | "credit_balance_exhausted":
            return N_("add credit at https://platform.openai.com/settings/organization/billing")
    return N_("see https://platform.openai.com/docs/guides/realtime")


def _first_event(url: str, key: str) -> dict[str, Any]:
    """What the service says first: ``session.created``, or an ``error``."""
    dialled = websocket.create_connection(
        url,
        timeout=WAIT_S,
        header=[f"Authorization: Bearer {key}"],
        suppress_origin=True,
        redirect_limit=0,  # a redirect would take our key to another host
    )
    with closing(dialled):
        event = json.loads(dialled.recv())
    if not isinstance(event, dict):
        raise ValueError("what it says is no event")
    return event


def _check_shutdown(settings: Settings, key: str, model: str, named_by: str) -> Iterator[Finding]:
    """Whether the service has announced the end of a model. Of use where it tells; silence is no fault."""
    try:
        answer = requests.get(
            f"{settings.openai_rest_url}/models/{quote(model, safe='')}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=WAIT_S,
            allow_redirects=False,
        )
        date = answer.json()["shutdown_date"] if answer.ok else None
    except (requests.RequestException, KeyError, TypeError, ValueError):
        date = None
    if isinstance(date, str):
        yield warning(
            N_("OpenAI shuts %(model)s down on %(date)s", model=model, date=date),
            N_("choose another model before, in %(name)s", name=named_by),
        )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
