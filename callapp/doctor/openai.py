"""What OpenAI says of the key and the models: a session is opened, and closed before it costs anything."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import requests
import websocket

from callapp.doctor.finding import Finding, fault, ok, warning
from callapp.settings import Settings

WAIT_S = 5.0

_ADVICE = {
    "invalid_api_key": "set OPENAI_API_KEY to a key from https://platform.openai.com/api-keys",
    "model_not_found": "give the project of the key access to it, or correct {name}",
    "invalid_model": "correct {name}",
    "insufficient_quota": "add credit at https://platform.openai.com/settings/organization/billing",
    "credit_balance_exhausted": "add credit at https://platform.openai.com/settings/organization/billing",
}


def check_model(settings: Settings, model: str, named_by: str) -> list[Finding]:
    """Whether a session with this model can be opened.

    Args:
        named_by: the setting or field that names the model, to say what to correct.
    """
    if settings.openai_api_key is None:
        return [fault("OPENAI_API_KEY is not set", _ADVICE["invalid_api_key"])]
    key = settings.openai_api_key.get_secret_value()
    try:
        first = _first_event(f"{settings.openai_realtime_url}?{urlencode({'model': model})}", key)
    except websocket.WebSocketBadStatusException as error:
        return [
            fault(
                f"{settings.openai_realtime_url} answers HTTP {error.status_code} instead of a session",
                "check OPENAI_REALTIME_URL and OPENAI_API_KEY",
            )
        ]
    except (websocket.WebSocketException, OSError, ValueError) as error:
        return [
            fault(
                f"no session at {settings.openai_realtime_url}: {_first_line(error)}",
                "check the network, and OPENAI_REALTIME_URL if it is set",
            )
        ]
    if first.get("type") == "session.created":
        return [ok(f"OpenAI opens a session of {model}"), *_check_shutdown(settings, model, named_by, key)]
    reported = first.get("error")
    refusal = reported if isinstance(reported, dict) else {}
    code = str(refusal.get("code") or refusal.get("type") or first.get("type"))
    advice = _ADVICE.get(code, "see https://platform.openai.com/docs/guides/realtime")
    return [
        fault(
            f"OpenAI refuses a session of {model}: {code}: {refusal.get('message', '')}".replace(key, "…"),
            advice.format(name=named_by),
        )
    ]


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


def _check_shutdown(settings: Settings, model: str, named_by: str, key: str) -> list[Finding]:
    """Whether the service has announced the end of a model. Of use where it tells; silence is no fault."""
    url = urlsplit(settings.openai_realtime_url)
    scheme = {"wss": "https", "ws": "http"}[url.scheme]
    path = f"{url.path.removesuffix('/realtime')}/models/{quote(model, safe='')}"
    try:
        answer = requests.get(
            urlunsplit((scheme, url.netloc, path, "", "")),
            headers={"Authorization": f"Bearer {key}"},
            timeout=WAIT_S,
            allow_redirects=False,
        )
        date = answer.json()["shutdown_date"] if answer.ok else None
    except (requests.RequestException, KeyError, TypeError, ValueError):
        date = None
    if not isinstance(date, str):
        return []
    return [warning(f"OpenAI shuts {model} down on {date}", f"choose another model before, in {named_by}")]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
