"""Connections of ours, and what must be true after each."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from callapp.websocket.connection import Connection
from tests.websocket.peers import DEADLINE_S, Link, Tls, we_dial, we_serve


@pytest.fixture
def nothing_remains() -> Iterator[None]:
    """However a connection ends, no thread and no descriptor is left."""
    gc.collect()
    gc.freeze()  # it takes a quarter of a second to look through all that the other tests have loaded
    threads = set(threading.enumerate())
    descriptors = open_descriptors()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), thread
    gc.collect()
    assert open_descriptors() == descriptors


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return Tls(server, client, str(ca_file))


@pytest.fixture
def make(nothing_remains: None) -> Iterator[Callable[..., Connection]]:
    """Make a connection of ours on a socket; it is released when the test is over."""
    made: list[Connection] = []

    def make(sock: socket.socket, **options: Any) -> Connection:
        defaults = {
            "name": "caller",
            "client": False,
            "max_message_bytes": 2**21,
            "quiet_s": DEADLINE_S,
            "write_s": DEADLINE_S,
        }
        made.append(Connection(sock, **(defaults | options)))
        return made[-1]

    yield make
    for connection in made:
        connection.release()


@pytest.fixture(params=["plain", "TLS"])
def raw_pair(
    request: pytest.FixtureRequest, tls: Tls, make: Callable[..., Connection]
) -> Iterator[Callable[..., tuple[Connection, socket.socket]]]:
    """Make a serving connection of ours, with the socket that is its peer's end; once each."""
    ends: list[socket.socket] = []

    def make_pair(**options: Any) -> tuple[Connection, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far = socket.create_connection(listener.getsockname())
            near, _ = listener.accept()
        if request.param == "TLS":
            with ThreadPoolExecutor(1) as pool:
                wrapping = pool.submit(tls.server.wrap_socket, near, server_side=True)
                far = tls.client.wrap_socket(far, server_hostname="localhost")
                near = wrapping.result(DEADLINE_S)
        far.settimeout(DEADLINE_S)
        ends.append(far)
        return make(near, **options), far

    yield make_pair
    for far in ends:
        far.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["server", "client", "server over TLS", "client over TLS"])
def link(request: pytest.FixtureRequest, tls: Tls, make: Callable[..., Connection]) -> Iterator[Link]:
    """What we are, with the library as the other; once each."""
    secure = "TLS" in request.param
    open_link = we_serve if "server" in request.param else we_dial
    with open_link(tls, make, secure=secure) as link:
        yield link
