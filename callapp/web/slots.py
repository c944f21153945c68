"""A slot for a call that is asked for over HTTP, or the problem that says why there is none."""

from __future__ import annotations

from callapp.call.registry import Registry
from callapp.sentences import N_
from callapp.web.problems import Problem

RETRY_WHEN_FULL_S = 10


def take_slot(key: str, registry: Registry) -> None:
    """Take a slot under a name.

    Raises:
        Problem: 503.
    """
    if not registry.take_slot(key):
        raise Problem(
            503,
            N_("The server is about to stop: try again.")
            if registry.drain_requested
            else N_("All lines are busy: try later."),
            headers={"Retry-After": str(RETRY_WHEN_FULL_S)},
        )
