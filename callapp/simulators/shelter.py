"""What a server that is started here finds in its environment: nothing of the operator's own."""

from __future__ import annotations

import os
from collections.abc import Mapping

from callapp.settings import SETTINGS

# What libraries read besides our settings; a pretended call is not to depend on what a shell has exported.
_FOREIGN = ("FLASK_", "GUNICORN_", "OPENAI_", "OTEL_", "PROMETHEUS_", "TWILIO_", "WERKZEUG_")

HIDDEN = {
    **dict.fromkeys((setting.name for setting in SETTINGS), ""),
    # Those of a .env are put into the environment by whoever traces, unless it is told not to trace at all.
    "OTEL_SDK_DISABLED": "true",
}
"""For callapp: hides what a ``.env`` says."""


def bare() -> dict[str, str]:
    """Return our environment without what is meant for a server of the operator's own."""
    # Proxies are not for what stays on this machine.
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }


def sheltered(own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a callapp with these settings; all others are hidden, those of ``.env`` too.

    Its calls are pretended: they must not be told to a real webhook, be traced or counted among the real
    ones, nor end at the operator's limits.
    """
    return {**bare(), **HIDDEN, **own}
