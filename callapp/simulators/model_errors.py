"""What is wrong with a client's event, in the words and codes of the Realtime API."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from callapp.simulators.model_schema import CLIENT_EVENTS

MAX_APPEND_BYTES = 15 * 1024 * 1024

_KINDS = {
    "string": "a string",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "list": "an array",
    "dict": "an object",
    "dict_attributes": "an object",
    "model": "an object",
    "model_attributes": "an object",
}


class ClientError(Exception):
    """A client's event is refused.

    Args:
        code: the API's code, e.g. ``unknown_parameter``.
        message: the API's words.
        param: path of the field at fault.
        type: the API's class of errors.
        blameless: the client could not know better, or the scene demands the refusal.
    """

    def __init__(
        self,
        code: str,
        message: str,
        param: str | None = None,
        *,
        type: str = "invalid_request_error",  # noqa: A002  the API's word
        blameless: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.type = type
        self.blameless = blameless


def parse(message: str | bytes) -> dict[str, Any]:
    """Read one frame as a JSON object.

    Raises:
        ClientError: it is binary, not JSON, or not an object.
    """
    if isinstance(message, bytes):
        raise ClientError("invalid_event", "Binary messages are not supported; send JSON text.")
    try:
        event = json.loads(message)
    except ValueError:
        raise ClientError("invalid_json", "We could not parse the JSON of your event.") from None
    if not isinstance(event, dict):
        raise ClientError("invalid_event", "An event is a JSON object.")
    return event


def check(event: dict[str, Any], events: Mapping[str, TypeAdapter[Any]] = CLIENT_EVENTS) -> None:
    """Hold a client's event against the schema.

    Args:
        events: those that there are, by their types.

    Raises:
        ClientError: an unknown type or field, a missing field, a wrong type or value.
    """
    kind = event.get("type")
    if kind is None:
        raise ClientError("missing_required_parameter", "Missing required parameter: 'type'.", "type")
    if not isinstance(kind, str) or kind not in events:
        raise ClientError("invalid_value", _supported(kind, list(events)), "type")
    try:
        events[kind].validate_python(event)
    except ValidationError as error:
        raise _first(error, event) from None


def decode_audio(text: str, param: str) -> bytes:
    """Base64, strictly.

    Raises:
        ClientError: it is not base64, or more than the API takes in one event.
    """
    try:
        audio = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise ClientError(
            "invalid_value", f"Invalid '{param}': expected base64-encoded audio.", param
        ) from None
    if len(audio) > MAX_APPEND_BYTES:
        raise ClientError(
            "invalid_value", f"Invalid '{param}': more than 15 MiB of audio in one event.", param
        )
    return audio


def encode_audio(audio: bytes) -> str:
    """Base64, as the API writes audio."""
    return base64.b64encode(audio).decode("ascii")


def _first(error: ValidationError, event: dict[str, Any]) -> ClientError:
    """The one fault the API would name; an unknown field goes before all else."""
    faults = error.errors(include_url=False)
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    param = _path(fault["loc"], event)
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            return ClientError("unknown_parameter", f"Unknown parameter: '{param}'.", param)
        case "missing":
            return ClientError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
        case "union_tag_not_found":
            param = f"{param}.{str(context['discriminator']).strip(chr(39))}"
            return ClientError("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
        case "union_tag_invalid":
            field = str(context["discriminator"]).strip("'")
            tags = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
            return ClientError("invalid_value", _supported(context["tag"], tags), f"{param}.{field}")
        case "literal_error" if isinstance(fault["input"], str):
            expected = str(context["expected"]).replace(" or ", ", ")
            choices = [choice.strip(" '") for choice in expected.split(",")]
            return ClientError("invalid_value", _supported(fault["input"], choices), param)
        case "string_too_long":
            longest = context["max_length"]
            words = f"Invalid '{param}': string too long. Expected a string with maximum length {longest}."
            return ClientError("string_above_max_length", words, param)
        case kind if kind.endswith("_type") or kind in ("literal_error", "dict_attributes_type"):
            wanted = _KINDS.get(kind.removesuffix("_type"), "another type")
            words = (
                f"Invalid type for '{param}': expected {wanted}, but got {_kind_of(fault['input'])} instead."
            )
            return ClientError("invalid_type", words, param)
        case _:
            words = fault["msg"].removeprefix("Value error, ")
            return ClientError("invalid_value", f"Invalid '{param}': {words}", param)


def _path(loc: Sequence[str | int], event: dict[str, Any]) -> str:
    """A pydantic location as the API writes it: ``session.tools[0].name``.

    Pydantic names the branch of a union in the location, too. What is no key of the event is such a
    branch, unless it is the missing field itself at the very end.
    """
    path = ""
    here: Any = event
    for position, step in enumerate(loc):
        if isinstance(here, list) and isinstance(step, int):
            path += f"[{step}]"
            here = here[step]
        elif isinstance(here, dict) and (
            step in here or (position == len(loc) - 1 and not _branch(step, here))
        ):
            path += f".{step}" if path else str(step)
            here = here.get(step)
    return path


def _branch(step: str | int, here: dict[str, Any]) -> bool:
    return step in ("object", "plain", "list", "[key]") or step in here.values()


def _supported(value: object, choices: Sequence[str]) -> str:
    named = [f"'{choice}'" for choice in choices]
    listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"Invalid value: '{value}'. Supported values are: {listed}."


def _kind_of(value: object) -> str:
    return "null" if value is None else _KINDS.get(type(value).__name__, "another type")
