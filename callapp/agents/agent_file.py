"""One agent file: YAML between two lines ``---``, then the instructions.

Its name without ``.md`` is the agent's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from callapp.agents import front_matter, templates
from callapp.agents.faults import Faults, Place, description, expected
from callapp.agents.front_matter import Field
from callapp.agents.model import LINES, Agent
from callapp.errors import ConfigError
from callapp.settings import read_variable
from callapp.tools.transfer_call import transfer_call

_AGENT_NAME = re.compile(r"[\w.-]{1,64}")


class AgentFile:
    """What stands in a file, and the agent that it describes.

    Raises:
        ConfigError: it cannot be read, it has no fields or no instructions, or one fault for each thing that
            is wrong with them.
    """

    def __init__(self, path: Path, tools: Collection[str]) -> None:
        self.path = path
        self._lines = re.split(r"\r\n|\r|\n", _text_of(path))
        self._faults = Faults(path)
        end = front_matter.end_of(self._lines, self._faults)
        self._fields = front_matter.read(self._lines[:end], self._faults)
        self._instructions = "\n".join(self._lines[end + 1 :]).strip()
        if not self._instructions:
            self._faults.add(end + 1, "there are no instructions; expected text after the second line ---")
        agent = self._validated()
        self._check_tools(tools)
        self._check_secrets(agent)
        self._check_templates(end)
        if agent is None or self._faults:
            raise self._faults.error()
        self.agent = agent

    def claim_numbers(self, claims: dict[str, str]) -> list[str]:
        """Note which numbers this agent answers; return a fault for each that another one has."""
        field = self._fields.get("numbers")
        if field is None:
            return []
        faults = Faults(self.path)
        for index, number in enumerate([field.value] if isinstance(field.value, str) else field.value):
            line = field.item_line(index)
            holder = claims.setdefault(number, f"{self.path}:{line}")
            if holder != f"{self.path}:{line}":
                faults.of_field(
                    line, ("numbers",), f"{number} is taken by {holder}; expected it in one agent"
                )
        return faults.found

    def _validated(self) -> Agent | None:
        values = {
            name: tuple(field.value) if isinstance(field.value, list) else field.value
            for name, field in self._fields.items()
        }
        try:
            return Agent(name=self.path.stem, instructions=self._instructions, **values)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                name, *inside = fault["loc"]
                # What a file leaves out can be at fault, too: it has no line.
                field = self._fields.get(str(name), Field(None, 1, {}))
                self._misfit(str(name), tuple(inside), field, fault)
            return None

    def _misfit(self, name: str, inside: Place, field: Field, fault: Any) -> None:
        """Tell what pydantic finds wrong with a field, in our words, at the line where it stands."""
        known = max((place for place in _beginnings(inside) if place in field.lines), key=len, default=())
        line = field.lines.get(known, field.line)
        place = (name, *(inside if fault["type"] in ("missing", "extra_forbidden") else known))
        match fault["type"]:
            case "extra_forbidden":
                self._faults.no_such_field(line, place)
            case "missing":
                self._faults.of_field(line, place, f"is missing; expected {description(place)}")
            case "value_error" if str(fault["ctx"]["error"]):
                self._faults.of_field(line, place, str(fault["ctx"]["error"]))
            case _:
                self._faults.does_not_fit(line, place, fault["input"] if known else field.value)

    def _check_tools(self, tools: Collection[str]) -> None:
        field = self._fields.get("tools")
        if field is None or not isinstance(field.value, list):
            return
        for index, name in enumerate(field.value):
            if not isinstance(name, str):
                continue  # told already
            what = None
            if name in field.value[:index]:
                what = f"{name!r} is there twice; expected it once"
            elif name not in tools:
                what = f"there is no tool {name!r}; {expected(name, tools)}"
            elif name == transfer_call.__name__ and "transfer_to" not in self._fields:
                what = "transfer_call has nobody to transfer to; expected the field transfer_to besides"
            if what is not None:
                self._faults.of_field(field.item_line(index), ("tools",), what)

    def _check_secrets(self, agent: Agent | None) -> None:
        for index, server in enumerate(agent.mcp if agent is not None else ()):
            if server.authorization is not None and not read_variable(server.authorization):
                place: Place = ("mcp", index, "authorization")
                field = self._fields["mcp"]
                # A value that is merged in from another server (<<) has no line of its own.
                line = field.lines.get(place[1:], field.item_line(index))
                what = f"there is no such environment variable; expected {description(place)}"
                self._faults.of_field(line, place, what)

    def _check_templates(self, end: int) -> None:
        try:
            templates.check("\n".join(self._lines[end + 1 :]))
        except templates.TemplateFault as fault:
            self._faults.add(end + 1 + fault.line, f"instructions: {fault.what}")
        for name in LINES:
            field = self._fields.get(name)
            if field is None:
                continue
            place: Place = ("message",) if isinstance(field.value, dict) else ()
            text = field.value.get("message") if place else field.value
            if isinstance(text, str):
                try:
                    templates.check(text)
                except templates.TemplateFault as fault:
                    self._faults.of_field(field.lines.get(place, field.line), (name, *place), fault.what)


def _text_of(path: Path) -> str:
    if not _AGENT_NAME.fullmatch(path.stem):
        raise ConfigError(
            [f"{path}:1: the file name does not fit; expected letters, digits, - and _, e.g. shop.md"]
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}:1: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: is not UTF-8; expected a UTF-8 text file"]) from None


def _beginnings(place: Place) -> Iterator[Place]:
    """The place itself, and all that it is inside of."""
    return (place[:length] for length in range(1, len(place) + 1))
