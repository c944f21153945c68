"""What OpenSSL says about a connection, and whether it is believed. The real one is in `test_connection`."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import pytest

from callapp.websocket.sockets import TlsSocket, adopt

OF_ANOTHER = BrokenPipeError(32, "Broken pipe")


class Says:
    """An SSL socket that answers as it is told, one thing after another."""

    def __init__(self, *answers: bytes | int | OSError) -> None:
        self._answers = list(answers)

    def read(self, _size: int) -> bytes:
        answer = self.write(b"")
        assert isinstance(answer, bytes)
        return answer

    def write(self, _data: bytes) -> bytes | int:
        answer = self._answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def pending(self) -> int:
        return len(self._answers)


def tls(*answers: bytes | int | OSError) -> TlsSocket:
    return TlsSocket(Says(*answers))  # type: ignore[arg-type]


def receive(sock: TlsSocket) -> bytes:
    return sock.recv(100)


def send(sock: TlsSocket) -> int:
    return sock.send(b"hello")


def test_an_error_that_another_connection_left_behind_ends_nothing() -> None:
    assert receive(tls(OF_ANOTHER, b"data")) == b"data"
    assert send(tls(OF_ANOTHER, 5)) == 5
    with pytest.raises(BlockingIOError):
        receive(tls(OF_ANOTHER, ssl.SSLWantReadError()))
    with pytest.raises(BlockingIOError):
        send(tls(OF_ANOTHER, ssl.SSLWantWriteError()))


@pytest.mark.parametrize("use", [receive, send])
def test_an_error_of_its_own_comes_again_and_ends_it(use: Callable[[TlsSocket], object]) -> None:
    reason = ConnectionResetError(104, "Connection reset by peer")
    with pytest.raises(ConnectionResetError) as caught:
        use(tls(reason, ssl.SSLError("protocol is shutdown")))
    assert caught.value is reason


def test_what_ended_by_an_error_did_not_just_end() -> None:
    reason = ssl.SSLError("bad record mac")
    with pytest.raises(ssl.SSLError) as caught:
        receive(tls(reason, b""))
    assert caught.value is reason
    assert receive(tls(b"")) == b""


def test_small_frames_do_not_wait_for_the_peer_to_acknowledge_those_before_them() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sock,
    ):
        adopt(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
