"""``{{ name }}`` in an agent's texts, filled from the parameters of a call. Pure.

The texts are Jinja templates, of which a part is allowed: values, the filters below,
``{% if %}`` and comparisons. There are no loops, calls or attributes, so that filling one ends, and
soon, and cannot reach anything but the parameters; nor can it fail, once it was checked. A parameter's
value is inserted as it is and is never itself taken for a template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import jinja2
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from callapp.errors import CallappError

FILTERS = ("capitalize", "default", "lower", "title", "trim", "upper")

# Besides names, filters, tests and comparisons, of which some are.
_ALLOWED = (
    nodes.Output,
    nodes.TemplateData,
    nodes.Const,
    nodes.If,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Operand,
)
# Half of a surrogate pair is no character; control characters can be neither spoken nor written as XML.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_TESTS = ("defined", "undefined")
_COMPARISONS = ("eq", "ne")
WHAT_IS_ALLOWED = (
    "{{ name }} with a name of letters, digits and _, {{ name | default('...') }} or another of "
    f"the filters {', '.join(FILTERS)}, {{% if name == '...' %}} and {{% if name is defined %}}"
)


# Not HTML: the text is spoken, so nothing is escaped.
_environment = ImmutableSandboxedEnvironment(autoescape=False)
_environment.globals.clear()


class TemplateFault(CallappError):
    """A text is not a template, or uses what is not allowed. ``line`` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def check(text: str) -> None:
    """Make sure that a text can be filled, whatever the values.

    Raises:
        TemplateFault: it cannot.
    """
    try:
        _check(text)
        fill(text, {})
    except (SyntaxError, RecursionError):  # Python's own, of what Jinja makes of it
        raise TemplateFault(1, "this is nested too deeply; expected fewer {% if %} in each other") from None


def _check(text: str) -> None:
    try:
        tree = _environment.parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateFault(
            error.lineno, f"{_lower_first(error.message or 'syntax error')}; expected e.g. {{{{ name }}}}"
        ) from None
    for node in tree.find_all(nodes.Node):
        if not _allowed(node):
            raise TemplateFault(node.lineno, f"this cannot be used in a template; expected {WHAT_IS_ALLOWED}")
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        # Whether a filter takes what it is given may not hang on a call's values. A default is taken as is.
        if node.name != "default" and not all(isinstance(given, nodes.Const) for given in node.args):
            what = f"what {node.name} is given has to be written out"
            raise TemplateFault(node.lineno, f"{what}; expected e.g. {{{{ name | trim('.') }}}}")
        # Each alone, so that wrong arguments show now, also in a branch that few calls take.
        alone = nodes.Template([nodes.Output([node])], lineno=1)
        alone.set_environment(_environment)
        try:
            _environment.from_string(alone).render()
        except (jinja2.TemplateError, TypeError) as error:
            what = f"{_lower_first(str(error))}; expected {WHAT_IS_ALLOWED}"
            raise TemplateFault(node.lineno, what) from None


def is_text(value: str) -> bool:
    """Whether a parameter's name or value can stand in a text."""
    return _NO_TEXT.search(value) is None


@lru_cache(maxsize=256)
def needed(text: str) -> tuple[str, ...]:
    """The names that a text cannot be filled without, sorted.

    Not among them are those that the text has a default for, or asks itself whether they are there.
    """
    tree = _environment.parse(text)
    spared = {
        node.node.name
        for node in tree.find_all((nodes.Filter, nodes.Test))
        if node.name in ("default", *_TESTS) and isinstance(node.node, nodes.Name)
    }
    return tuple(sorted(find_undeclared_variables(tree) - spared))


def fill(text: str, values: Mapping[str, str]) -> str:
    """A text that was checked with its values; one that is missing is left empty."""
    if "{" not in text:
        return text
    return _compiled(text).render(dict(values))


# An agent has four texts, and an app a few agents.
@lru_cache(maxsize=256)
def _compiled(text: str) -> jinja2.Template:
    return _environment.from_string(text)


def _allowed(node: nodes.Node) -> bool:
    match node:
        # No *name: it gives as many arguments as the value has letters.
        case nodes.Filter(name=name, dyn_args=None, dyn_kwargs=None):
            return name in FILTERS
        case nodes.Test(name=name, dyn_args=None, dyn_kwargs=None):
            return name in _TESTS
        case nodes.Compare(ops=operands):
            return all(operand.op in _COMPARISONS for operand in operands)
        case nodes.Name(name=name):
            return name != "self"  # Jinja's own: the template itself
    return isinstance(node, _ALLOWED)


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
