"""How a function becomes a tool: ``@tool``, and the call that it may ask to be told of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__callapp_tool__"


@dataclass(frozen=True)
class CallContext:
    """The phone call in which a tool runs.

    A tool that has a parameter of this type is given it; the model never sees that parameter.

    Args:
        agent: the agent's name.
        parameters: what the call was started with.
        from_number: E.164, or what the carrier says instead, e.g. of a withheld number; ``browser`` for a
            call from the desk.
        to_number: as ``from_number``.
        destinations: the people the caller can be put through to: names in the agent's ``transfer_to``.
    """

    call_sid: str
    agent: str
    parameters: Mapping[str, str]
    from_number: str
    to_number: str
    direction: Literal["incoming", "outgoing", "browser"]
    destinations: tuple[str, ...] = ()

    @property
    def caller_number(self) -> str:
        """The number of the person on the line, whoever dialled."""
        return self.to_number if self.direction == "outgoing" else self.from_number


class Provided:
    """Base of what callapp hands to a tool besides the call, such as the reservation book.

    A tool that has a parameter of a class below this one is given the one object of that class that
    there is; the model never sees that parameter. Which objects there are is said to ``load_tools``.
    """


@dataclass(frozen=True)
class _Mark:
    """Says that a function is a tool, and whether it took the place of one of its own name."""

    replaces_another: bool


def tool(function: F) -> F:
    """Let the model call this function. Its signature and docstring are its schema.

    The function itself stays as it is: it can be called and tested like any other.

    Raises:
        TypeError: it is not a function.
    """
    if not inspect.isfunction(inspect.unwrap(function)):
        raise TypeError("@tool goes, without brackets, on the line above a function's `def`")
    earlier = getattr(function, "__globals__", {}).get(function.__name__)
    setattr(function, _MARK, _Mark(replaces_another=is_tool(earlier)))
    return function


def is_tool(value: object) -> bool:
    """Whether a value carries the mark of ``@tool``."""
    return _mark(value) is not None


def replaces_another(function: object) -> bool:
    """Whether this tool's file has, further up, another tool of its name."""
    mark = _mark(function)
    return mark is not None and mark.replaces_another


def _mark(value: object) -> _Mark | None:
    # Static: proxies such as Flask's `request` raise when they are asked for any attribute.
    mark = inspect.getattr_static(value, _MARK, None)
    return mark if isinstance(mark, _Mark) else None
