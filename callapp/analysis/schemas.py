"""The JSON Schema that an agent file gives as ``extract``, and what holds an answer against one. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match

_DEFINITION = re.compile(r"#/\$defs/[^/]+")


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check a schema of structured data.

    Raises:
        ValueError: it is no JSON Schema (draft 2020-12) of an object; says what is wrong.
    """
    if not _is_json(schema):
        raise ValueError(
            "has something in it that JSON has not, such as a date, or a number or yes or no as a name; "
            "expected it in quotes"
        )
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"is no JSON Schema: {error.json_path}: {error.message}") from None
    if schema.get("type") != "object":
        raise ValueError("describes no object; expected `type: object` and properties")
    for reference in _references(schema):
        if not _DEFINITION.fullmatch(reference) or reference.rpartition("/")[2] not in schema.get(
            "$defs", {}
        ):
            raise ValueError(f"refers to {reference!r}; expected the name of one of its own $defs")


def faults_of(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with a value, each with its place; nothing if it fits."""
    errors = Draft202012Validator(schema).iter_errors(value)
    # Of a choice that fits nowhere, what is wrong with the nearest.
    return [
        f"{error.json_path}: {error.message}" for error in (best_match([each]) for each in errors) if error
    ]


def _is_json(schema: Mapping[str, Any]) -> bool:
    """Whether it arrives as it is where it is sent."""
    try:
        return bool(json.loads(json.dumps(schema, allow_nan=False)) == schema)
    except (TypeError, ValueError):
        return False


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        for name, value in part.items():
            if name in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(part, Sequence) and not isinstance(part, str):
        for item in part:
            yield from _references(item)
