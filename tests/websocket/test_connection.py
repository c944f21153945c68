"""Connections with `websockets` at the other end, over loopback: plain and TLS, serving and dialling."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.frames import Close

from callapp.errors import LegLost
from callapp.websocket.connection import Connection
from callapp.websocket.framing import Binary
from tests.websocket.peers import DEADLINE_S, Link, wait_until_reading


def receive(connection: Connection, count: int) -> list[bytes | Binary]:
    """Receive so many messages."""
    messages: list[bytes | Binary] = []
    while len(messages) < count:
        messages += connection.receive()
    return messages


def end_of(connection: Connection) -> LegLost:
    """Receive until the connection ends; return how."""
    try:
        while True:
            connection.receive()
    except LegLost as lost:
        return lost


def test_text_goes_both_ways(link: Link) -> None:
    for text in ("hello", "", "もしもし", "x" * 394, "é" * 20_000):
        link.ours.send_text(text.encode())
        assert link.peer.recv() == text
        link.peer.send(text)
        assert receive(link.ours, 1) == [text.encode()]


def test_binary_messages_can_be_told_from_text(link: Link) -> None:
    link.peer.send(b"\x00\xff")
    assert receive(link.ours, 1) == [Binary(b"\x00\xff")]


def test_a_megabyte_goes_both_ways(link: Link) -> None:
    text = "0123456789abcdef" * 65536
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(link.ours.send_text, text.encode())
        assert link.peer.recv() == text
        sent.result(DEADLINE_S)
        sending = pool.submit(link.peer.send, text)
        assert receive(link.ours, 1) == [text.encode()]
        sending.result(DEADLINE_S)


def test_pings_between_fragments_are_answered_and_the_message_is_whole(link: Link) -> None:
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(link.peer.send_fragments_with_pings_between, "も", "し", "もし")
        assert receive(link.ours, 1) == ["もしもし".encode()]
        sending.result(DEADLINE_S)


def test_a_pong_is_passed_over(link: Link) -> None:
    link.peer.pong_unasked()
    link.peer.send("after")
    assert receive(link.ours, 1) == [b"after"]


def test_the_peer_closes(link: Link) -> None:
    link.peer.send("last words")
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(link.peer.close, 3001, "enough")
        assert receive(link.ours, 1) == [b"last words"]
        lost = end_of(link.ours)
        closing.result(DEADLINE_S)
    assert (lost.leg, lost.code, lost.reason) == (link.ours.name, 3001, "enough")
    assert link.peer.closing_handshake() == (Close(3001, ""), Close(3001, "enough"), False)
    with pytest.raises(LegLost, match="3001 enough"):
        link.ours.send_text(b"too late")


@pytest.mark.alone
def test_we_close_and_wait_for_the_answer(link: Link) -> None:
    """The peer reads our code and reason, and its handshake is a clean one."""
    started = time.monotonic()
    link.ours.close(3002, "bye")
    assert time.monotonic() - started < 0.5
    assert link.peer.closing_handshake() == (Close(3002, "bye"), Close(3002, "bye"), True)
    with pytest.raises(LegLost, match="3002 bye"):
        link.ours.receive()
    with pytest.raises(LegLost, match="3002 bye"):
        link.ours.send_text(b"too late")
    link.ours.close(1011, "the first reason counts")
    with pytest.raises(LegLost, match="3002 bye"):
        link.ours.receive()


@pytest.mark.alone
def test_closing_wakes_the_thread_that_receives(link: Link) -> None:
    woken: list[float] = []

    def read() -> LegLost:
        lost = end_of(link.ours)
        woken.append(time.monotonic())
        return lost

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        wait_until_reading(link.ours)
        closed = time.monotonic()
        link.ours.close(3003, "over")
        lost = reading.result(DEADLINE_S)
    assert (lost.code, lost.reason) == (3003, "over")
    assert woken[0] - closed < 0.1
    received, _, _ = link.peer.closing_handshake()
    assert received == Close(3003, "over")


def test_many_threads_write_while_one_reads(link: Link) -> None:
    """An echo: whatever the sizes and however the threads take turns, every message comes back whole."""
    writers, count = 4, 150

    def echo() -> None:
        for _ in range(writers * count):
            message = link.peer.recv()
            assert isinstance(message, str)
            link.peer.send(message)

    def write(writer: int) -> None:
        sizes = random.Random(writer)
        for number in range(count):
            size = sizes.choice([0, 10, 300, 5_000, 40_000])
            link.ours.send_text(f"{writer} {number} {size} ".encode() + b"%d" % writer * size)

    with ThreadPoolExecutor(writers + 1) as pool:
        tasks = [pool.submit(write, writer) for writer in range(writers)]
        tasks.append(pool.submit(echo))
        expected = [0] * writers
        for message in receive(link.ours, writers * count):
            assert isinstance(message, bytes)
            writer, number, size, body = message.split(b" ")
            assert int(number) == expected[int(writer)]
            assert body == writer * int(size)
            expected[int(writer)] += 1
        for task in tasks:
            task.result(DEADLINE_S)
