"""Opening the model's socket: over TLS as over TCP, refused, silent, and broken off."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
import trustme
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from callapp.conversation.events import ModelLost
from callapp.errors import LegLost
from callapp.realtime import dialling
from callapp.realtime.dialling import Dialling, Endpoint
from callapp.realtime.leg import ModelLeg
from tests.realtime.test_decode import CONFIG


@contextmanager
def server(
    tls: ssl.SSLContext | None = None,
    answer: Callable[[ServerConnection, Request], Response] | None = None,
) -> Iterator[tuple[int, list[str]]]:
    """A WebSocket server that notes the keys it was shown and closes with 1000, or gives another answer."""
    shown: list[str] = []

    def note(connection: ServerConnection) -> None:
        shown.append(connection.request.headers["Authorization"])

    with serve(note, "localhost", 0, ssl=tls, process_request=answer) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running.socket.getsockname()[1], shown
        finally:
            running.shutdown()
            thread.join()


@contextmanager
def silent() -> Iterator[int]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_upgraded_socket_is_handed_over_with_nothing_read_from_it():
    with server() as (port, shown):
        sock = Dialling().open(f"ws://localhost:{port}/v1?model=m", ["Authorization: Bearer k"], 3)
        with closing(sock):
            assert sock.recv(100)[:1] == b"\x88"  # the server's close frame
        assert shown == ["Bearer k"]


def test_tls_is_checked_against_the_systems_authorities(tmp_path, monkeypatch):
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    with server(tls) as (port, shown):
        dialling._tls_context.cache_clear()
        with pytest.raises(LegLost, match="certificate"):
            Dialling().open(f"wss://localhost:{port}/", ["Authorization: Bearer k"], 3)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        dialling._tls_context.cache_clear()
        with closing(Dialling().open(f"wss://localhost:{port}/", ["Authorization: Bearer k"], 3)) as sock:
            sock.settimeout(3)
            assert sock.recv(100)[:1] == b"\x88"
        dialling._tls_context.cache_clear()
    assert shown == ["Bearer k"]


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LegLost):
        Dialling().open(f"ws://127.0.0.1:{port}/", [], 3)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(401, ModelLost("openai.refused", hopeless=True)), (503, ModelLost("openai.unreachable"))],
)
def test_an_upgrade_that_is_refused_is_told_by_its_status_alone_and_a_wrong_key_is_hopeless(status, meaning):
    """The answer may repeat the key, and its reason goes to the log."""

    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(status, f"not with {request.headers['Authorization']}")

    with server(answer=refuse) as (port, _):
        leg = ModelLeg(
            Endpoint(f"ws://localhost:{port}", "m", "sk-secret"), CONFIG, logging.getLogger("test")
        )
        with pytest.raises(LegLost, match=f"HTTP {status}") as lost:
            leg.dial()
    assert "sk-secret" not in lost.value.reason
    assert leg.meaning_of(lost.value) == meaning


def test_a_server_that_says_nothing_is_not_waited_for_long():
    with silent() as port, pytest.raises(LegLost):
        Dialling().open(f"ws://127.0.0.1:{port}/", [], 0.1)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_dial_under_way_is_broken_off_from_another_thread(scheme):
    with silent() as port:
        attempt = Dialling()
        timer = threading.Timer(0.1, attempt.break_off)
        timer.start()
        began = time.monotonic()
        with pytest.raises(LegLost):
            attempt.open(f"{scheme}://127.0.0.1:{port}/", [], 30)
        assert time.monotonic() - began < 5
        timer.join()


def test_a_dial_that_was_broken_off_before_it_began_fails():
    with server() as (port, shown):
        attempt = Dialling()
        attempt.break_off()
        with pytest.raises(LegLost):
            attempt.open(f"ws://localhost:{port}/", [], 3)
        assert shown == []


def test_a_dial_that_is_broken_off_between_connecting_and_tls_is_no_bug(monkeypatch):
    attempt = Dialling()

    def break_off_first(sock, block=False):
        attempt.break_off()
        shake_hands(sock, block)

    shake_hands = ssl.SSLSocket.do_handshake
    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", break_off_first)
    with silent() as port, pytest.raises(LegLost):
        attempt.open(f"wss://127.0.0.1:{port}/", [], 3)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address, and refuse")
def test_an_address_that_swallows_everything_leaves_time_for_the_next(monkeypatch):
    """IPv6 that leads nowhere comes first in every answer of the name server's."""
    with server() as (port, _), full("127.0.0.2", port):
        look_up(monkeypatch, ["127.0.0.2", "localhost"])
        began = time.monotonic()
        with closing(Dialling().open(f"ws://model.test:{port}/", ["Authorization: Bearer k"], 2)) as sock:
            assert time.monotonic() - began < 1.9
            assert sock.recv(100)[:1] == b"\x88"


def test_a_slow_name_server_leaves_time_for_the_dial(monkeypatch):
    with silent() as port:
        look_up(monkeypatch, ["127.0.0.1"], after_s=0.5)
        began = time.monotonic()
        with pytest.raises(LegLost):
            Dialling().open(f"ws://model.test:{port}/", [], 0.4)
        assert time.monotonic() - began > 0.85


def look_up(monkeypatch, addresses, after_s=0.0):
    """Have a name server answer so."""
    find = socket.getaddrinfo

    def answer(host, *rest, **options):
        if host != "model.test":
            return find(host, *rest, **options)
        time.sleep(after_s)
        return [one for address in addresses for one in find(address, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@contextmanager
def full(host: str, port: int) -> Iterator[None]:
    """A listener that takes no more connections, and says nothing of it."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect((host, port))
        yield
