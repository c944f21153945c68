"""A pretend OpenAI REST API, the part that writes text: strict, on a loopback port, with no account.

    with PretendTextModel(['{"summary": "…"}']) as model:
        ...                                     # OPENAI_BASE_URL is model.url
        assert model.requests[0]["model"] == "gpt-5.6-luna"

``POST /v1/chat/completions`` and nothing else, as in OpenAI's published reference, read 2026-11. A request
that it would refuse is refused with its status, code and words. Answers come from a list, in order; the last
one again and again.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PATH = "/v1/chat/completions"
MODELS = ("gpt-5.6-luna", "gpt-5.6-terra", "gpt-5.6-sol", "gpt-6-luna", "gpt-6-sol")
_MOST_BODY_BYTES = 8 * 1024 * 1024
_POLL_S = 0.05


@dataclass(frozen=True)
class Failure:
    """An answer that is an error, e.g. ``Failure(429, "rate_limit_exceeded")``."""

    status: int
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """The model says that it will not answer."""

    words: str = "I'm sorry, I cannot help with that."


Answer = str | Failure | Refusal


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Message(_Part):
    role: Literal["developer", "system", "user", "assistant"]
    content: str
    name: str | None = None


class _JsonSchema(_Part):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class _JsonSchemaFormat(_Part):
    type: Literal["json_schema"]
    json_schema: _JsonSchema


class _PlainFormat(_Part):
    type: Literal["text", "json_object"]


class _Request(_Part):
    """What of the reference is of use here; a field that the reference does not have is refused by name."""

    model: str
    messages: Annotated[list[_Message], Field(min_length=1)]
    response_format: _JsonSchemaFormat | _PlainFormat | None = None
    store: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: dict[str, str] | None = None


class _Refused(Exception):
    def __init__(self, status: int, code: str | None, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = {
            "message": message,
            "type": "invalid_request_error",
            "param": param,
            "code": code,
        }


class PretendTextModel:
    """A server that speaks the Chat Completions API.

    Args:
        answers: what it says, request by request.
        api_key: the only valid key; ``None`` takes any.
    """

    def __init__(self, answers: Sequence[Answer], *, api_key: str | None = None) -> None:
        self._answers = list(answers)
        self._api_key = api_key
        self._lock = threading.Lock()
        self.requests: list[dict[str, Any]] = []
        """The bodies of all requests that were valid."""
        self.refused: list[str] = []
        """What was wrong with those that were not."""
        pretend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                pretend._serve(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="pretend-text-model", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> PretendTextModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        try:
            body = self._read(handler)
        except _Refused as refused:
            with self._lock:
                self.refused.append(str(refused))
            _reply(handler, refused.status, {"error": refused.error})
            return
        with self._lock:
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            self.requests.append(body)
        if isinstance(answer, Failure):
            error = {"message": "It went wrong.", "type": "server_error", "param": None, "code": answer.code}
            _reply(handler, answer.status, {"error": error}, answer.headers)
        else:
            _reply(handler, 200, _completion(body["model"], answer))

    def _read(self, handler: BaseHTTPRequestHandler) -> dict[str, Any]:
        """The request's body, if the real service would take it."""
        raw = handler.rfile.read(min(int(handler.headers.get("content-length") or 0), _MOST_BODY_BYTES))
        if handler.path != PATH:
            raise _Refused(404, None, f"Invalid URL (POST {handler.path})")
        scheme, _, key = handler.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise _Refused(401, None, "You didn't provide an API key.")
        if self._api_key is not None and key != self._api_key:
            raise _Refused(401, "invalid_api_key", "Incorrect API key provided.")
        if handler.headers.get_content_type() != "application/json":
            raise _Refused(400, None, "you must provide a JSON body")
        try:
            body: dict[str, Any] = json.loads(raw)
            request = _Request.model_validate(body)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            param = ".".join(str(part) for part in fault["loc"])
            code = "unknown_parameter" if fault["type"] == "extra_forbidden" else "invalid_value"
            raise _Refused(400, code, f"{param}: {fault['msg']}", param) from None
        except ValueError:
            raise _Refused(400, None, "We could not parse the JSON body of your request.") from None
        if request.model not in MODELS:
            code, what = "model_not_found", f"The model `{request.model}` does not exist"
            raise _Refused(404, code, f"{what} or you do not have access to it.", "model")
        wanted = request.response_format
        if isinstance(wanted, _JsonSchemaFormat):
            _check_schema(wanted.json_schema)
        return body


def _check_schema(wanted: _JsonSchema) -> None:
    where = "response_format.json_schema.schema"
    if wanted.schema_.get("type") != "object":
        message = f"Invalid schema for response_format '{wanted.name}': schema must be of type 'object'."
        raise _Refused(400, "invalid_json_schema", message, where)
    closed = wanted.schema_.get("additionalProperties") is False
    if wanted.strict and not (
        closed and set(wanted.schema_.get("properties", ())) == set(wanted.schema_.get("required", ()))
    ):
        message = "A strict schema has 'additionalProperties' false and requires all properties."
        raise _Refused(400, "invalid_json_schema", message, where)


def _completion(model: str, answer: str | Refusal) -> dict[str, Any]:
    content, refusal = (None, answer.words) if isinstance(answer, Refusal) else (answer, None)
    written = 0 if content is None else 60
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": content,
                    "refusal": refusal,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 400,
            "completion_tokens": written,
            "total_tokens": 400 + written,
            "prompt_tokens_details": {"cached_tokens": 256, "cache_write_tokens": 100},
        },
        "service_tier": "default",
    }


def _reply(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
) -> None:
    raw = json.dumps(body).encode()
    handler.send_response(status)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(raw)), "Connection": "close"}
    for name, value in {**fields, **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(raw)
