"""What the one thread that reads for all does for each, and that no peer can take it from the others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from queue import Queue

import pytest

from callapp.errors import LegLost
from callapp.websocket import connection as module
from callapp.websocket import reader as reader_module
from callapp.websocket.connection import LINGER_S, Connection
from callapp.websocket.framing import BINARY, CLOSE, CONTINUATION, PING, TEXT, Binary, Decoder, Encoder, Pong
from callapp.websocket.reader import (
    _EAGER_ROUNDS,
    _HANDFUL,
    _LEFT,
    _ROUND_S,
    READ,
    READ_BYTES,
    WRITE,
    Watched,
    _Portable,
    shared_reader,
)
from tests.websocket.peers import DEADLINE_S, wait_until_reading, wait_until_the_reader_waits

Make = Callable[..., Connection]
MakePair = Callable[..., tuple[Connection, socket.socket]]

masked = Encoder(masked=True).encode


@dataclass
class Taking:
    """Takes messages by a function."""

    take: Callable[[bytes], bool]


def part(opcode: int, payload: bytes) -> bytes:
    """A frame that is not the last of its message."""
    frame = bytearray(masked(opcode, payload))
    frame[0] &= 0x7F
    return bytes(frame)


def heard_by(far: socket.socket, count: int) -> list[object]:
    """Read so many messages of our server's."""
    decoder = Decoder(masked=False, max_message_bytes=2**24)
    messages: list[object] = []
    while len(messages) < count:
        data = far.recv(65536)
        assert data, messages
        messages += decoder.receive(data)
    return messages


def test_what_is_taken_is_taken_in_the_readers_thread_and_the_rest_is_received(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    taken: Queue[tuple[str, bytes]] = Queue()

    def take(message: bytes) -> bool:
        if not message.startswith(b"audio"):
            return False
        taken.put((threading.current_thread().name, message))
        return True

    ours.taker = Taking(take)
    far.sendall(masked(TEXT, b"audio 1"))
    assert taken.get(timeout=DEADLINE_S) == ("reader", b"audio 1")
    far.sendall(b"".join(masked(TEXT, text) for text in (b"audio 2", b"mark", b"audio 3")))
    assert ours.receive() == [b"mark", b"audio 3"]
    assert taken.get(timeout=DEADLINE_S) == ("reader", b"audio 2")
    assert taken.empty()


@pytest.mark.parametrize("audio", [b"audio", b"audio" * 80], ids=["short", "as long as audio is"])
def test_nothing_overtakes_what_is_being_dealt_with(raw_pair: MakePair, audio: bytes) -> None:
    """Audio must not be played before the event that came ahead of it has been thought about."""
    ours, far = raw_pair(quiet_s=0.05)
    taken: Queue[bytes] = Queue()

    def take(message: bytes) -> bool:
        if message == b"think":
            return False
        taken.put(message)
        return True

    ours.taker = Taking(take)
    far.sendall(masked(TEXT, b"think"))
    assert ours.receive() == [b"think"]
    far.sendall(masked(TEXT, audio))
    while not ours._inbox.qsize():
        threading.Event().wait(0.001)  # nothing tells that the reader has put it there
    assert taken.empty()
    assert ours.receive() == [audio]
    assert ours.receive() == []  # back for more, and nothing is left
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(ours.receive)
        wait_until_reading(ours)
        far.sendall(masked(TEXT, audio))
        assert taken.get(timeout=DEADLINE_S) == audio
        assert reading.result(DEADLINE_S) == []


@pytest.mark.parametrize("thought_about", range(6))
def test_what_comes_in_one_breath_is_dealt_with_in_order(raw_pair: MakePair, thought_about: int) -> None:
    """Taken as far as it is, and from there on received; a ping in between is answered."""
    ours, far = raw_pair()
    pieces = (b"a" * 300, "はい".encode() * 60, b"short", b"c" * 200, b"d" * 40_000)
    texts = [b"%d " % number + piece for number, piece in enumerate(pieces)]
    taken: Queue[bytes] = Queue()

    def take(message: bytes) -> bool:
        if int(message[:1]) >= thought_about:
            return False
        taken.put(message)
        return True

    ours.taker = Taking(take)
    frames = [masked(TEXT, text) for text in texts]
    far.sendall(b"".join([*frames[:2], masked(PING, b"?"), *frames[2:]]))
    for text in texts[:thought_about]:
        assert taken.get(timeout=DEADLINE_S) == text
    received: list[bytes | Binary] = []
    while len(received) < len(texts) - thought_about:
        received += ours.receive()
    assert received == texts[thought_about:]
    assert taken.empty()
    assert far.recv(3) == b"\x8a\x01?"


def test_a_goodbye_in_the_same_breath_is_heard(raw_pair: MakePair) -> None:
    """Also when it is the second end of the two: then nothing is left to wait for, or to be taken."""
    ours, far = raw_pair()
    taken: list[bytes] = []
    ours.taker = Taking(lambda message: taken.append(message) is ours.close())
    far.sendall(masked(TEXT, b"a" * 300) * 2 + masked(CLOSE, b"\x03\xe8"))
    began_s = time.monotonic()
    while not taken:
        threading.Event().wait(0.001)  # nothing tells that it was read
    ours.release()
    assert time.monotonic() - began_s < LINGER_S
    assert taken == [b"a" * 300]


def test_nothing_overtakes_what_waits_to_be_written_with_the_rest(raw_pair: MakePair) -> None:
    """What is sent where it is read, and meanwhile by others, goes out with the rest of the handful."""
    ours, far = raw_pair()
    with ThreadPoolExecutor(1) as pool:

        def take(message: bytes) -> bool:
            for text in (b"1", b"2"):
                ours.send_text(text)
            if message == b"together with another thread":
                pool.submit(ours.send_text, b"3").result(DEADLINE_S)
                ours.send_text(b"4")
            return True

        ours.taker = Taking(take)
        far.sendall(masked(TEXT, b"alone"))
        assert heard_by(far, 2) == [b"1", b"2"]
        far.sendall(masked(TEXT, b"together with another thread"))
        assert heard_by(far, 4) == [b"1", b"2", b"3", b"4"]


@pytest.fixture
def free_the_reader(raw_pair: MakePair) -> Iterator[Callable[[], None]]:
    """Frees the reader, which is held from here on: what comes meanwhile, it finds all at once."""
    door, outside = raw_pair()
    shut, opened = threading.Event(), threading.Event()

    def wait(_: bytes) -> bool:
        shut.set()
        return opened.wait(DEADLINE_S)

    door.taker = Taking(wait)
    outside.sendall(masked(TEXT, b"wait"))
    assert shut.wait(DEADLINE_S)
    yield opened.set
    opened.set()


def test_of_a_crowd_all_are_answered_a_handful_at_a_time(
    raw_pair: MakePair, free_the_reader: Callable[[], None]
) -> None:
    """Who came first does not wait for the last."""
    crowd = [raw_pair() for _ in range(2 * _HANDFUL + 1)]
    taken: list[Connection] = []
    answered: list[int] = []  # how many had been, when each was taken
    for ours, far in crowd:

        def take(_: bytes, ours: Connection = ours) -> bool:
            answered.append(len(taken) - len(shared_reader()._said))
            taken.append(ours)
            ours.send_text(b"seen")
            return True

        ours.taker = Taking(take)
        far.sendall(masked(TEXT, b"hello"))
    free_the_reader()
    for _, far in crowd:
        assert heard_by(far, 1) == [b"seen"]
    assert answered == [0] * _HANDFUL + [_HANDFUL] * _HANDFUL + [2 * _HANDFUL]


def test_what_waits_to_be_written_with_the_rest_goes_out_before_a_close_frame(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    too_late: Queue[LegLost] = Queue()

    def take(_: bytes) -> bool:
        ours.send_text(b"goodbye")
        ours.close(1000, "done")
        try:
            ours.send_text(b"one thing more")
        except LegLost as lost:
            too_late.put(lost)
        return True

    ours.taker = Taking(take)
    far.sendall(masked(TEXT, b"hello"))
    assert heard_by(far, 2) == [b"goodbye", module.Close(1000, "done")]
    assert too_late.get(timeout=DEADLINE_S).reason == "done"


def test_a_reader_that_wakes_late_says_goodbye_all_the_same(
    raw_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time in which the peer is to answer is over by then."""
    ours, far = raw_pair()
    asleep, awake = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        asleep.set()
        awake.wait(DEADLINE_S)

    monkeypatch.setattr(reader_module, "_EAGER_ROUNDS", 0)
    monkeypatch.setattr(reader_module, "sleep", sleep)
    monkeypatch.setattr(module, "LINGER_S", 0.0)
    assert asleep.wait(DEADLINE_S)
    ours.send_text(b"last word")
    ours.close(1000, "done")
    awake.set()
    assert heard_by(far, 2) == [b"last word", module.Close(1000, "done")]


def test_both_may_say_goodbye_in_the_same_moment(
    raw_pair: MakePair, free_the_reader: Callable[[], None]
) -> None:
    """Ours waits for the handful to be dealt with when theirs is."""
    ours, far = raw_pair()
    other, others_far = raw_pair()

    def take(_: bytes) -> bool:
        ours.close(1000, "ours")
        return True

    other.taker = Taking(take)
    others_far.sendall(masked(TEXT, b"end that call"))
    far.sendall(masked(CLOSE, b"\x03\xe8theirs"))
    free_the_reader()
    assert heard_by(far, 1) == [module.Close(1000, "ours")]
    assert far.recv(1) == b""


def test_nothing_follows_a_goodbye(raw_pair: MakePair) -> None:
    ours, far = raw_pair()
    ours.close(1000, "done")
    assert heard_by(far, 1) == [module.Close(1000, "done")]
    ours._say(TEXT, b"too late")  # as of a thread that had looked for the end just before
    ours.leave()
    assert far.recv(1) == b""


def test_a_reader_that_waits_for_something_to_come_is_called_back_to_write(
    raw_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, far = raw_pair()
    with monkeypatch.context() as patched:
        patched.setattr(reader_module, "_TICK_S", 10 * DEADLINE_S)
        for text in (b"1", b"2"):  # it waits for so long after the first, at the latest
            wait_until_the_reader_waits()
            ours.send_text(text)
            assert heard_by(far, 1) == [text]
    ours.send_text(b"and now as always")
    assert heard_by(far, 1) == [b"and now as always"]


def test_the_last_word_and_the_end_may_come_in_one_breath(
    raw_pair: MakePair, free_the_reader: Callable[[], None]
) -> None:
    """The system tells of both at once, and once only."""
    ours, far = raw_pair()
    far.sendall(masked(TEXT, b"last word"))
    far.shutdown(socket.SHUT_WR)
    free_the_reader()
    assert ours.receive() == [b"last word"]
    with pytest.raises(LegLost) as lost:
        ours.receive()
    assert lost.value.reason == "closed without a close frame"


@pytest.mark.parametrize("ends", [False, True], ids=["and goes on", "and ends"])
def test_more_than_is_read_at_once_is_read_all_the_same(
    raw_pair: MakePair, free_the_reader: Callable[[], None], ends: bool
) -> None:
    """The system tells of it once, and not again of what is left."""
    ours, far = raw_pair()
    long = b"x" * (READ_BYTES * 3 // 2)
    far.sendall(masked(TEXT, long))
    if ends:
        far.shutdown(socket.SHUT_WR)
    free_the_reader()
    assert ours.receive() == [long]
    if ends:
        with pytest.raises(LegLost):
            ours.receive()


def test_what_is_left_is_read_at_once(
    raw_pair: MakePair, free_the_reader: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long message would else take a tick for each piece of it."""
    ours, far = raw_pair()
    long = b"x" * (READ_BYTES * 3 // 2)
    far.sendall(masked(TEXT, long))
    with monkeypatch.context() as patched:
        patched.setattr(reader_module, "_TICK_S", DEADLINE_S)
        began_s = time.monotonic()
        free_the_reader()
        assert ours.receive() == [long]
        assert time.monotonic() - began_s < DEADLINE_S
    ours.send_text(b"and now as always")
    assert heard_by(far, 1) == [b"and now as always"]


def test_who_is_forgotten_is_left_alone() -> None:
    """Their socket is closed next, and what they know of the call is let go: nobody may be in there."""
    in_there, go_on = threading.Event(), threading.Event()

    class Stuck(socket.socket):
        def recv(self, *_: int) -> bytes:
            in_there.set()
            assert go_on.wait(DEADLINE_S)
            raise BlockingIOError

    class Slow(Watched):
        def write(self, frame: bytes) -> None:
            written.append(frame)

    written: list[bytes] = []
    near, far = socket.socketpair()
    with Stuck(fileno=near.detach()) as stuck, far, ThreadPoolExecutor(3) as pool:
        slow = Slow(stuck)
        shared_reader().watch(slow, more=READ)
        far.send(b"x")
        assert in_there.wait(DEADLINE_S)
        shared_reader().say(slow, b"too late")
        forgotten = [pool.submit(shared_reader().forget, slow) for _ in range(3)]
        for one in forgotten:
            with pytest.raises(TimeoutError):
                one.result(0.1)
        go_on.set()
        for one in forgotten:
            one.result(DEADLINE_S)
    assert not written


def test_the_reader_leaves_time_to_others_after_each_round(
    raw_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a real-time thread: one that never rests would stop all else, hanging up too."""
    ours, far = raw_pair()
    dealing, rests = threading.Event(), Queue[float]()
    go_on = threading.Event()

    def take(_: bytes) -> bool:
        dealing.set()
        return go_on.wait(DEADLINE_S)

    def rest(seconds: float) -> None:
        if dealing.is_set():
            rests.put(seconds)

    monkeypatch.setattr(reader_module, "sleep", rest)
    ours.taker = Taking(take)
    began_s = time.monotonic()
    far.sendall(masked(TEXT, b"audio"))
    assert dealing.wait(DEADLINE_S)
    threading.Event().wait(20 * _ROUND_S / _LEFT)  # a round that takes far too long
    took_s = time.monotonic() - began_s
    go_on.set()
    longest = rests.get(timeout=DEADLINE_S)
    assert longest > _ROUND_S
    assert took_s * _LEFT * 0.5 < longest < (time.monotonic() - began_s) * _LEFT


def test_with_little_to_do_the_reader_makes_no_pause(
    raw_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in one breath would wait for it, and with a few calls there is time enough."""
    ours, far = raw_pair()
    wait_until_the_reader_waits()
    pauses: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(reader_module, "_EAGER_AFTER_S", 0)  # so it has waited long enough
        patched.setattr(reader_module, "_ROUND_S", inf)  # and no round takes longer, however busy the machine
        patched.setattr(reader_module, "sleep", pauses.append)
        for _ in range(4):
            far.sendall(masked(TEXT, b"audio"))
            assert ours.receive() == [b"audio"]
        wait_until_the_reader_waits()
    assert pauses == []


def test_with_much_to_do_the_reader_pauses(raw_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what comes meanwhile is taken together."""
    ours, far = raw_pair()
    pauses = Queue[float]()
    with monkeypatch.context() as patched:
        patched.setattr(reader_module, "_EAGER_AFTER_S", inf)  # no wait is so long, however slow we are
        patched.setattr(reader_module, "sleep", pauses.put)
        for _ in range(_EAGER_ROUNDS + 1):
            far.sendall(masked(TEXT, b"audio"))
            assert ours.receive() == [b"audio"]
        assert pauses.get(timeout=DEADLINE_S) > 0


def test_the_earliest_time_asked_for_is_kept() -> None:
    """Who waits for room to write asks for seconds, and must not put off who looks whether it is quiet."""
    called = threading.Event()

    class Clock(Watched):
        __slots__ = ()

        def on_time(self, now_s: float) -> None:
            called.set()

    near, far = socket.socketpair()
    with near, far:
        clock = Clock(near)
        shared_reader().remind(clock, time.monotonic())
        shared_reader().remind(clock, time.monotonic() + 10 * DEADLINE_S)
        assert called.wait(DEADLINE_S)
        shared_reader().forget(clock)
        shared_reader().remind(clock, time.monotonic())
        assert clock not in shared_reader()._reminded.values()


def test_the_reader_goes_on_when_no_time_is_asked_for_any_more(
    free_the_reader: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the last call is over."""
    called: Queue[float] = Queue()

    class Clock(Watched):
        __slots__ = ()

        def on_time(self, now_s: float) -> None:
            called.put(now_s)

    near, far = socket.socketpair()
    with near, far:
        clock = Clock(near)
        monkeypatch.setattr(shared_reader(), "_times", [])
        free_the_reader()
        for _ in range(2):
            shared_reader().remind(clock, time.monotonic())
            called.get(timeout=DEADLINE_S)
        shared_reader().forget(clock)


def test_it_is_not_quiet_while_something_is_taken(raw_pair: MakePair) -> None:
    """Who receives takes quiet for silence on the line, or for a dead peer."""
    ours, far = raw_pair(quiet_s=0.3)
    ours.taker = Taking(lambda message: message == b"audio")
    over = threading.Event()

    def talk() -> None:
        while not over.wait(0.02):
            far.sendall(masked(TEXT, b"audio"))

    with ThreadPoolExecutor(2) as pool:
        talking = pool.submit(talk)
        reading = pool.submit(ours.receive)
        with pytest.raises(TimeoutError):
            reading.result(1)
        over.set()
        talking.result(DEADLINE_S)
        assert reading.result(DEADLINE_S) == []


def test_whatever_is_taken_was_heard(raw_pair: MakePair) -> None:
    """Be it alone, or together with more: a call of which nothing is heard is given up."""
    ours, far = raw_pair()
    taken: Queue[bytes] = Queue()
    ours.taker = Taking(lambda message: taken.put(message) is None)
    for data in (masked(TEXT, b"short"), masked(TEXT, b"a" * 300), masked(TEXT, b"a" * 300) * 2):
        before_s = ours.heard_s
        far.sendall(data)
        assert taken.get(timeout=DEADLINE_S)
        far.sendall(masked(PING, b"?"))
        assert heard_by(far, 1) == [Pong(b"?")]  # so it has been dealt with
        assert ours.heard_s > before_s


def test_who_receives_is_roused_when_it_is_time(raw_pair: MakePair) -> None:
    """Though nothing came; and of several times it is the last one told that counts."""
    ours, _far = raw_pair(quiet_s=60)
    began_s = time.monotonic()
    ours.rouse(began_s + 0.1)
    assert ours.receive() == []
    assert time.monotonic() >= began_s + 0.1
    ours.rouse(time.monotonic() + 60)
    ours.rouse(time.monotonic())
    assert ours.receive() == []
    threading.Timer(0.1, ours.rouse, [0.0]).start()
    assert ours.receive() == []


def test_who_is_to_be_roused_later_or_never_is_not_roused_before(raw_pair: MakePair) -> None:
    ours, _far = raw_pair(quiet_s=0.3)
    began_s = time.monotonic()
    ours.rouse(began_s + 0.01)
    ours.rouse(began_s + 0.1)
    assert ours.receive() == []
    assert time.monotonic() >= began_s + 0.1
    ours.rouse(began_s + 0.11)
    ours.rouse(inf)
    assert ours.receive() == []
    assert time.monotonic() >= began_s + 0.3  # it was quiet


def test_a_fault_in_taking_ends_its_own_connection_and_is_seen_by_its_thread(make: Make) -> None:
    def fails(_: bytes) -> bool:
        raise RuntimeError("a bug")

    near, far = socket.socketpair()
    other_near, other_far = socket.socketpair()
    with far, other_far:
        for one in (far, other_far):
            one.settimeout(DEADLINE_S)
        ours, other = make(near), make(other_near)
        ours.taker = Taking(fails)
        far.sendall(masked(TEXT, b"hello"))
        with pytest.raises(RuntimeError, match="a bug"):
            ours.receive()
        with pytest.raises(LegLost, match="1011 a fault of ours"):
            ours.receive()
        assert heard_by(far, 1)[0] == module.Close(1011, "")
        other_far.sendall(masked(TEXT, b"still there?"))
        assert other.receive() == [b"still there?"]


@pytest.mark.parametrize("at", ["on_data", "on_room", "on_time", "write"])
def test_a_fault_in_whatever_is_done_for_one_is_told_to_it(at: str) -> None:
    faults: Queue[Exception] = Queue()

    class Faulty(Watched):
        on_fault = faults.put

    def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        faulty = Faulty(near)
        setattr(faulty, at, fails)
        try:
            match at:
                case "on_data":
                    far.send(b"x")
                    shared_reader().watch(faulty, more=READ)
                case "on_room":
                    shared_reader().watch(faulty, more=WRITE)
                case "on_time":
                    shared_reader().remind(faulty, time.monotonic())
                case "write":
                    shared_reader().say(faulty, b"x")
            assert str(faults.get(timeout=DEADLINE_S)) == "a bug"
        finally:
            shared_reader().forget(faulty)


def test_what_comes_faster_than_it_is_received_waits_in_the_system(
    raw_pair: MakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a peer could fill our memory while the call's thread is busy."""
    monkeypatch.setattr(module, "MOST_HANDED", 4)
    ours, far = raw_pair()
    count = 400
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(
            lambda: [far.sendall(masked(TEXT, b"%5d" % number * 4000)) for number in range(count)]
        )
        while not sending.done() and ours._inbox.qsize() < 4:
            threading.Event().wait(0.001)
        assert ours._inbox.qsize() <= 4
        heard: list[bytes | Binary] = []
        while len(heard) < count:
            heard += ours.receive()
            assert ours._inbox.qsize() <= 5
        sending.result(DEADLINE_S)
    assert heard == [b"%5d" % number * 4000 for number in range(count)]


def test_who_is_not_read_is_not_taken_for_dead(raw_pair: MakePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer waits in the system with all the rest, until the call's thread comes for more."""
    monkeypatch.setattr(module, "MOST_HANDED", 2)
    ours, far = raw_pair(asking=True)
    texts = [b"%d" % number for number in range(4)]
    for handed, text in enumerate(texts[:2], 1):
        far.sendall(masked(TEXT, text))
        while ours._inbox.qsize() < handed:
            threading.Event().wait(0.001)  # nothing tells that the reader has put it there
    far.sendall(masked(TEXT, texts[2]))
    ours._quiet_s = 0.05
    shared_reader().remind(ours, time.monotonic())
    threading.Event().wait(0.3)  # the thread is busy, and for longer than a peer may be quiet
    ours._quiet_s = DEADLINE_S
    far.sendall(masked(TEXT, texts[3]))
    heard: list[bytes | Binary] = []
    while len(heard) < len(texts):
        heard += ours.receive()
    assert heard == texts


def test_a_number_that_is_another_sockets_by_now_is_not_mistaken(make: Make) -> None:
    """Descriptors are given out anew at once; connections come and go all day."""
    for number in range(200):
        near, far = socket.socketpair()
        with far:
            ours = make(near)
            far.sendall(masked(TEXT, b"%d" % number))
            assert ours.receive() == [b"%d" % number]
            far.shutdown(socket.SHUT_WR)  # nobody's answer to our close frame is waited for
            ours.release()


# -- neighbours -----------------------------------------------------------------------------------


def takes_nothing(ours: Connection, far: socket.socket) -> None:
    ours.send_text(b"x" * 5_000_000)


def says_garbage(ours: Connection, far: socket.socket) -> None:
    far.sendall(b"GET / HTTP/1.1\r\n" * 100)


def promises_more_than_anybody_has(ours: Connection, far: socket.socket) -> None:
    far.sendall(b"\x81\xff" + (2**62).to_bytes(8, "big") + b"key." + b"x" * 10_000)


def begins_a_long_frame_and_stops(ours: Connection, far: socket.socket) -> None:
    far.sendall(b"\x81\xff" + (2**20).to_bytes(8, "big") + b"key." + b"x" * 100_000)


def sends_fragments_with_pings_between(ours: Connection, far: socket.socket) -> None:
    first = part(BINARY, b"x" * 70_000)
    rest = (part(CONTINUATION, b"y" * 1000) + masked(PING, b"!")) * 50
    far.sendall(first + rest)


def sends_byte_by_byte(ours: Connection, far: socket.socket) -> None:
    for byte in masked(TEXT, b"x" * 300):
        far.sendall(bytes([byte]))


def floods_with_pings_and_reads_no_pong(ours: Connection, far: socket.socket) -> None:
    far.settimeout(0.5)
    with suppress(OSError):
        far.sendall(masked(PING, b"x" * 125) * 20_000)


def nobody_receives(ours: Connection, far: socket.socket) -> None:
    far.settimeout(0.5)
    with suppress(OSError):
        far.sendall(masked(TEXT, b"x" * 1000) * 5000)


def has_a_slow_tool(ours: Connection, far: socket.socket) -> None:
    """Its thread is busy with the last message, for long."""
    far.sendall(masked(TEXT, b"run the tool"))
    assert ours.receive() == [b"run the tool"]
    far.sendall(masked(TEXT, b"x" * 394) * 500)


def closes_and_goes_on_talking(ours: Connection, far: socket.socket) -> None:
    with suppress(OSError):
        far.sendall(masked(CLOSE, b"\x03\xe8") + masked(TEXT, b"x" * 394) * 500)


BAD = [
    takes_nothing,
    says_garbage,
    promises_more_than_anybody_has,
    begins_a_long_frame_and_stops,
    sends_fragments_with_pings_between,
    sends_byte_by_byte,
    floods_with_pings_and_reads_no_pong,
    nobody_receives,
    has_a_slow_tool,
    closes_and_goes_on_talking,
]


@pytest.fixture
def neighbour(make: Make) -> Iterator[Callable[[], None]]:
    """A connection that echoes where it is read; a call of the fixture's value is a hundred round trips."""
    near, far = socket.socketpair()
    far.settimeout(DEADLINE_S)
    ours = make(near, name="neighbour")

    def echo(message: bytes) -> bool:
        ours.send_text(message)
        return True

    ours.taker = Taking(echo)

    def talk() -> None:
        for number in range(100):
            far.sendall(masked(TEXT, b"%d" % number))
            assert heard_by(far, 1) == [b"%d" % number]

    with far:
        talk()
        yield talk


@pytest.mark.parametrize("misbehaves", BAD)
def test_a_peer_that_misbehaves_keeps_nobody_else_waiting(
    misbehaves: Callable[[Connection, socket.socket], None],
    raw_pair: MakePair,
    neighbour: Callable[[], None],
) -> None:
    """They share a thread. The trouble is still there while the neighbour talks: nobody waits for its end."""
    ours, far = raw_pair(write_s=60, max_message_bytes=2**21)
    with ThreadPoolExecutor(1) as pool:
        trouble = pool.submit(misbehaves, ours, far)
        neighbour()
        trouble.result(DEADLINE_S)
    neighbour()


def test_a_hundred_at_once_are_all_served(make: Make) -> None:
    pairs = []
    for _ in range(100):
        near, far = socket.socketpair()
        far.settimeout(DEADLINE_S)
        ours = make(near)

        def echo(message: bytes, ours: Connection = ours) -> bool:
            ours.send_text(message)
            return True

        ours.taker = Taking(echo)
        pairs.append(far)
    for far in pairs:
        far.sendall(b"".join(masked(TEXT, b"%d" % number) for number in range(20)))
    for far in pairs:
        assert heard_by(far, 20) == [b"%d" % number for number in range(20)]
        far.close()


def test_where_there_is_no_epoll_another_poll_does() -> None:
    near, far = socket.socketpair()
    poller = _Portable()
    with near, far:
        poller.register(near.fileno(), READ)
        assert poller.poll(0) == []
        far.send(b"x")
        assert [fd for fd, _ in poller.poll(DEADLINE_S)] == [near.fileno()]
        poller.modify(near.fileno(), WRITE)
        near.recv(1)
        assert [fd for fd, _ in poller.poll(DEADLINE_S)] == [near.fileno()]
        poller.unregister(near.fileno())
        assert poller.poll(0) == []
