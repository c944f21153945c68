"""What a Redis is said to be."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread

import pytest

from callapp.peers.redis import Redis
from callapp.peers.wire import WireLost


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://127.0.0.1:1?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("redis://127.0.0.1:1?db=first", "db"),
        ("rediss://127.0.0.1:1?ssl_cert_reqs=non", "Certificate Requirements Flag: non"),
    ],
)
def test_an_option_of_the_url_that_does_not_fit_is_a_loss_that_is_told_and_tried_again(
    url: str, told: str
) -> None:
    """Whatever else is raised would end the threads that speak with the other processes, for good."""
    with pytest.raises(WireLost, match=told):
        Redis(url).sender()
    with pytest.raises(WireLost, match=told):
        Redis(url).listener(["a"])


@contextmanager
def says_always(answer: bytes) -> Iterator[str]:
    """What gives one answer to all that it is told; the URL at which it is taken for a Redis."""

    def talk() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                while connection.recv(4096):
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=talk)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.mark.parametrize("answer", [b"+OK\r\n", b":1\r\n", b"*0\r\n", b":x\r\n", b"+\xff\r\n"])
def test_what_answers_nonsense_is_a_loss_that_is_told_and_tried_again(answer: bytes) -> None:
    """The library takes it for what it has asked for, and raises what comes of that."""
    with says_always(answer) as url:
        with (
            closing(Redis(url).sender()) as sender,
            pytest.raises(WireLost, match="what answers is no Redis"),
        ):
            sender.send([("a", "letter")])
        with pytest.raises(WireLost, match="what answers is no Redis"):
            Redis(url).listener(["a"])
