"""How long the other end of a connection may take: gunicorn's own patience is for the first byte (27.0.1).

A request that does not come whole would hold a thread for ever. Its head has so long, from the first byte on,
and then its body, however it comes: silence and single bytes now and then are the same.

Nor does gunicorn have a time for an answer to be taken: who reads none of it, or stops half-way, would hold
its thread as well.

One who has been answered and does not hang up is waited for, so that the answer is not cut short. gunicorn
does so where it accepts connections: thirty of them and nobody else is served for a minute, after which the
worker is taken for dead, with all its calls. Here it is done where the request was answered.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from http import HTTPStatus
from time import monotonic

from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader
from werkzeug.exceptions import ClientDisconnected

from callapp.web.problems import Problem, answer

log = logging.getLogger(__name__)

ARRIVES_S = 10.0
"""For a head, and for a body; Twilio's come at once, and none of ours is large."""

TAKES_S = 60.0
"""For a piece of an answer: of a file what there is room for, else what was made in one go."""

LEAVES_S = 2.0
"""For one who has been answered, as gunicorn has it."""


class Unreader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn reads a connection's requests from; `gunicorn.conf.py` puts it in place.

    ``next_part`` is called between a head and its body, and between two requests.
    """

    _until_s: float | None = None
    _in_body = False

    def next_part(self, *, body: bool) -> None:
        """What is read from now on has its own time, from the first read on."""
        self._until_s, self._in_body = None, body

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return some bytes; none when a head has not come in time, which ends the connection.

        Raises:
            TimeoutError: a body has not.
        """
        now_s = monotonic()
        if self._until_s is None:
            self._until_s = now_s + ARRIVES_S
        try:
            if now_s >= self._until_s:
                raise TimeoutError("too slow")
            self.sock.settimeout(self._until_s - now_s)
            return bytes(super().chunk(size_hint))
        except TimeoutError:
            if self._in_body:
                raise
            log.warning("! the head of a request did not come within %.0f s", ARRIVES_S)
            return b""
        finally:
            self.sock.settimeout(TAKES_S)  # of what is written next; who takes the socket over has their own


def see_off(sock: socket.socket) -> None:
    """Wait until the peer hangs up, for `LEAVES_S` at most; the main thread has only to close then.

    A socket closed while something unread is in it is reset, and the peer may lose the answer.
    """
    until_s = monotonic() + LEAVES_S
    with suppress(OSError):  # a timeout is one
        sock.shutdown(socket.SHUT_WR)
        while (left_s := until_s - monotonic()) > 0:
            sock.settimeout(left_s)
            if not sock.recv(4096):
                break
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def register(app: Flask) -> None:
    """Answer requests whose body does not come, or whose chunks are none."""
    app.register_error_handler(TimeoutError, _gave_up)
    app.register_error_handler(
        ClientDisconnected, _gave_up
    )  # so werkzeug says it, from where it counts bytes
    app.register_error_handler(ParseException, _made_no_sense)


def _gave_up(error: Exception) -> Response:
    log.warning("! a request's body did not come: %s %s: %s", request.method, request.path, error)
    return _no_body(
        HTTPStatus.REQUEST_TIMEOUT, f"The body did not come whole, or not within {ARRIVES_S:.0f} s."
    )


def _made_no_sense(error: Exception) -> Response:
    # gunicorn reads a head before anything of ours runs, but chunks when the body is asked for.
    log.warning("! a request's body made no sense: %s %s: %s", request.method, request.path, error)
    return _no_body(HTTPStatus.BAD_REQUEST, "The body's chunks are not as HTTP has them.")


def _no_body(status: int, detail: str) -> Response:
    # Kept alive, gunicorn would look for the rest of the body once more.
    answered = answer(Problem(status, detail, headers={"Connection": "close"}))
    assert isinstance(answered, Response)
    return answered
