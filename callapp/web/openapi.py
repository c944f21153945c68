"""``GET /openapi.json``: what the HTTP API is, drawn from the views themselves.

A view says what it takes and gives with an ``@Operation``; what it takes is read by that same description, so
the document cannot drift from what is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Blueprint, Flask, current_app, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema

from callapp.version import VERSION
from callapp.web.call_request import read_json
from callapp.web.problems import CONTENT_TYPE, Problem

View = TypeVar("View", bound=Callable[..., Any])
Query = TypeVar("Query", bound=BaseModel)

blueprint = Blueprint("openapi", __name__)

_REFERENCE = "#/components/schemas/{model}"


class ProblemDocument(BaseModel):
    """An error (RFC 9457). ``detail`` says what is wrong and what to do about it."""

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True)
class Answer:
    """An answer that a view may give: JSON of a model, something else of these content types, or both."""

    description: str
    model: type[BaseModel] | None = None
    content_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """What a view does. As its decorator it puts the view into the document.

    Args:
        answers: those that are no errors, by their status.
        errors: the statuses of the others, and when they are given.
        query: the parameters that it takes in the URL.
        body: the JSON that it takes.
        path: what the parts of its path look like: a JSON Schema for each.
    """

    summary: str
    answers: Mapping[int, Answer]
    errors: Mapping[int, str] = field(default_factory=dict)
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    path: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, view: View) -> View:
        view.operation = self  # type: ignore[attr-defined]
        return view


def read_query(model: type[Query]) -> Query:
    """The request's query, as its model has it.

    Raises:
        Problem: 400.
    """
    given = request.args.to_dict(flat=False)
    twice = [name for name, values in given.items() if len(values) > 1]
    if twice:
        raise Problem(400, f"{twice[0]!r} is given twice.")
    try:
        return model.model_validate({name: values[0] for name, values in given.items()})
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            names = ", ".join(one.alias or key for key, one in model.model_fields.items())
            raise Problem(400, f"There is no parameter {name!r}: the parameters are {names}.") from None
        raise Problem(400, f"The parameter {name!r} is wrong: {fault['msg']}.") from None


def read_body(model: type[Query]) -> Query:
    """The request's body, as its model has it.

    Raises:
        Problem: 400, 413 or 415.
    """
    body = read_json()
    try:
        return model.model_validate(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in fault["loc"])
        raise Problem(400, f"The field {name!r} is wrong: {fault['msg']}.") from None


@blueprint.get("/openapi.json")
def document() -> ResponseReturnValue:
    """The description of the API. It holds nothing secret, so it is open to all."""
    return describe(current_app)


def describe(app: Flask) -> dict[str, Any]:
    """The OpenAPI 3.1 description of all views that have an ``@Operation``."""
    operations = [
        (rule.rule, method.lower(), rule.endpoint, described)
        for rule in app.url_map.iter_rules()
        if isinstance(described := getattr(app.view_functions[rule.endpoint], "operation", None), Operation)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]
    models: set[type[BaseModel]] = {ProblemDocument}
    for *_, described in operations:
        models |= {answer.model for answer in described.answers.values() if answer.model is not None}
    _, schemas = models_json_schema(
        [(model, "serialization") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template=_REFERENCE,
    )
    paths: dict[str, Any] = {}
    for rule_text, method, endpoint, described in sorted(operations, key=lambda one: one[:2]):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule_text)
        paths.setdefault(path, {})[method] = _operation(endpoint, described)
    return {
        "openapi": "3.1.0",
        "info": {"title": "callapp", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"apiKey": []}],
    }


def _operation(endpoint: str, described: Operation) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": dict(schema)}
        for name, schema in described.path.items()
    ]
    if described.query is not None:
        schema = described.query.model_json_schema()
        parameters += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": one}
            for name, one in schema["properties"].items()
        ]
    problem = {CONTENT_TYPE: {"schema": {"$ref": _REFERENCE.format(model="ProblemDocument")}}}
    answers: dict[str, Any] = {
        str(status): _answer(answer) for status, answer in sorted(described.answers.items())
    }
    for status, when in {**described.errors, **_EVERYWHERE}.items():
        answers[str(status)] = {"description": when, "content": problem}
    told = {
        "operationId": endpoint.replace(".", "_"),
        "summary": described.summary,
        "parameters": parameters,
        "responses": answers,
    }
    if described.body is not None:
        body = {"application/json": {"schema": described.body.model_json_schema()}}
        told["requestBody"] = {"required": True, "content": body}
    return told


_EVERYWHERE = {401: "the API key is missing or wrong", 503: "the database does not answer"}


def _answer(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"description": answer.description}
    content: dict[str, Any] = {content_type: {} for content_type in answer.content_types}
    if answer.model is not None:
        content["application/json"] = {"schema": {"$ref": _REFERENCE.format(model=answer.model.__name__)}}
    if content:
        told["content"] = content
    return told
