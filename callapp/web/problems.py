"""Errors over HTTP as ``application/problem+json`` (RFC 9457), with a detail that says what to do."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from callapp.call_log import StoreUnavailable
from callapp.recording.shelf import ShelfUnavailable
from callapp.sentences import N_, Quoted, Sentence

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
# How soon a database that does not answer is worth another try.
DATABASE_RETRY_S = 5
FAILED = N_("The server failed; its log says why.")


class Problem(HTTPException):
    """What a view raises to answer with a problem.

    Args:
        status: HTTP status.
        detail: what is wrong and what to do about it, in a sentence. Made by `N_`, the desk says it in its
            reader's language; else it is taken for somebody else's words.
        headers: of the answer, e.g. ``Retry-After``.
        members: RFC 9457's extension members.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail if isinstance(detail, Sentence) else Quoted(detail)
        self.code = status
        self.headers = dict(headers or {})
        self.members = members


def register(app: Flask) -> None:
    """Answer every error of the app with a problem: ours, Flask's own, and unexpected exceptions."""
    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(StoreUnavailable, lambda error: answer(database_down(error)))
    app.register_error_handler(ConnectionError, _peer_gone)
    app.register_error_handler(ShelfUnavailable, lambda error: answer(shelf_away(error)))


def answer(error: HTTPException) -> Response | HTTPException:
    """The problem that an HTTP error is; a redirect, or an answer given whole, stays what it is."""
    if error.code is None or error.code < 400 or error.response is not None:
        return error
    if isinstance(error, Problem):
        return _problem(error.code, error.description or "", error.headers, error.members)
    detail = FAILED if error.code == HTTPStatus.INTERNAL_SERVER_ERROR else error.description or ""
    if isinstance(error, MethodNotAllowed):
        methods = sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"})
        detail = f"This address takes {' and '.join(methods)} only."
    # Allow of a 405, WWW-Authenticate, Retry-After.
    kept = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return _problem(error.code, detail, kept, {})


def database_down(error: StoreUnavailable) -> Problem:
    log.error("! database: %s", error)
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        N_("The database does not answer; try again in a moment."),
        headers={"Retry-After": str(DATABASE_RETRY_S)},
    )


def shelf_away(error: ShelfUnavailable) -> Problem:
    log.error("! recordings: %s", error)
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        N_("Recordings cannot be reached: see RECORDINGS_URL, and try again in a moment."),
        headers={"Retry-After": str(DATABASE_RETRY_S)},
    )


def _peer_gone(error: ConnectionError) -> Response:
    # Nobody will read the answer; but it is no fault of ours, and needs no traceback.
    log.warning("! a request's connection was lost before all of it had come: %s", error)
    return _problem(HTTPStatus.BAD_REQUEST, "The request did not come whole.", {}, {})


def _problem(status: int, detail: str, headers: Mapping[str, str], members: Mapping[str, Any]) -> Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    text = json.dumps(body, ensure_ascii=False)
    return Response(text, status, headers=dict(headers), content_type=CONTENT_TYPE)
