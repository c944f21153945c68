"""A request that stops half-way does not keep its thread."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask import Flask, request
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.unreader import IterUnreader

from callapp.web import patience, problems


class Peer:
    """The other end of a connection: each of its bytes takes its time."""

    def __init__(self, each_byte_takes_s: float) -> None:
        self.each_byte_takes_s = each_byte_takes_s
        self.now_s = 1000.0
        self.timeout_s: float | None = None

    def settimeout(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s

    def recv(self, _size: int) -> bytes:
        assert self.timeout_s is not None
        if self.each_byte_takes_s > self.timeout_s:
            self.now_s += self.timeout_s
            raise TimeoutError("timed out")
        self.now_s += self.each_byte_takes_s
        return b"x"


Listen = Callable[[float], tuple[patience.Unreader, Peer]]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Listen:
    def to(each_byte_takes_s: float) -> tuple[patience.Unreader, Peer]:
        peer = Peer(each_byte_takes_s)
        monkeypatch.setattr(patience, "monotonic", lambda: peer.now_s)
        return patience.Unreader(peer), peer

    return to


class Silence(io.RawIOBase):
    """A body of which nothing comes."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise TimeoutError("timed out")


def chunked(sent: bytes) -> Body:
    """A body as gunicorn gives it to an app, of what was sent as its chunks."""
    return Body(ChunkedReader(None, IterUnreader([sent])))


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


@pytest.mark.parametrize("sent", [b"zz\r\n", b"3\r\nabcde\r\n", b"1;\x01\r\na\r\n"])
def test_chunks_that_are_none_are_a_400_and_no_bug(
    app: Flask, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """Anybody can send them, to a webhook, say."""
    environ = {"wsgi.input": chunked(sent), "wsgi.input_terminated": True}
    answer = app.test_client().post("/", environ_overrides=environ)
    assert (answer.status_code, answer.headers["Connection"]) == (400, "close")
    assert answer.content_type == "application/problem+json"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(("each_byte_takes_s", "bytes_read"), [(0.5, 20), (0.0, 1_000), (30.0, 0)])
def test_a_head_that_drips_or_stops_is_taken_for_the_end_of_the_connection(
    listen: Listen, caplog: pytest.LogCaptureFixture, each_byte_takes_s: float, bytes_read: int
) -> None:
    unreader, peer = listen(each_byte_takes_s)
    read = 0
    while read < 1_000 and unreader.chunk():
        read += 1
    assert read == bytes_read
    assert peer.now_s - 1000 <= patience.ARRIVES_S
    assert peer.timeout_s == patience.TAKES_S  # for the answer
    assert ("did not come within 10 s" in caplog.text) == (read < 1_000)


def test_a_body_has_a_time_of_its_own_and_so_has_the_next_request(listen: Listen) -> None:
    unreader, _ = listen(4.0)
    assert [unreader.chunk() for _ in range(3)] == [b"x", b"x", b""]
    unreader.next_part(body=True)
    assert [unreader.chunk() for _ in range(2)] == [b"x", b"x"]
    with pytest.raises(TimeoutError):
        unreader.chunk()
    unreader.next_part(body=False)
    assert unreader.chunk() == b"x"
