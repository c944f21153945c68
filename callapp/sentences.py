"""Sentences for people: programs and terminals get them in English, the desk's readers in their language.

``N_`` is what those who gather sentences for translation look for; CONTRIBUTING.md says how they do.
"""

from __future__ import annotations

from collections.abc import Mapping


class Sentence(str):
    """A sentence in English, which remembers what it was made of. Made by ``N_``."""

    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, values: Mapping[str, object]) -> Sentence:
        # Without values nothing is filled in, and a % is a %.
        sentence = super().__new__(cls, template % values if values else template)
        sentence.template, sentence.values = template, values
        return sentence


class Quoted(str):
    """Somebody else's words, e.g. those of a library: English, whatever is spoken around them."""

    __slots__ = ()


def words_of(error: Exception) -> Sentence | Quoted:
    """What an error says: the sentence that it was raised with, or else its own words."""
    said = error.args[0] if error.args else None
    return said if isinstance(said, Sentence) else Quoted(error)


def N_(template: str, /, **values: object) -> Sentence:  # noqa: N802 - the name that is looked for
    """Make a sentence.

    Args:
        template: English, with ``%(name)s`` where a value goes.
        values: may be sentences themselves, or `Quoted`.
    """
    return Sentence(template, values)
