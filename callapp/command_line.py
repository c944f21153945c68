"""Which command this process was started for; asked before there is an app."""

from __future__ import annotations

import sys


def asked_command() -> str:
    """The first word after the program's name: ``doctor`` of ``flask doctor``; empty if there is none."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "")
