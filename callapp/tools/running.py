"""A tool as the rest of callapp sees it: what the model is told of it, and how it is run.

Whatever happens in a tool, running it gives one result. What goes wrong becomes a short JSON
text, ``{"error": "..."}``, that tells the model what to do next; tracebacks go to the log.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from callapp.conversation.wishes import Wish
from callapp.errors import CallappError, ToolError
from callapp.tools.declare import CallContext, Provided

logger = logging.getLogger(__name__)

Result = str | Wish

# The model reads every character of an answer before it speaks, and the caller waits meanwhile. One of more
# than 256,000 is refused by OpenAI, and the tool call stays without an answer.
LONGEST_ANSWER = 20_000
# More would not help the model to call the tool better.
MOST_FAULTS_TOLD = 3
# A zero byte as JSON writes it, but no backslash that is followed by "u0000".
_ZERO_BYTE = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Runnable(Protocol):
    """What the pool can run."""

    @property
    def name(self) -> str: ...

    def run(self, arguments_json: str, context: CallContext) -> Result: ...


@dataclass(frozen=True)
class Tool:
    """A typed function that the model may call.

    Args:
        description: when and how to use it, for the model.
        parameters_schema: JSON Schema of what the model has to give.
        context_parameter: the parameter that takes the ``CallContext``, if there is one.
        arguments: reads what the model gave; each field's alias is the parameter's name.
        wants: what else is passed by us and hidden from the model, by parameter; see `provided_with`.
    """

    name: str
    description: str
    parameters_schema: dict[str, Any]
    function: Callable[..., object]
    context_parameter: str | None
    arguments: type[BaseModel]
    wants: Mapping[str, type[Provided]]
    provided: Mapping[str, Provided] = field(default_factory=dict)

    def provided_with(self, things: Mapping[type, Provided]) -> Tool:
        """Return this tool with those things that it wants; without one of them it fails when it is run."""
        wanted = {parameter: things[kind] for parameter, kind in self.wants.items() if kind in things}
        return replace(self, provided=wanted)

    def definition(self) -> dict[str, Any]:
        """What the model is told of this tool."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters_schema,
        }

    def run(self, arguments_json: str, context: CallContext) -> Result:
        """Run the function; whatever it does, there is a result and nothing is raised."""
        try:
            given = self._read(arguments_json)
            if self.context_parameter is not None:
                given[self.context_parameter] = context
            return _shaped(self.function(**given, **self.provided))
        except ToolError as error:
            if str(error).strip():
                return failure(str(error))
            logger.error(
                "! tool %s failed, and its ToolError says nothing of it to the model",
                self.name,
                extra={"call_sid": context.call_sid},
            )
        except CallappError as error:  # the database is away, say, which is no bug of the tool's
            logger.error("! tool %s failed: %s", self.name, error, extra={"call_sid": context.call_sid})
        except BaseException:  # user code, sys.exit() included: the model still gets its answer
            logger.exception("! tool %s failed", self.name, extra={"call_sid": context.call_sid})
        return failure(
            f"{self.name} failed for a technical reason. Do not repeat this call. "
            "Tell the caller that it did not work, and offer another way."
        )

    def _read(self, arguments_json: str) -> dict[str, Any]:
        # Models send an empty text for "no arguments"; half a surrogate pair cannot be UTF-8.
        text = arguments_json.strip().encode("utf-8", "replace") or b"{}"
        text = _ZERO_BYTE.sub(rb"\1", text)  # PostgreSQL would refuse it, as if it were away
        try:
            read = self.arguments.model_validate_json(text)
        except ValidationError as error:
            raise ToolError(
                f"{self.name} was not run: {_what_is_wrong(error)}. "
                "Correct the arguments and call it again, or ask the caller for what is missing."
            ) from None
        fields = type(read).model_fields
        # Only what was given, so that the function's own defaults hold.
        return {str(fields[name].alias): getattr(read, name) for name in read.model_fields_set}


@dataclass(frozen=True)
class UnknownTool:
    """Stands in for a tool that the model made up; running it tells the model so."""

    name: str
    known: Sequence[str]

    def run(self, arguments_json: str, context: CallContext) -> Result:  # noqa: ARG002 - as any tool
        """Tell which tools there are."""
        logger.warning("! no tool %r", self.name[:64], extra={"call_sid": context.call_sid})
        known = ", ".join(self.known) or "none"
        return failure(f"There is no tool {self.name[:64]!r}. The tools you have: {known}.")


def failure(what: str) -> str:
    """The answer that tells the model what went wrong."""
    return _clean(json.dumps({"error": _cut(what)}, ensure_ascii=False))


def _shaped(value: object) -> Result:
    if isinstance(value, Wish):
        return value
    if value is None:
        return '{"ok": true}'  # "null" reads to a model as if nothing had been found
    text = value if isinstance(value, str) else to_json(value, inf_nan_mode="null").decode()
    return _cut(_clean(text))


def _cut(text: str) -> str:
    left_out = len(text) - LONGEST_ANSWER
    return text if left_out <= 0 else f"{text[:LONGEST_ANSWER]}\n[cut: {left_out} more characters]"


def _clean(text: str) -> str:
    """The text without halves of surrogate pairs, which no socket could send."""
    return text.encode("utf-8", "replace").decode()


def _what_is_wrong(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    told = [_fault(fault) for fault in faults[:MOST_FAULTS_TOLD]]
    if len(faults) > MOST_FAULTS_TOLD:
        told.append(f"and {len(faults) - MOST_FAULTS_TOLD} more")
    return "; ".join(told)


def _fault(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "json_invalid":
            return "the arguments are not valid JSON"
        case "model_type" | "model_attributes_type":
            return "the arguments are not a JSON object"
        case "missing":
            return f"{place!r} is missing"
        case "extra_forbidden":
            return f"there is no parameter {place!r}"
        case _:
            message = str(fault["msg"])
            return f"{place!r}: {message[:1].lower()}{message[1:200]}"
