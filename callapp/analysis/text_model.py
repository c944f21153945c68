"""Asks a text model over OpenAI's REST API: ``POST /chat/completions``, which compatible servers have, too.

By plain HTTP: importing the ``openai`` package keeps the interpreter busy for half a second, during which
calls that are alive would wait for it, and takes 40 MB in each worker, for one request a call.
https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from callapp.jobs.http import new_session, pause_s
from callapp.jobs.runner import GiveUp, TryLater

CONNECT_S = 5.0
ANSWER_S = 60.0
# Anything else will pass: 408, 409, 429 (but for one code), 5xx.
_HOPELESS = frozenset({400, 401, 403, 404, 413, 422})
_NO_CREDIT = "insufficient_quota"


class TextModel:
    """OpenAI, or what stands in for it. Used by one thread at a time.

    Args:
        base_url: e.g. ``https://api.openai.com/v1``.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self._url = f"{base_url}/chat/completions"
        self._session = new_session(base_url, api_key)

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def ask(self, model: str, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]) -> str:
        """Return what the model answers: the text of a JSON object, if it kept to the schema.

        Raises:
            TryLater: the service could not be reached, or is too busy.
            GiveUp: it will not answer: a wrong key, no such model, no credit, a refusal.
        """
        body: dict[str, Any] = {
            "model": model,
            "messages": list(messages),
            "response_format": {
                "type": "json_schema",
                # Not strict: that takes a narrow kind of schema only, and an agent's is what it is. Whoever
                # asks holds the answer against it.
                "json_schema": {"name": "call_record", "schema": schema, "strict": False},
            },
            "store": False,
        }
        try:
            answer = self._session.post(
                self._url, json=body, timeout=(CONNECT_S, ANSWER_S), allow_redirects=False
            )
        except requests.RequestException as error:
            raise TryLater(f"the text model could not be reached: {type(error).__name__}") from error
        if answer.status_code != requests.codes.ok:
            code, message = _error(answer)
            why = f"the text model answered {answer.status_code} {code}: {message}"
            if answer.status_code in _HOPELESS or code == _NO_CREDIT:
                raise GiveUp(why)
            raise TryLater(why, pause_s(answer))
        return _content(answer)


def _content(answer: requests.Response) -> str:
    try:
        choice = answer.json()["choices"][0]
        message, why = choice["message"], choice["finish_reason"]
        content = message["content"]
    except (ValueError, LookupError, TypeError) as error:
        raise TryLater("what the text model answered makes no sense") from error
    if message.get("refusal") or why == "content_filter":
        raise GiveUp("the text model refused to answer")
    return content if isinstance(content, str) else ""


def _error(answer: requests.Response) -> tuple[str, str]:
    """The code and the words of an error, as far as there are any."""
    try:
        error = answer.json()["error"]
        return str(error.get("code")), str(error.get("message"))[:200]
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", "nothing that explains it"
