"""How long a request may take to arrive: one whose body does not come would hold a thread for ever."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected

from callapp.web.problems import Problem, answer

log = logging.getLogger(__name__)

SILENT_S = 10.0
"""A peer that sends no further byte of its body for so long has gone, or means no good."""


def register(app: Flask) -> None:
    """Give up requests that stop half-way. The deadline is for the next bytes, not for all of them."""
    app.before_request(_wait_no_longer)
    app.register_error_handler(TimeoutError, _gave_up)
    app.register_error_handler(
        ClientDisconnected, _gave_up
    )  # so werkzeug says it, from where it counts bytes


def _wait_no_longer() -> None:
    # The socket of a worker blocks, which gunicorn sees to again before each request. A call's socket is
    # not touched: its upgrade has no body.
    sock = request.environ.get("gunicorn.socket")
    if sock is not None and (request.content_length or request.headers.get("Transfer-Encoding")):
        sock.settimeout(SILENT_S)


def _gave_up(error: Exception) -> Response:
    log.warning("! a request's body did not come: %s %s: %s", request.method, request.path, error)
    problem = Problem(
        HTTPStatus.REQUEST_TIMEOUT,
        f"The body did not come whole, or paused for more than {SILENT_S:.0f} s.",
        headers={"Connection": "close"},  # or gunicorn would wait for it once more
    )
    answered = answer(problem)
    assert isinstance(answered, Response)
    return answered
