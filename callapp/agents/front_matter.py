"""The front matter of an agent's file: YAML, whose values keep the lines on which they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from callapp.agents.faults import Faults, Place, description
from callapp.agents.model import Agent

FIELDS = tuple(field for field in Agent.model_fields if field not in ("name", "instructions"))
# YAML would take +81… for a number, and lose the sign, 007 for 7, and `no`, which is Norwegian, for false.
_AS_WRITTEN = frozenset(
    {"numbers", "fallback_number", "forward_to", "languages", "other_party", "parameters", "transfer_to"}
)
# They come with pasted text, unseen. YAML would end a line there, and within a text a space stands for that.
_NO_LINE_ENDS = str.maketrans("\x85\u2028\u2029", "   ")
_MOST_VALUES = 10_000  # in one field


class Field(NamedTuple):
    """A field as it stands in the file. ``lines`` are those of what is inside it."""

    value: Any
    line: int
    lines: Mapping[Place, int]

    def item_line(self, index: int) -> int:
        """The line of an item of a list."""
        return self.lines.get((index,), self.line)


def end_of(lines: Sequence[str], faults: Faults) -> int:
    """Find the second line of dashes; return its index.

    Raises:
        ConfigError: there is none, or no first one.
    """
    stripped = [line.rstrip() for line in lines]
    if stripped[0] != "---":
        faults.add(1, "no front matter; expected a first line --- , fields, and another line ---")
        raise faults.error()
    try:
        return stripped.index("---", 1)
    except ValueError:
        faults.add(1, "the front matter has no end; expected a second line ---")
        raise faults.error() from None


def read(lines: Sequence[str], faults: Faults) -> dict[str, Field]:
    """Read the fields of a file, from its first line of dashes to before the second.

    Raises:
        ConfigError: it is not YAML, or no list of fields. A field that is wrong is noted, and left out.
    """
    root = _compose(lines, faults)
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        faults.add(root.start_mark.line + 1, "is not a list of fields; expected `field: value`")
        raise faults.error()
    fields: dict[str, Field] = {}
    for key, node in root.value:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        if name not in FIELDS:
            faults.no_such_field(line, (name,), FIELDS)
        elif name in fields:
            faults.of_field(line, (name,), f"is there twice, first on line {fields[name].line}")
        else:
            field = _read_field(name, line, node, lines, faults)
            if field is not None:
                fields[name] = field
    return fields


def _compose(lines: Sequence[str], faults: Faults) -> yaml.Node | None:
    # The line of dashes counts as an empty one, so that YAML's lines are the file's.
    source = "\n".join(["", *lines[1:], ""]).translate(_NO_LINE_ENDS)
    try:
        return yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.add(
            mark.line + 1 if mark else 1,
            f"is not YAML: {error.problem or error.context}; expected `field: value` on each "
            "line, the value in quotes if it has a colon or begins with a sign",
        )
    except (yaml.YAMLError, OverflowError, ValueError) as error:
        # A character that YAML does not take, or that there is not ("\\U00110000"): it has no line.
        faults.add(1, f"is not YAML: {str(error).splitlines()[0]}; expected plain text")
    except RecursionError:
        faults.add(1, "is nested too deeply; expected `field: value` on each line")
    raise faults.error()


def _read_field(
    name: str, line: int, node: yaml.Node, file_lines: Sequence[str], faults: Faults
) -> Field | None:
    """A field with its value; ``None`` if it has none, or one that cannot be read."""
    inner = _Inner()
    try:
        inner.look_into(node, ())
        value = _value_of(node, yaml.BaseLoader if name in _AS_WRITTEN else yaml.SafeLoader)
    except (yaml.YAMLError, AttributeError, LookupError, ValueError):
        # Two of them are how PyYAML fails at a value that is not of its tag, as `!!bool perhaps`.
        faults.does_not_fit(line, (name,), file_lines[node.start_mark.line][node.start_mark.column :])
        return None
    except RecursionError:
        what = f"an alias stands inside of what it is for; expected {description((name,))}"
        faults.of_field(line, (name,), what)
        return None
    for again, place, first in inner.twice:
        faults.of_field(again, (name, *place), f"is there twice, first on line {first}")
    # A field with nothing after its colon is as good as left out.
    is_there = value is not None and (value or name not in _AS_WRITTEN)
    return Field(value, line, inner.lines) if is_there else None


class _Inner:
    """Where things stand inside of a field, and which of them are there twice: line, place, first line."""

    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.twice: list[tuple[int, Place, int]] = []

    def look_into(self, node: yaml.Node, place: Place) -> None:
        """Note the lines of all that is inside of a node.

        Raises:
            ValueError: that is too much. Aliases of aliases can come to more than there is memory.
            RecursionError: it is inside of itself.
        """
        if len(self.lines) > _MOST_VALUES:
            raise ValueError
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[*place, index] = item.start_mark.line + 1
                self.look_into(item, (*place, index))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner, line = (*place, str(key.value)), key.start_mark.line + 1
                if inner in self.lines:
                    self.twice.append((line, inner, self.lines[inner]))
                self.lines[inner] = line
                self.look_into(value, inner)


def _value_of(node: yaml.Node, loader_class: type[yaml.SafeLoader | yaml.BaseLoader]) -> Any:
    loader = loader_class("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()
