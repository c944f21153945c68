"""From a typed function to a ``Tool``: signature and docstring become JSON Schema. Pure."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from typing import Any

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from callapp.errors import ConfigError
from callapp.tools.declare import CallContext, Provided
from callapp.tools.running import Tool

# What OpenAI takes for a function's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class _LeanSchema(GenerateJsonSchema):
    """JSON Schema without what a model has no use for: each word of it is paid for in each call."""

    # A default that JSON cannot say is the function's own business.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as in the base class

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - never
        return False


def describe(function: Callable[..., object]) -> Tool:
    """What the model is told of a function, and how to read what the model gives it.

    The name is the function's, the description is the docstring's first paragraph, and what its
    ``Args:`` section says of a parameter is that parameter's description.

    Raises:
        ConfigError: the function cannot be a tool; one fault for each reason.
    """
    name = function.__name__
    where = f"{place_of(function)}: tool {name!r}"
    faults = []
    if not _NAME.fullmatch(name):
        faults.append(f"{where}: the name does not fit; expected up to 64 of the letters a-z, digits and _")
    plain = inspect.unwrap(function)
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        faults.append(f"{where}: is an `async def`; expected a plain `def`, tools run in threads")
    description, parameter_descriptions, complaint = _read_docstring(function)
    if complaint:
        faults.append(f"{where}: {complaint}")

    fields: dict[str, Any] = {}
    context_parameter: str | None = None
    wants: dict[str, type[Provided]] = {}
    try:
        annotations = typing.get_type_hints(plain, include_extras=True)
    except Exception as error:  # noqa: BLE001 - an annotation is user code, it may raise anything
        faults.append(
            f"{where}: an annotation cannot be read ({_one_line(error)}); expected types that the "
            "file itself defines or imports, outside of `if TYPE_CHECKING`"
        )
        raise ConfigError(faults) from None
    for parameter in inspect.signature(function).parameters.values():
        complaint = _parameter_fault(parameter, annotations)
        if complaint:
            faults.append(f"{where}: parameter {parameter.name!r} {complaint}")
        elif _is_provided(annotations[parameter.name]):
            wants[parameter.name] = annotations[parameter.name]
        elif not _is_context(annotations[parameter.name]):
            # Numbered, and known by their alias: a parameter may have any name, `schema` or
            # `_day` included, without getting in the way of pydantic's own.
            fields[f"p{len(fields)}"] = (
                annotations[parameter.name],
                _field(parameter, parameter_descriptions.get(parameter.name)),
            )
        elif context_parameter is None:
            context_parameter = parameter.name
        else:
            faults.append(f"{where}: parameter {parameter.name!r} is a second CallContext")
    if faults:
        raise ConfigError(faults)

    arguments = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return Tool(
        name=name,
        description=description,
        parameters_schema=_schema_of(arguments),
        function=function,
        context_parameter=context_parameter,
        arguments=arguments,
        wants=wants,
    )


def place_of(function: Callable[..., object]) -> str:
    """The file and line of a function, as ``path:line``."""
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _read_docstring(
    function: Callable[..., object],
) -> tuple[str, dict[str, str], str | None]:
    """The description, those of the parameters, and what is wrong with the docstring, if anything."""
    wanted = "expected a docstring that tells the model, in a sentence, what the tool does"
    try:
        parsed = docstring_parser.parse(function.__doc__ or "")
    except docstring_parser.ParseError as error:
        return "", {}, f"the docstring cannot be read ({_one_line(error)}); {wanted}"
    paragraph = parsed.short_description or ""
    if parsed.long_description and not parsed.blank_after_short_description:
        paragraph += "\n" + parsed.long_description.split("\n\n")[0]
    if not paragraph:
        return "", {}, f"has no description; {wanted}"
    of_parameters = {
        described.arg_name: _joined(described.description)
        for described in parsed.params
        if described.description
    }
    return _joined(paragraph), of_parameters, None


def _parameter_fault(parameter: inspect.Parameter, annotations: dict[str, Any]) -> str | None:
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL | inspect.Parameter.VAR_KEYWORD:
            return "takes any number of values; expected parameters with a name and a type each"
        case inspect.Parameter.POSITIONAL_ONLY:
            return "stands before a `/`; expected parameters that can be given by name"
    if parameter.name not in annotations:
        return "has no type; expected an annotation, e.g. `day: str`"
    annotation = annotations[parameter.name]
    if _is_context(annotation) or _is_provided(annotation):
        return None
    try:
        has_default = not FieldInfo.from_annotation(annotation).is_required()
        if isinstance(parameter.default, FieldInfo) or (has_default and parameter.default is parameter.empty):
            # Nobody reads it there: the function would be called with the Field itself, or with nothing.
            return "has a Field for its default; expected e.g. `count: Annotated[int, Field(ge=1)] = 3`"
        TypeAdapter(annotation).json_schema()
    except Exception as error:  # noqa: BLE001 - user code as well; a bad pattern is a SchemaError
        return (
            f"has a type that cannot be given as JSON ({_one_line(error)}); expected e.g. "
            "str, int, float, bool, datetime.date, list[str], Literal or a pydantic model"
        )
    return None


def _is_context(annotation: object) -> bool:
    """Whether it is ``CallContext``, also as ``CallContext | None`` or inside ``Annotated``.

    A context that were left to the model to fill in would be one that the model makes up.
    """
    if typing.get_origin(annotation) in (
        typing.Union,
        types.UnionType,
        typing.Annotated,
    ):
        return any(_is_context(inner) for inner in typing.get_args(annotation))
    return annotation is CallContext


def _is_provided(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Provided)


def _field(parameter: inspect.Parameter, description: str | None) -> FieldInfo:
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    if description is None:
        field = Field(default=default, alias=parameter.name)
    else:
        field = Field(default=default, alias=parameter.name, description=description)
    return typing.cast("FieldInfo", field)


def _schema_of(arguments: type[BaseModel]) -> dict[str, Any]:
    schema = arguments.model_json_schema(schema_generator=_LeanSchema)
    for model in (schema, *schema.get("$defs", {}).values()):
        model.pop("title", None)
    schema.setdefault("properties", {})
    return schema


def _joined(text: str) -> str:
    return " ".join(text.split())


def _one_line(error: Exception) -> str:
    # Not the first line alone: what is wrong with a pattern goes over several. What pydantic says of further
    # information is a paragraph of its own.
    words = _joined(str(error).strip().partition("\n\n")[0])
    return words.rstrip(".") or type(error).__name__
