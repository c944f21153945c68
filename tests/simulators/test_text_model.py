"""The pretend REST API: OpenAI's own client is satisfied with it, and it refuses what OpenAI would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from callapp.simulators.text_model import Failure, PretendTextModel, Refusal

KEY = "sk-0123"
MODEL = "gpt-5.6-luna"
MESSAGES: Any = [{"role": "user", "content": "Hello."}]


@pytest.fixture
def pretend() -> Iterator[PretendTextModel]:
    with PretendTextModel(["Hi.", Refusal(), Failure(500), "Bye."], api_key=KEY) as model:
        yield model


@pytest.fixture
def client(pretend: PretendTextModel) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=pretend.url, api_key=KEY, max_retries=0) as client:
        yield client


def schema(**changes: Any) -> dict[str, Any]:
    """A response format, whole but for what is changed."""
    whole = {
        "name": "answer",
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": False,
        },
        "strict": True,
    }
    return {"type": "json_schema", "json_schema": {**whole, **changes}}


def test_openai_s_own_client_reads_its_answers_in_order(
    pretend: PretendTextModel, client: openai.OpenAI
) -> None:
    ask = client.chat.completions.create
    first, second = (ask(model=MODEL, messages=MESSAGES) for _ in range(2))
    assert (first.choices[0].message.content, first.choices[0].message.refusal) == ("Hi.", None)
    assert second.choices[0].message.content is None
    assert second.choices[0].message.refusal
    assert first.usage is not None
    assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens
    with pytest.raises(openai.InternalServerError):
        ask(model=MODEL, messages=MESSAGES)
    for _ in range(2):
        assert ask(model=MODEL, messages=MESSAGES).choices[0].message.content == "Bye."
    assert len(pretend.requests) == 5


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"model": "gpt-2"}, openai.NotFoundError, "does not exist"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "robot", "content": "Hello."}]}, openai.BadRequestError, "role"),
        ({"extra_body": {"temprature": 1}}, openai.BadRequestError, "temprature"),
        ({"response_format": schema(name="with spaces")}, openai.BadRequestError, "name"),
        ({"response_format": schema(schema={"type": "array"})}, openai.BadRequestError, "type 'object'"),
        (
            {"response_format": schema(schema={"type": "object", "properties": {"a": {}}})},
            openai.BadRequestError,
            "strict",
        ),
    ],
)
def test_what_openai_would_refuse_is_refused(
    pretend: PretendTextModel,
    client: openai.OpenAI,
    wrong: dict[str, Any],
    error: type[openai.APIStatusError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **wrong})
    assert pretend.requests == []
    assert len(pretend.refused) == 1


def test_a_wrong_key_is_refused(pretend: PretendTextModel) -> None:
    with (
        openai.OpenAI(base_url=pretend.url, api_key="sk-wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.chat.completions.create(model=MODEL, messages=MESSAGES)


def test_a_strict_schema_that_is_one_is_taken(client: openai.OpenAI) -> None:
    asked: Any = schema()
    client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=asked)
