"""Connections whose peer does what no peer should: bare sockets at the other end."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callapp.errors import LegLost
from callapp.websocket.connection import Connection
from callapp.websocket.framing import CLOSE, PING, PONG, TEXT, Close, Decoder, Encoder, Message, Ping
from callapp.websocket.reader import READ, shared_reader
from tests.websocket.peers import (
    DEADLINE_S,
    Tls,
    accept_upgrade,
    dial,
    wait_until_reading,
    wait_until_some_is_left,
)

MakePair = Callable[..., tuple[Connection, socket.socket]]
Make = Callable[..., Connection]

masked = Encoder(masked=True).encode


def said(far: socket.socket) -> list[Message]:
    """Read what our server says until it hangs up."""
    decoder = Decoder(masked=False, max_message_bytes=2**24)
    messages: list[Message] = []
    while data := far.recv(65536):
        messages += decoder.receive(data)
    return messages


def test_quiet_is_an_empty_list(raw_pair: MakePair) -> None:
    ours, _ = raw_pair(quiet_s=0.05)
    started = time.monotonic()
    assert ours.receive() == []
    assert 0.04 < time.monotonic() - started < DEADLINE_S


def test_a_peer_may_be_quiet_for_long_where_it_is_not_asked(raw_pair: MakePair) -> None:
    ours, far = raw_pair(quiet_s=0.05)
    for _ in range(4):
        assert ours.receive() == []
    ours.close(1000, "bye")
    assert said(far) == [Close(1000, "bye")]


def test_a_frame_goes_on_where_quiet_cut_it(raw_pair: MakePair) -> None:
    ours, far = raw_pair(quiet_s=0.05)
    frame = masked(TEXT, b"in two halves")
    far.sendall(frame[:9])
    assert ours.receive() == []
    far.sendall(frame[9:])
    assert ours.receive() == [b"in two halves"]


def test_a_peer_that_answers_is_alive_however_quiet_it_is(raw_pair: MakePair) -> None:
    """Who reads for all asks it: the thread that receives is woken by what it waits for, and nothing else."""
    ours, far = raw_pair(quiet_s=0.05, asking=True)
    far.settimeout(DEADLINE_S)
    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(ours.receive)
        decoder = Decoder(masked=False, max_message_bytes=2**16)
        for _ in range(5):
            assert decoder.receive(far.recv(65536)) == [Ping(b"")]
            far.sendall(masked(PONG, b""))
        assert not receiving.done()
        far.sendall(masked(TEXT, b"at last"))
        assert receiving.result(DEADLINE_S) == [b"at last"]


def test_a_peer_that_gives_no_sign_of_life_is_lost(raw_pair: MakePair) -> None:
    ours, far = raw_pair(quiet_s=0.1, asking=True)
    started = time.monotonic()
    with pytest.raises(LegLost, match="no sign of life"):
        ours.receive()
    assert 0.2 <= time.monotonic() - started < DEADLINE_S
    assert [type(message) for message in said(far)] == [Ping]


def test_who_asks_for_a_sign_of_life_can_be_roused_all_the_same(raw_pair: MakePair) -> None:
    ours, far = raw_pair(quiet_s=0.1, asking=True)
    far.settimeout(DEADLINE_S)
    ours.rouse(time.monotonic() + 0.02)
    assert ours.receive() == []
    decoder = Decoder(masked=False, max_message_bytes=2**16)
    assert decoder.receive(far.recv(65536)) == [Ping(b"")]
    far.sendall(masked(PONG, b"") + masked(TEXT, b"here"))
    while not (messages := ours.receive()):
        pass
    assert messages == [b"here"]


def test_pings_alone_do_not_keep_the_reader(raw_pair: MakePair) -> None:
    """Whoever receives has a clock to look at: `receive` comes back though the line is not quiet."""
    ours, far = raw_pair(quiet_s=0.2)
    over = threading.Event()

    def ping() -> None:
        while not over.wait(0.02):
            far.sendall(masked(PING, b""))

    with ThreadPoolExecutor(1) as pool:
        pinging = pool.submit(ping)
        started = time.monotonic()
        assert ours.receive() == []
        assert time.monotonic() - started < DEADLINE_S
        over.set()
        pinging.result(DEADLINE_S)


def test_several_messages_in_one_piece_come_together(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    far.sendall(b"".join(masked(TEXT, b"%d" % number) for number in range(5)))
    assert ours.receive() == [b"0", b"1", b"2", b"3", b"4"]


def test_messages_before_the_end_are_returned_first(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    far.sendall(masked(TEXT, b"last words") + masked(CLOSE, b"\x03\xe9gone") + masked(TEXT, b"ignored"))
    assert ours.receive() == [b"last words"]
    with pytest.raises(LegLost) as caught:
        ours.receive()
    assert (caught.value.leg, caught.value.code, caught.value.reason) == ("caller", 1001, "gone")
    assert said(far) == [Close(1001, "")]


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (1002, b"\x81\x01x"),
        (1002, b"GET / HTTP/1.1\r\n"),
        (1007, masked(TEXT, b"\xff")),
        (1009, masked(TEXT, b"x" * 101)),
    ],
    ids=[
        "not masked",
        "not a frame",
        "not UTF-8",
        "too long",
    ],  # a mask is by chance, and would be a name by chance
)
def test_a_broken_protocol_is_answered_with_its_code(raw_pair: MakePair, code: int, data: bytes) -> None:
    ours, far = raw_pair(max_message_bytes=100)
    far.sendall(data)
    with pytest.raises(LegLost, match="protocol broken") as caught:
        ours.receive()
    assert caught.value.code == code
    [close] = said(far)
    assert isinstance(close, Close)
    assert close.code == code


def test_messages_before_a_broken_protocol_are_returned_first(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    far.sendall(masked(TEXT, b"last words") + b"GET / HTTP/1.1\r\n")
    assert ours.receive() == [b"last words"]
    with pytest.raises(LegLost, match="protocol broken"):
        ours.receive()


def test_a_peer_in_the_middle_of_too_long_a_message_reads_why(raw_pair: MakePair) -> None:
    """Had we hung up at once, its kernel would have been reset, and our close frame thrown away."""
    ours, far = raw_pair(max_message_bytes=1000)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(far.sendall, masked(TEXT, b"x" * 2_000_000))
        with pytest.raises(LegLost) as caught:
            ours.receive()
        sending.result(DEADLINE_S)
    assert caught.value.code == 1009
    assert said(far) == [Close(1009, "message too big")]


def test_the_peer_hangs_up_without_a_word(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(LegLost, match="caller leg lost: 1006 closed without a close frame"):
        ours.receive()
    with pytest.raises(LegLost, match="closed without a close frame"):
        ours.send_text(b"anybody there?")


def test_the_peer_vanishes(raw_pair: MakePair) -> None:
    """A reset: the reader wakes, the writer is told."""
    ours, far = raw_pair()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(ours.receive)
        wait_until_reading(ours)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        with pytest.raises(LegLost, match="caller leg lost: 1006 "):
            reading.result(DEADLINE_S)
    with pytest.raises(LegLost, match="caller leg lost: 1006 "):
        ours.send_text(b"anybody there?")


def test_a_peer_that_is_not_read_and_vanishes_is_noticed_by_what_is_sent(raw_pair: MakePair) -> None:
    """It is not read while too much of what it said waits to be received."""
    ours, far = raw_pair()
    shared_reader().watch(ours, less=READ)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()

    def ask() -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            ours.send_text(b"anybody there?")
            threading.Event().wait(0.001)  # it goes out by itself

    with pytest.raises(LegLost, match="caller leg lost: 1006 "):
        ask()


def test_sending_never_waits_and_what_is_left_goes_out_in_order(raw_pair: MakePair) -> None:
    """Whoever sends may hold a lock that a whole call needs. A frame is never begun inside another one."""
    ours, far = raw_pair()
    texts = [b"%d" % number * 100_000 for number in range(30)]
    for text in texts:
        ours.send_text(text)
    wait_until_some_is_left(ours)  # nobody reads yet
    decoder = Decoder(masked=False, max_message_bytes=2**24)
    heard: list[Message] = []
    while len(heard) < len(texts):
        heard += decoder.receive(far.recv(65536))
    assert heard == texts
    ours.send_text(b"at once again")
    assert decoder.receive(far.recv(65536)) == [b"at once again"]
    assert ours.watched_for == READ  # of room to write the system would tell in each round, for good


def test_a_peer_that_stops_reading_is_lost_in_time_and_the_receiver_wakes(raw_pair: MakePair) -> None:
    ours, _ = raw_pair(write_s=0.3)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(ours.receive)
        wait_until_reading(ours)
        started = time.monotonic()
        ours.send_text(b"x" * 20_000_000)
        with pytest.raises(LegLost, match=r"1006 peer took no whole frame in 0\.3 s") as caught:
            reading.result(DEADLINE_S)
        assert time.monotonic() - started > 0.25
        assert isinstance(caught.value.__cause__, TimeoutError)
    with pytest.raises(LegLost, match="no whole frame"):
        ours.send_text(b"anybody there?")


@pytest.mark.alone
def test_a_peer_that_reads_drop_by_drop_is_lost_as_well(raw_pair: MakePair) -> None:
    """The time is for the whole frame; it does not begin anew with each byte that gets through."""
    ours, far = raw_pair(write_s=0.3)
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.02):
            far.recv(20_000)

    with ThreadPoolExecutor(1) as pool:
        dripping = pool.submit(drip)
        ours.send_text(b"x" * 20_000_000)
        with pytest.raises(LegLost, match=r"no whole frame in 0\.3 s"):
            ours.receive()
        over.set()
        dripping.result(DEADLINE_S)


def test_a_peer_that_leaves_too_much_is_lost_at_once(raw_pair: MakePair) -> None:
    """What waits for it is memory, and other calls need that too."""
    ours, _ = raw_pair()

    def flood() -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            ours.send_text(b"x" * 60_000)

    with pytest.raises(LegLost, match=r"1006 peer left \d+ bytes waiting"):
        flood()
    with pytest.raises(LegLost, match="bytes waiting"):
        ours.receive()


def test_a_close_frame_goes_behind_what_waits(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    for _ in range(40):
        ours.send_text(b"x" * 100_000)
    wait_until_some_is_left(ours)
    ours.close(1000, "bye")
    assert said(far) == [b"x" * 100_000] * 40 + [Close(1000, "bye")]


def test_all_that_was_sent_arrives_before_the_socket_is_released(raw_pair: MakePair) -> None:
    """The last words of a caller who hangs up."""
    ours, far = raw_pair()
    for _ in range(40):
        ours.send_text(b"x" * 100_000)
    wait_until_some_is_left(ours)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(said, far)
        ours.release()
        assert reading.result(DEADLINE_S) == [b"x" * 100_000] * 40 + [Close(1000, "")]


@pytest.mark.alone
def test_closing_does_not_wait_for_a_peer_that_takes_nothing(raw_pair: MakePair) -> None:
    ours, _ = raw_pair()
    ours.send_text(b"x" * 20_000_000)
    started = time.monotonic()
    ours.close(1000, "enough")
    with pytest.raises(LegLost, match="enough"):
        ours.receive()
    ours.leave()
    assert time.monotonic() - started < 1.5


@pytest.mark.alone
def test_leaving_waits_a_little_for_a_peer_that_says_nothing(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    started = time.monotonic()
    ours.close(1000, "bye")
    ours.leave()
    assert 0.2 < time.monotonic() - started < 1.5
    assert said(far) == [Close(1000, "bye")]


@pytest.mark.alone
def test_leaving_does_not_wait_for_a_peer_that_goes_on_talking(raw_pair: MakePair) -> None:
    """Twilio's media keep coming until its close frame does."""
    ours, far = raw_pair()
    over = threading.Event()

    def talk() -> None:
        while not over.wait(0.01):
            try:
                far.sendall(masked(TEXT, b"x" * 386))
            except OSError:
                return

    with ThreadPoolExecutor(1) as pool:
        talking = pool.submit(talk)
        started = time.monotonic()
        ours.leave()
        assert time.monotonic() - started < 1.5
        over.set()
        talking.result(DEADLINE_S)


def test_closing_from_many_threads_says_one_goodbye(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    with ThreadPoolExecutor(5) as pool:
        reading = pool.submit(ours.receive)
        wait_until_reading(ours)
        for closing in [pool.submit(ours.close, 3000 + number) for number in range(4)]:
            closing.result(1)
        with pytest.raises(LegLost) as caught:
            reading.result(1)
    assert said(far) == [Close(caught.value.code, "")]


def test_the_descriptor_is_given_back_only_when_it_is_released(raw_pair: MakePair) -> None:
    """Its number may be another socket's a moment later, and the reader would read that one."""
    ours, _ = raw_pair()
    descriptor = ours.sock.fileno()
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(ours.receive)
        wait_until_reading(ours)
        ours.close()
        assert Path(f"/proc/self/fd/{descriptor}").exists()
        ours.release()
        assert not Path(f"/proc/self/fd/{descriptor}").exists()
        assert isinstance(reading.exception(DEADLINE_S), LegLost)
    ours.release()
    with pytest.raises(LegLost):
        ours.receive()
    with pytest.raises(LegLost):
        ours.send_text(b"")


def test_what_came_in_one_tls_record_with_the_handshake_is_not_left_inside(tls: Tls, make: Make) -> None:
    """Dialling reads the handshake byte by byte; the rest of the record waits in OpenSSL, unseen by poll."""
    frame = Encoder(masked=False).encode(TEXT, b"at once")
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        upgrading = pool.submit(accept_upgrade, listener, tls.server, frame)
        sock = dial(f"wss://localhost:{listener.getsockname()[1]}", tls)
        with upgrading.result(DEADLINE_S):
            assert make(sock, client=True).receive() == [b"at once"]


def test_sockets_that_are_not_tcp_do_as_well(make: Make) -> None:
    near, far = socket.socketpair()
    with far:
        far.sendall(masked(TEXT, b"hello"))
        ours = make(near)
        assert ours.receive() == [b"hello"]
        far.shutdown(socket.SHUT_WR)
        with pytest.raises(LegLost):
            ours.receive()
