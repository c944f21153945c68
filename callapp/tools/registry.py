"""Which tools there are: the built-in ones, and those of the user's ``TOOLS_DIR`` and ``TOOLS_MODULES``."""

from __future__ import annotations

import importlib
import itertools
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from callapp.errors import ConfigError
from callapp.tools import (
    collect_digits,
    end_call,
    report_voicemail,
    reservations,
    send_digits,
    take_message,
    transfer_call,
    wait,
)
from callapp.tools.declare import Provided, is_tool, replaces_another
from callapp.tools.running import Tool, UnknownTool
from callapp.tools.schema import describe, place_of

BUILT_IN: tuple[Callable[..., object], ...] = (
    end_call.end_call,
    collect_digits.collect_digits,
    wait.wait,
    report_voicemail.report_voicemail,
    send_digits.send_digits,
    transfer_call.transfer_call,
    reservations.check_availability,
    reservations.book_table,
    reservations.change_booking,
    reservations.cancel_booking,
    take_message.take_message,
)
BUILT_IN_NAMES = tuple(function.__name__ for function in BUILT_IN)

# Ours stay as they are for as long as the process runs; a folder's are read anew with each load.
_describe_once = cache(describe)

# Each load gets a package name of its own, so that nothing of an earlier one is found again.
_loads = itertools.count(1)


class Tools(Mapping[str, Tool]):
    """Tools by name."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def only(self, names: Iterable[str]) -> Tools:
        """These tools alone, in this order: those of one agent.

        Raises:
            KeyError: there is no tool of that name.
        """
        return Tools(self._tools[name] for name in names)

    def definitions(self) -> list[dict[str, Any]]:
        """What the model is told of these tools."""
        return [tool.definition() for tool in self._tools.values()]

    def find(self, name: str) -> Tool | UnknownTool:
        """The tool that the model asks for; for one it made up, a stand-in that tells it so."""
        return self._tools.get(name) or UnknownTool(name, tuple(self._tools))


def load_tools(
    tools_dir: Path | None = None, provided: Iterable[Provided] = (), modules: Iterable[str] = ()
) -> Tools:
    """Find all tools: the built-in ones, and every ``@tool`` of a folder's ``*.py`` files and of modules.

    A file whose name begins with an underscore is not searched; the others may import it, as
    ``from ._stock import find``.

    Args:
        tools_dir: the user's folder.
        provided: the objects that tools may have as a parameter, one of each class.
        modules: names of installed modules, e.g. ``shop.phone_tools``.

    Raises:
        ConfigError: one fault, with file and line, for each thing that is wrong in any file.
    """
    functions = list(BUILT_IN)
    faults: list[str] = []
    found = [] if tools_dir is None else _import_all(tools_dir, faults)
    for function in [*found, *(tool for name in modules for tool in _import_installed(name, faults))]:
        if function not in functions:  # one file may import another one's tools
            functions.append(function)
    tools: dict[str, Tool] = {}
    by_type: dict[type, Provided] = {type(thing): thing for thing in provided}
    for function in functions:
        try:
            tool = (_describe_once if function in BUILT_IN else describe)(function).provided_with(by_type)
        except ConfigError as error:
            faults += error.faults
            continue
        if tool.name in tools:
            other = place_of(tools[tool.name].function)
            faults.append(
                f"{place_of(function)}: tool {tool.name!r}: there is another one of this name at "
                f"{other}; expected a name of its own"
            )
        if replaces_another(function):
            faults.append(
                f"{place_of(function)}: tool {tool.name!r}: the file has another one of this name "
                "further up; expected a name of its own"
            )
        tools.setdefault(tool.name, tool)
    if faults:
        raise ConfigError(faults)
    return Tools(tools.values())


def _import_all(folder: Path, faults: list[str]) -> list[Callable[..., object]]:
    """Import a folder's files as one private package; return the tools at their top level."""
    if not folder.is_dir():
        faults.append(f"TOOLS_DIR: {str(folder)!r} is not a folder; expected one with *.py files")
        return []
    folder = folder.resolve()
    package = types.ModuleType(f"_callapp_tools_{next(_loads)}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    importlib.invalidate_caches()  # a file may be younger than the last look into its folder
    found: list[Callable[..., object]] = []
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith(("_", ".")):  # hidden ones are an editor's, or the system's
            continue
        if "." in path.stem:
            faults.append(f"{path}:1: the file name has two dots; expected e.g. opening_hours.py")
            continue
        try:
            module = importlib.import_module(f"{package.__name__}.{path.stem}")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
            faults.append(_import_fault(path, error))
            continue
        found += [value for value in vars(module).values() if is_tool(value)]
    return found


def _import_installed(name: str, faults: list[str]) -> list[Callable[..., object]]:
    """Import a module by its name; return the tools at its top level."""
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything
        words = str(error).strip().partition("\n")[0]
        faults.append(f"TOOLS_MODULES: {name} cannot be imported: {type(error).__name__}: {words}")
        return []
    found = [value for value in vars(module).values() if is_tool(value)]
    if not found:
        faults.append(f"TOOLS_MODULES: {name} has no tools; expected functions with @tool at its top level")
    return found


def _import_fault(path: Path, error: BaseException) -> str:
    """Where in the user's own files it went wrong, and how."""
    name = type(error).__name__
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}:{error.lineno or 1}: {name}: {error.msg}"
    place = f"{path}:1"
    for frame, line in traceback.walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).parent == path.parent:
            place = f"{frame.f_code.co_filename}:{line}"
    words = str(error).strip().partition("\n")[0]
    fault = f"{place}: {name}: {words}"
    if isinstance(error, ModuleNotFoundError) and (path.parent / f"{error.name}.py").exists():
        fault += f"; expected `from .{error.name} import ...` for a file beside this one"
    return fault
