"""``GET /metrics``: what Prometheus asks for, with the API key as its bearer token."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from callapp.services import services
from callapp.web.guard import require_api_key

blueprint = Blueprint("metrics", __name__)
blueprint.before_request(require_api_key)


@blueprint.get("/metrics")
def metrics() -> Response:
    return Response(services().meter.exposition(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
