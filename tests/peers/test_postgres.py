"""What PostgreSQL is told when we connect."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from callapp.peers.postgres import Postgres
from callapp.peers.wire import WireLost
from tests.stage import DEADLINE_S


def _first_words(listener: socket.socket) -> bytes:
    """What a client says first; then it is left alone."""
    client, _ = listener.accept()
    with client:
        client.settimeout(DEADLINE_S)
        size = int.from_bytes(client.recv(4), "big")
        return client.recv(size - 4)


def test_no_options_are_asked_for_since_pgbouncer_refuses_who_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        said = pool.submit(_first_words, listener)
        port = listener.getsockname()[1]
        with pytest.raises(WireLost):
            Postgres(f"postgresql://me@127.0.0.1:{port}/it?sslmode=disable&gssencmode=disable").sender()
        words = said.result(DEADLINE_S).split(b"\0")
    assert b"user" in words
    assert b"options" not in words


def test_those_of_the_url_are_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        said = pool.submit(_first_words, listener)
        port = listener.getsockname()[1]
        url = f"postgresql://me@127.0.0.1:{port}/it?sslmode=disable&gssencmode=disable&options=endpoint%3Done"
        with pytest.raises(WireLost):
            Postgres(url).listener(["a"])
        words = said.result(DEADLINE_S).split(b"\0")
    assert words[words.index(b"options") + 1] == b"endpoint=one"
