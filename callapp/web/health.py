"""What a load balancer asks."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from callapp.services import services
from callapp.version import VERSION

blueprint = Blueprint("health", __name__)


@blueprint.get("/")
def name() -> ResponseReturnValue:
    return {"name": "callapp", "version": VERSION}


@blueprint.get("/healthz")
def alive() -> ResponseReturnValue:
    """The process lives; whatever its dependencies do, restarting it would not help them."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def ready() -> ResponseReturnValue:
    """Another call can be taken."""
    registry = services().registry
    if registry.drain_requested:
        return {"status": "draining"}, 503
    if registry.full:
        return {"status": "full"}, 503
    return {"status": "ready"}
