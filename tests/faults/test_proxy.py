"""The proxy itself: it passes everything on, and goes wrong exactly where it is told to."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.proxy import Fault, Link, Proxy


@contextmanager
def proxied(*faults: Fault) -> Iterator[tuple[socket.socket, socket.socket, list[Link]]]:
    """Both ends of a connection through a proxy; the first byte, ``!``, has come through."""
    links: list[Link] = []

    def on_open(link: Link) -> None:
        links.append(link)
        for fault in faults:
            link.strike(fault)

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Proxy(listener.getsockname()[1], on_open) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as client,
    ):
        client.sendall(b"!")
        server, _ = listener.accept()
        with server:
            server.settimeout(5)
            assert server.recv(1) == b"!"
            yield client, server, links


def received(sock: socket.socket) -> bytes:
    """All that comes until the end of the stream."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def test_it_passes_on_both_ways_and_both_ends() -> None:
    with proxied() as (client, server, _):
        client.sendall(b"x" * 1_000_000)
        client.shutdown(socket.SHUT_WR)
        assert len(received(server)) == 1_000_000
        server.sendall(b"y" * 1_000_000)
        server.close()
        assert len(received(client)) == 1_000_000


def test_a_drop_ends_both_directions_with_a_fin_after_the_very_byte() -> None:
    with proxied(Fault("drop", "up", after_bytes=4)) as (client, server, links):
        client.sendall(b"234and more")
        assert received(server) == b"234"
        assert received(client) == b""
        assert [fault.kind for _, fault in links[0].struck] == ["drop"]


def test_a_reset_is_one_for_both_sides() -> None:
    with proxied() as (client, server, links):
        links[0].strike(Fault("reset", "down"))
        for end in (client, server):
            with pytest.raises(ConnectionResetError):
                end.recv(10)


def test_a_stall_passes_nothing_on_and_ends_nothing() -> None:
    with proxied(Fault("stall", "up", after_bytes=3)) as (client, server, links):
        client.sendall(b"23and more")
        server.settimeout(0.3)
        assert server.recv(10) == b"23"
        with pytest.raises(TimeoutError):
            server.recv(10)
        links[0].cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_delay_holds_back_and_loses_nothing() -> None:
    with proxied(Fault("delay", "up", after_bytes=1, amount=200)) as (client, server, _):
        began = time.monotonic()
        client.sendall(b"0123456789")
        assert server.recv(10) == b"0123456789"
        assert 0.05 < time.monotonic() - began < 2


def test_split_bytes_are_all_there() -> None:
    with proxied(Fault("split", "up", after_bytes=1, amount=1)) as (client, server, _):
        client.sendall(b"abc" * 2_000)
        client.shutdown(socket.SHUT_WR)
        assert received(server) == b"abc" * 2_000


def test_duplicated_bytes_come_twice() -> None:
    with proxied(Fault("duplicate", "up", after_bytes=3, amount=2)) as (client, server, _):
        client.sendall(b"23456")
        client.shutdown(socket.SHUT_WR)
        assert received(server) == b"2345456"


def test_no_server_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Proxy(port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        client.sendall(b"!")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
