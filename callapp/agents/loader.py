"""Read agents from their files.

A file is YAML between two lines ``---``, then the instructions; its name without ``.md`` is the
agent's. All that is wrong, in any file, is told at once, each fault with its file and line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from callapp.agents import templates
from callapp.agents.fields import (
    Idle,
    Interruptions,
    McpServer,
    Recording,
    Transcription,
    TurnDetection,
    Voicemail,
)
from callapp.agents.model import LINES, Agent
from callapp.errors import ConfigError
from callapp.settings import read_variable
from callapp.tools.registry import BUILT_IN_NAMES
from callapp.tools.transfer_call import transfer_call

BUILT_IN_DIR = Path(__file__).parent
FIELDS = tuple(field for field in Agent.model_fields if field not in ("name", "instructions"))
_WITHIN: Mapping[str, type[BaseModel]] = {
    "idle": Idle,
    "interruptions": Interruptions,
    "mcp": McpServer,
    "record": Recording,
    "transcription": Transcription,
    "turn_detection": TurnDetection,
    "voicemail": Voicemail,
}
# YAML would take +81… for a number, and lose the sign, and `no`, which is Norwegian, for false.
_AS_WRITTEN = frozenset(
    {"numbers", "fallback_number", "forward_to", "languages", "other_party", "transfer_to"}
)
# What stands there may hold a secret that was put in the wrong place.
_NEVER_SHOWN = frozenset({"mcp", "server_url", "authorization"})
_AGENT_NAME = re.compile(r"[\w.-]{1,64}")
_LONGEST_SHOWN = 40
_MOST_VALUES = 10_000  # in one field


class Agents(Mapping[str, Agent]):
    """Agents by name.

    Args:
        default: the name of the one that takes calls which name none.
    """

    def __init__(self, agents: Mapping[str, Agent], default: str) -> None:
        self._agents = dict(agents)
        self._default = default

    def __getitem__(self, name: str) -> Agent:
        return self._agents[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    @property
    def default(self) -> Agent:
        """The agent of calls that name none."""
        return self[self._default]

    def of_number(self, number: str) -> Agent | None:
        """The agent that answers calls to this number of ours, if one claims it."""
        return next((agent for agent in self.values() if number in agent.numbers), None)


def load_agents(
    agents_dir: Path | None = None,
    default_agent: str = "operator",
    tools: Collection[str] = BUILT_IN_NAMES,
) -> Agents:
    """Read the built-in agents and the user's.

    Args:
        agents_dir: the user's folder; an agent in it replaces a built-in one of the same name.
        tools: the names of the tools that there are.

    Raises:
        ConfigError: one fault for each thing that is wrong in any file.
    """
    faults: list[str] = []
    paths = _files(BUILT_IN_DIR)
    if agents_dir is not None:
        if agents_dir.is_dir():
            paths |= _files(agents_dir)
        else:
            faults.append(f"AGENTS_DIR: {str(agents_dir)!r} is not a folder; expected one with *.md files")
    agents: dict[str, Agent] = {}
    claims: dict[str, str] = {}
    for name, path in paths.items():
        try:
            file = _open(path)
            agents[name] = file.agent(tools)
        except ConfigError as error:
            faults += error.faults
        else:
            faults += file.claim_numbers(claims)
    if default_agent not in paths:
        faults.append(
            f"DEFAULT_AGENT: there is no agent {default_agent!r}; {_expected(default_agent, paths)}"
        )
    if faults:
        raise ConfigError(faults)
    return Agents(agents, default_agent)


def read_agent(path: Path, tools: Collection[str]) -> Agent:
    """Read one file.

    Raises:
        ConfigError: one fault for each thing that is wrong with it.
    """
    return _open(path).agent(tools)


def _open(path: Path) -> _File:
    if not _AGENT_NAME.fullmatch(path.stem):
        raise ConfigError(
            [f"{path}:1: the file name does not fit; expected letters, digits, - and _, e.g. shop.md"]
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}:1: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: is not UTF-8; expected a UTF-8 text file"]) from None
    return _File(path, text)


def _files(folder: Path) -> dict[str, Path]:
    """The agent files of a folder by agent name; a README among them is not one.

    Nor is what is hidden: Emacs puts ``.#shop.md`` beside a file that is being edited, macOS ``._shop.md``.
    """
    paths = sorted(path for path in folder.glob("*.md") if not path.name.startswith("."))
    return {path.stem: path for path in paths if path.stem.lower() != "readme"}


Place = tuple[str | int, ...]
"""The way to a value inside a field: names and indices."""


class _Field(NamedTuple):
    """A field as it stands in the file. ``lines`` are those of what is inside it."""

    value: Any
    line: int
    lines: Mapping[Place, int]

    def item_line(self, index: int) -> int:
        """The line of an item of a list."""
        return self.lines.get((index,), self.line)


class _File:
    """One agent file, and what is found wrong with it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = re.split(r"\r\n|\r|\n", text)
        self.faults: list[str] = []
        self.fields: dict[str, _Field] = {}

    def agent(self, tools: Collection[str]) -> Agent:
        """The agent that the file describes."""
        end = self._end_of_front_matter()
        fields = self.fields = self._front_matter(end)
        instructions = "\n".join(self.lines[end + 1 :]).strip()
        if not instructions:
            self._fault(end + 1, "there are no instructions; expected text after the second line ---")
        agent = self._validated(fields, instructions)
        self._check_tools(fields, tools)
        self._check_secrets(fields, agent)
        self._check_templates(fields, end)
        if agent is None or self.faults:
            raise ConfigError(sorted(self.faults, key=_line_of))
        return agent

    def claim_numbers(self, claims: dict[str, str]) -> list[str]:
        """Note which numbers this agent answers; return a fault for each that another one has."""
        field = self.fields.get("numbers")
        if field is None:
            return []
        before = len(self.faults)
        for index, number in enumerate([field.value] if isinstance(field.value, str) else field.value):
            line = field.item_line(index)
            holder = claims.setdefault(number, f"{self.path}:{line}")
            if holder != f"{self.path}:{line}":
                self._field_fault(line, "numbers", f"{number} is taken by {holder}; expected it in one agent")
        return self.faults[before:]

    def _end_of_front_matter(self) -> int:
        """The index of the second line of dashes."""
        stripped = [line.rstrip() for line in self.lines]
        if not stripped or stripped[0] != "---":
            raise ConfigError(
                [f"{self.path}:1: no front matter; expected a first line --- , fields, and another line ---"]
            )
        try:
            return stripped.index("---", 1)
        except ValueError:
            raise ConfigError(
                [f"{self.path}:1: the front matter has no end; expected a second line ---"]
            ) from None

    def _front_matter(self, end: int) -> dict[str, _Field]:
        # The line of dashes counts as an empty one, so that YAML's lines are the file's.
        source = "\n".join(["", *self.lines[1:end], ""])
        try:
            root = yaml.compose(source, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._fault(
                mark.line + 1 if mark else 1,
                f"is not YAML: {error.problem or error.context}; expected `field: value` on each "
                "line, the value in quotes if it has a colon or begins with a sign",
            )
            raise ConfigError(self.faults) from None
        except (yaml.YAMLError, OverflowError, ValueError) as error:
            # A character that YAML does not take, or that there is not ("\\U00110000"): it has no line.
            self._fault(1, f"is not YAML: {str(error).splitlines()[0]}; expected plain text")
            raise ConfigError(self.faults) from None
        except RecursionError:
            self._fault(1, "is nested too deeply; expected `field: value` on each line")
            raise ConfigError(self.faults) from None
        if root is None:
            return {}
        if not isinstance(root, yaml.MappingNode):
            self._fault(root.start_mark.line + 1, "is not a list of fields; expected `field: value`")
            raise ConfigError(self.faults)
        fields: dict[str, _Field] = {}
        for key, node in root.value:
            self._take(key, node, fields)
        return fields

    def _take(self, key: yaml.Node, node: yaml.Node, fields: dict[str, _Field]) -> None:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        if name not in FIELDS:
            self._field_fault(line, name, f"there is no such field; {_expected(name, FIELDS)}")
        elif name in fields:
            self._field_fault(line, name, f"is there twice, first on line {fields[name].line}")
        else:
            lines: dict[Place, int] = {}
            before = len(self.faults)
            try:
                self._find_lines(name, node, (), lines)
                value = _value_of(node, yaml.BaseLoader if name in _AS_WRITTEN else yaml.SafeLoader)
            except (yaml.YAMLError, AttributeError, LookupError, ValueError):
                # Two of them are how PyYAML fails at a value that is not of its tag, as `!!bool perhaps`.
                written = self.lines[node.start_mark.line][node.start_mark.column :]
                self._does_not_fit(line, (name,), written)
                return
            except RecursionError:
                del self.faults[before:]  # the same ones, found over and over
                what = f"an alias stands inside of what it is for; expected {_description((name,))}"
                self._field_fault(line, name, what)
                return
            if value is not None and (value or name not in _AS_WRITTEN):
                # a field with nothing after its colon is as good as left out
                fields[name] = _Field(value, line, lines)

    def _find_lines(self, name: str, node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
        """Note the line of each value inside a field.

        Raises:
            ValueError: they are too many. Aliases of aliases can come to more than there is memory.
        """
        if len(lines) > _MOST_VALUES:
            raise ValueError
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[*place, index] = item.start_mark.line + 1
                self._find_lines(name, item, (*place, index), lines)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                if inner in lines:
                    self._field_fault(
                        key.start_mark.line + 1,
                        _dotted((name, *inner)),
                        f"is there twice, first on line {lines[inner]}",
                    )
                lines[inner] = key.start_mark.line + 1
                self._find_lines(name, value, inner, lines)

    def _validated(self, fields: Mapping[str, _Field], instructions: str) -> Agent | None:
        values = {
            name: tuple(field.value) if isinstance(field.value, list) else field.value
            for name, field in fields.items()
        }
        try:
            return Agent(name=self.path.stem, instructions=instructions, **values)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                name, *inside = fault["loc"]
                # What a file leaves out can be at fault, too: it has no line.
                field = fields.get(str(name), _Field(None, 1, {}))
                self._misfit(str(name), tuple(inside), field, fault)
            return None

    def _misfit(self, name: str, inside: Place, field: _Field, fault: Any) -> None:
        """Tell what pydantic finds wrong with a field, in our words, at the line where it stands."""
        known = max((place for place in _beginnings(inside) if place in field.lines), key=len, default=())
        line = field.lines.get(known, field.line)
        place = (name, *(inside if fault["type"] in ("missing", "extra_forbidden") else known))
        match fault["type"]:
            case "extra_forbidden":
                self._field_fault(
                    line,
                    _dotted(place),
                    f"there is no such field; {_expected(str(place[-1]), _inner_fields(name))}",
                )
            case "missing":
                self._field_fault(line, _dotted(place), f"is missing; expected {_description(place)}")
            case "value_error" if str(fault["ctx"]["error"]):
                self._field_fault(line, _dotted(place), str(fault["ctx"]["error"]))
            case _:
                self._does_not_fit(line, place, fault["input"] if known else field.value)

    def _check_tools(self, fields: Mapping[str, _Field], tools: Collection[str]) -> None:
        field = fields.get("tools")
        if field is None or not isinstance(field.value, list):
            return
        for index, name in enumerate(field.value):
            line = field.item_line(index)
            if not isinstance(name, str):
                continue  # told already
            if name in field.value[:index]:
                self._field_fault(line, "tools", f"{name!r} is there twice; expected it once")
            elif name not in tools:
                self._field_fault(line, "tools", f"there is no tool {name!r}; {_expected(name, tools)}")
            elif name == transfer_call.__name__ and "transfer_to" not in fields:
                what = "transfer_call has nobody to transfer to; expected the field transfer_to besides"
                self._field_fault(line, "tools", what)

    def _check_secrets(self, fields: Mapping[str, _Field], agent: Agent | None) -> None:
        for index, server in enumerate(agent.mcp if agent is not None else ()):
            if server.authorization is not None and not read_variable(server.authorization):
                place: Place = ("mcp", index, "authorization")
                # A value that is merged in from another server (<<) has no line of its own.
                line = fields["mcp"].lines.get(place[1:], fields["mcp"].item_line(index))
                what = f"there is no such environment variable; expected {_description(place)}"
                self._field_fault(line, _dotted(place), what)

    def _check_templates(self, fields: Mapping[str, _Field], end: int) -> None:
        try:
            templates.check("\n".join(self.lines[end + 1 :]))
        except templates.TemplateFault as fault:
            self._fault(end + 1 + fault.line, f"instructions: {fault.what}")
        for name in LINES:
            field = fields.get(name)
            if field is None:
                continue
            place: Place = ("message",) if isinstance(field.value, dict) else ()
            text = field.value.get("message") if place else field.value
            if isinstance(text, str):
                try:
                    templates.check(text)
                except templates.TemplateFault as fault:
                    line = field.lines.get(place, field.line)
                    self._field_fault(line, _dotted((name, *place)), fault.what)

    def _does_not_fit(self, line: int, place: Place, value: object) -> None:
        innermost = [part for part in place if isinstance(part, str)][-1]
        shown = "what is written there" if innermost in _NEVER_SHOWN else _shown(value)
        self._field_fault(line, _dotted(place), f"{shown} does not fit; expected {_description(place)}")

    def _field_fault(self, line: int, name: str, what: str) -> None:
        self._fault(line, f"field {name!r}: {what}")

    def _fault(self, line: int, what: str) -> None:
        self.faults.append(f"{self.path}:{line}: {what}")


def _value_of(node: yaml.Node, loader_class: type[yaml.SafeLoader | yaml.BaseLoader]) -> Any:
    loader = loader_class("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _beginnings(place: Place) -> Iterator[Place]:
    """The place itself, and all that it is inside of."""
    return (place[:length] for length in range(1, len(place) + 1))


def _dotted(place: Place) -> str:
    """The name of a place as it is told; the line tells which item of a list it is."""
    return ".".join(part for part in place if isinstance(part, str))


def _inner_fields(name: str) -> Collection[str]:
    return _WITHIN[name].model_fields


def _description(place: Place) -> str | None:
    """What to write in this place."""
    top, *inner = (part for part in place if isinstance(part, str))
    within = _WITHIN.get(top)
    field = (within.model_fields.get(inner[0]) if inner and within else None) or Agent.model_fields[top]
    return field.description


def _line_of(fault: str) -> int:
    found = re.search(r":(\d+): ", fault)
    return int(found[1]) if found else 0


def _expected(name: str, known: Collection[str]) -> str:
    """What to write instead of a name that is not known."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"expected perhaps {near[0]!r}"
    return f"expected one of {', '.join(sorted(known)) or '(none)'}"


def _shown(value: object) -> str:
    """A value as the operator would know it again."""
    if value is None or value == "":
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
