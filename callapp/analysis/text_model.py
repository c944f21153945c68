"""Asks a text model over OpenAI's REST API: Chat Completions, which compatible servers have, too.

https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from callapp.jobs.http import USER_AGENT, by_proxy, pause_s
from callapp.jobs.runner import GiveUp, TryLater
from callapp.prices import TextTokens

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI
    from openai.types.chat import ChatCompletion

CONNECT_S = 5.0
SILENCE_S = 60.0  # to the answer's beginning
ANSWER_S = 90.0  # to its end
# Far more than a summary and an agent's data come to.
MOST_ANSWER_BYTES = 2**20
# Anything else will pass: 408, 409, 429 (but for one code), 5xx.
_HOPELESS = frozenset({400, 401, 403, 404, 413, 422})
_NO_CREDIT = "insufficient_quota"


@dataclass(frozen=True)
class Answered:
    """What a text model said, and what that took.

    Args:
        text: ``None`` if it refused to say anything.
        tokens: ``None`` if the service does not tell.
    """

    text: str | None
    tokens: TextTokens | None


class TextModel:
    """OpenAI, or what stands in for it. Used by one thread at a time.

    Args:
        base_url: e.g. ``https://api.openai.com/v1``.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._client: OpenAI | None = None

    def close(self) -> None:
        """Close idle connections."""
        if self._client is not None:
            self._client.close()

    def ask(self, model: str, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]) -> Answered:
        """Return what the model answers: the text of a JSON object, if it kept to the schema.

        Raises:
            TryLater: the service could not be reached, or is too busy.
            GiveUp: it will not answer: a wrong key, no such model, no credit.
        """
        # Imported when it is needed: it takes half a second and 35 MB, which a process has to spare for it
        # that analyses calls, and no other.
        import openai

        if self._client is None:
            self._client = _connect(self._base_url, self._api_key)
        # Not strict: that takes a narrow kind of schema only, and an agent's is what it is. Whoever asks
        # holds the answer against it.
        wanted = {"name": "call_record", "schema": schema, "strict": False}
        try:
            completion = self._client.chat.completions.create(
                model=model,
                messages=cast(Any, messages),
                response_format=cast(Any, {"type": "json_schema", "json_schema": wanted}),
                store=False,
            )
        except openai.APIConnectionError as error:
            raise TryLater(f"the text model could not be reached: {type(error).__name__}") from error
        except openai.APIStatusError as error:
            raise _refusal(error) from error
        except (openai.APIError, ValueError) as error:
            raise TryLater(_NONSENSE) from error
        return Answered(_content(completion), _tokens(completion))


_NONSENSE = "what the text model answered makes no sense"


def _connect(base_url: str, api_key: str) -> OpenAI:
    from openai import OpenAI, Timeout

    from callapp.analysis.whole_answer import WholeAnswers

    return OpenAI(
        api_key=api_key,
        base_url=base_url,
        timeout=Timeout(SILENCE_S, connect=CONNECT_S),
        max_retries=0,  # jobs are: in the database, where a restart does not forget them
        default_headers={"User-Agent": USER_AGENT},
        http_client=WholeAnswers(
            ANSWER_S, MOST_ANSWER_BYTES, trust_env=by_proxy(base_url), follow_redirects=False
        ),
    )


def _content(completion: ChatCompletion) -> str | None:
    try:  # the package takes what comes for what it asked for
        choice = completion.choices[0]
        content, refusal, why = choice.message.content, choice.message.refusal, choice.finish_reason
    except (AttributeError, LookupError, TypeError) as error:
        raise TryLater(_NONSENSE) from error
    if refusal or why == "content_filter":
        return None
    return content if isinstance(content, str) else ""


def _tokens(completion: ChatCompletion) -> TextTokens | None:
    usage = completion.usage
    if usage is None:
        return None
    details = usage.prompt_tokens_details
    return TextTokens(
        read=usage.prompt_tokens,
        cached=(details and details.cached_tokens) or 0,
        cache_written=(details and details.cache_write_tokens) or 0,
        written=usage.completion_tokens,
    )


def _refusal(error: APIStatusError) -> GiveUp | TryLater:
    """What an answer with the status of an error comes to."""
    words = error.body.get("message") if isinstance(error.body, dict) else None
    said = str(words)[:200] if words else "nothing that explains it"
    why = f"the text model answered {error.status_code} {error.code or ''}: {said}"
    if error.status_code in _HOPELESS or error.code == _NO_CREDIT:
        return GiveUp(why)
    return TryLater(why, pause_s(error.response.headers))
