"""A request that stops half-way does not keep its thread."""

from __future__ import annotations

import io

import pytest
from flask import Flask, request

from callapp.web import patience, problems


class Socket:
    """gunicorn's end of a connection, as far as it is looked at here."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []

    def settimeout(self, timeout: float) -> None:
        self.timeouts.append(timeout)


class Silence(io.RawIOBase):
    """A body of which nothing comes."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise TimeoutError("timed out")


@pytest.fixture
def app() -> Flask:
    app = Flask("callapp")
    problems.register(app)
    patience.register(app)
    app.add_url_rule("/", view_func=lambda: request.get_data(), methods=["GET", "POST"])
    return app


def test_a_body_that_does_not_come_is_a_408_and_the_end_of_the_connection(app: Flask) -> None:
    """Kept alive, gunicorn would wait for the rest of it once more."""
    environ = {"wsgi.input": Silence(), "CONTENT_LENGTH": "9"}
    answer = app.test_client().post("/", environ_overrides=environ)
    assert answer.status_code == 408
    assert answer.headers["Connection"] == "close"
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("request_of", "timeouts"),
    [
        ({"method": "POST", "data": b"a=b"}, [patience.SILENT_S]),
        ({"method": "POST", "headers": {"Transfer-Encoding": "chunked"}}, [patience.SILENT_S]),
        ({"method": "GET"}, []),
    ],
)
def test_only_the_socket_of_a_request_with_a_body_gets_a_deadline(
    app: Flask, request_of: dict[str, object], timeouts: list[float]
) -> None:
    """A call's upgrade has none, and its socket is the call's from then on."""
    sock = Socket()
    app.test_client().open("/", environ_overrides={"gunicorn.socket": sock}, **request_of)
    assert sock.timeouts == timeouts
