"""Which command this process was started for; asked before there is an app."""

from __future__ import annotations

import sys

# Options of ``flask`` itself whose value is a word of its own.
_TAKE_A_WORD = ("-A", "--app", "-e", "--env-file")


def asked_command() -> str:
    """The first word after the program's name: ``doctor`` of ``flask doctor``; empty if there is none."""
    words = iter(sys.argv[1:])
    for word in words:
        if word in _TAKE_A_WORD:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""
