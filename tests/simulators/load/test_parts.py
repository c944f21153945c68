"""The load's parts, each by itself."""

from __future__ import annotations

import io
import re
import socket
import sys
import xml.etree.ElementTree as ET
from base64 import b64decode
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from rich.console import Console
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from callapp.simulators.load import performing
from callapp.simulators.load.audio import (
    CHUNK_BYTES,
    CODES,
    MAGIC,
    NUMBERS,
    OWN_EVERY,
    AgentVoice,
    CallerSpeech,
)
from callapp.simulators.load.capacity import find_capacity
from callapp.simulators.load.loop import Loop, clock
from callapp.simulators.load.phone import Phone
from callapp.simulators.load.plot import plot
from callapp.simulators.load.process import Usage, cpu_s_of, memory_kib_of, processes_of, usage_of
from callapp.simulators.load.report import make_report, print_report, remarks
from callapp.simulators.load.run import Measured, Plan, Second
from callapp.simulators.load.server import pin, split_cores
from callapp.simulators.load.tally import Delays, Tally
from callapp.simulators.load.wire import client_frame, mask, server_frame, split
from callapp.simulators.load.world import Target, World


def parse(data: bytes, *, masked: bool) -> Frame:
    """Read a frame with ``websockets``."""
    reader = StreamReader()
    reader.feed_data(data)
    parsing = Frame.parse(reader.read_exact, mask=masked)
    try:
        next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
        return frame
    raise AssertionError("not a whole frame")


@pytest.mark.parametrize("size", [0, 1, 125, 126, 394, 65535, 65536])
def test_frames_are_what_websockets_takes_them_for(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    for masked, build in ((True, client_frame), (False, server_frame)):
        frame = parse(build(payload[:size]), masked=masked)
        assert (frame.opcode, frame.data) == (Opcode.TEXT, payload[:size])


@pytest.mark.parametrize("build", [client_frame, server_frame])
def test_frames_are_split_wherever_the_bytes_are_cut(build: Any) -> None:
    payloads = [b"a" * 10, b"b" * 300, b"", b"c" * 70_000]
    data = b"".join(map(build, payloads))
    for cut in (0, 1, 2, 3, 7, 8, 15, 16, 17, 20, 300, 340, len(data) - 1):
        frames, rest = split(data[:cut])
        more, rest = split(rest + data[cut:])
        assert [payload for _, payload in frames + more] == payloads
        assert rest == b""


def test_parts_masked_by_themselves_are_the_whole_masked() -> None:
    data = bytes(range(97))
    for cut in range(9):
        assert mask(data[:cut]) + mask(data[cut:], cut) == mask(data)


@pytest.mark.parametrize("number", [1, 2, 9, 10, 49, 99, 100, 1000])
def test_a_shared_chunk_completed_by_a_calls_tail_is_twilios_message(number: int) -> None:
    import json

    speech = CallerSpeech()
    tails = speech.tails("MZ1")
    head, tail = speech.shared(number, len(tails[0]))
    message = json.loads(parse(head + tails[tail], masked=True).data)
    media = message["media"]
    assert (message["event"], message["streamSid"], media["track"]) == ("media", "MZ1", "inbound")
    assert (media["chunk"], media["timestamp"]) == (str(number), str((number - 1) * 20))
    assert len(b64decode(media["payload"], validate=True)) == CHUNK_BYTES
    assert media["payload"].startswith((MAGIC + CODES[number]).decode())


def test_a_chunk_of_its_own_carries_the_calls_number() -> None:
    frame = parse(CallerSpeech().own(OWN_EVERY + 1, 77, "MZ1"), masked=True).data
    at = frame.index(MAGIC)
    assert NUMBERS[frame[at + 8 : at + 12]] == OWN_EVERY + 1
    assert NUMBERS[frame[at + 12 : at + 16]] == 77


def test_deltas_leave_room_for_their_number() -> None:
    voice = AgentVoice(200)
    deltas = voice.deltas("agent-greeting")
    assert voice.duration_s("agent-greeting") == pytest.approx(len(deltas) * 0.2)
    assert {len(b64decode(MAGIC + CODES[1] + CODES[2] + delta)) for delta in deltas} == {1600}


def test_percentiles_of_delays_below_and_above_the_last_bin() -> None:
    delays = Delays()
    for ms in range(1, 101):
        delays.add(ms / 1000 - 1e-6)
    assert delays.percentiles_ms(0.0, 0.09, 0.5, 1.0) == pytest.approx([1, 10, 51, 100], abs=0.02)
    taken = delays.take()
    assert len(taken) == 100
    assert len(delays) == 0
    taken += taken.take()
    assert len(taken) == 100


def test_the_loop_keeps_its_beat_and_its_timers_in_order() -> None:
    @dataclass
    class Beater:
        due: float
        beats: list[float] = field(default_factory=list)

        def beat(self, now: float) -> bool:
            self.beats.append(now - self.due)
            return len(self.beats) < 5

    loop = Loop(0.01)
    now = clock()
    beaters = [Beater(now + 0.005), Beater(now + 0.001), Beater(now + 0.009)]
    seen: list[int] = []
    for beater in beaters:
        loop.start_beating(beater)
    loop.after(0.02, lambda: seen.append(2))
    loop.after(0.01, lambda: seen.append(1))
    assert loop.run_until(lambda: all(len(b.beats) == 5 for b in beaters), 5)
    assert seen == [1, 2]
    assert all(late >= 0 for beater in beaters for late in beater.beats)
    assert not loop.run_until(lambda: False, 0.02)
    loop.close()


def test_a_socket_that_is_ready_wakes_the_loop() -> None:
    loop = Loop(0.02)
    ours, theirs = socket.socketpair()
    got: list[bytes] = []
    loop.watch(ours.fileno(), lambda _: got.append(ours.recv(10)))
    loop.after(0.01, lambda: [theirs.send(b"x")])
    assert loop.run_until(lambda: bool(got), 5)
    loop.forget(ours.fileno())
    for sock in (ours, theirs):
        sock.close()
    loop.close()


@pytest.mark.parametrize("answer", ["twiml", "upgrade"])
def test_a_caller_who_hangs_up_before_there_is_a_stream_gets_none(answer: str) -> None:
    """Nobody would end it, and it would go on when nobody is there to be the model."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop = Loop(0.02)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        target = Target(f"http://{address}", "/stream" if answer == "upgrade" else None)
        world = World(loop, target, CallerSpeech(), AgentVoice(20), 2.0)
        over: list[Phone] = []
        phone = Phone(world, 1, 60.0, "caller", over.append)
        phone.begin()
        server, _ = listener.accept()
        with server:
            assert loop.run_until(lambda: server.recv(1, socket.MSG_PEEK) != b"", 5)
            phone.hang_up()
            assert over == [phone]
            if answer == "twiml":
                twiml = f'<Response><Connect><Stream url="ws://{address}/stream"/></Connect></Response>'
                server.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(twiml)}\r\n\r\n{twiml}".encode())
            else:
                server.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            loop.run(0.1)
            listener.setblocking(False)
            with pytest.raises(BlockingIOError):
                listener.accept()
        assert not phone.streaming
        loop.close()


def test_usage_of_this_process_is_known_on_linux() -> None:
    import os

    usage = usage_of(os.getpid())
    assert usage is not None
    assert processes_of(os.getpid())[0] == os.getpid()
    assert cpu_s_of([os.getpid()]) > 0
    assert usage.threads >= 1
    assert usage.memory_kib > 1000
    assert usage_of(2**22 + 1) is None
    assert cpu_s_of([2**22 + 1]) == 0
    assert 1000 < memory_kib_of([os.getpid()]) == memory_kib_of([os.getpid(), 2**22 + 1])


def test_memory_that_rises_is_told_by_the_second_half_of_a_long_measurement() -> None:
    idle = Usage(0.0, 0, 0, 2, (0, 0))

    def rise(*memory_kib: int) -> object:
        what = replace(measured(10), before=idle, after=replace(idle, at_s=2.0), cpu_s=0.1)
        what.series = [replace(what.series[0], memory_kib=kib) for kib in memory_kib]
        report = make_report(Plan(call_s=30), what, Tally(), idle)
        console = Console(file=io.StringIO(), width=120)
        print_report(report, console)
        told = re.search(r"([+-]\d+) KiB a minute", console.file.getvalue())  # type: ignore[attr-defined]
        return report["server"]["riseKibPerMinute"], told and told[1]

    young = range(50_000, 80_000, 1000)
    assert rise(*young, *[80_000] * 30) == (0, "+0")
    assert rise(*young, *range(80_000, 80_060, 2)) == (120, "+120")
    assert rise(*young, *range(80_000, 79_970, -1)) == (-60, "-60")
    assert rise(*young, *[80_000] * 29) == (None, None)


def measured(calls: int, delay_s: float = 0.001, *, late_s: float = 0.0, lost: int = 0) -> Measured:
    def delays(value: float) -> Delays:
        one = Delays()
        one.add(value)
        return one

    return Measured(
        calls=calls,
        seconds=2.0,
        live_s=2.0 * calls,
        to_model=delays(delay_s),
        to_phone=delays(delay_s),
        clear=Delays(),
        late=delays(late_s),
        cpu_s=None,
        before=None,
        after=None,
        own_share=0.2,
        lost=lost,
        missed=0,
        stale=0,
        failed=0,
        series=[Second(calls, delays(delay_s), delays(delay_s), delays(late_s), 0)] * 2,
    )


class PretendLoad:
    """A server that carries ``most`` calls, by a load that carries ``keeps_up``."""

    def __init__(self, most: int, keeps_up: int = 10_000) -> None:
        self.most, self.keeps_up = most, keeps_up
        self.calls = 0
        self.plan = Plan()
        self.world = self.loop = self

    def run(self, seconds: float) -> None: ...

    def grow(self, calls: int) -> None:
        self.calls = calls

    def measure(self, seconds: float) -> Measured:
        late_s = 0.05 if self.calls > self.keeps_up else 0
        slow = self.calls > self.most or late_s > 0
        return measured(self.calls, 0.03 if slow else 0.001, late_s=late_s)


@pytest.mark.parametrize("most", [10, 40, 50, 120, 230, 300])
def test_capacity_is_found_to_ten_calls(most: int) -> None:
    found = find_capacity(PretendLoad(most), 20, 1000)  # type: ignore[arg-type]
    assert found.calls == most
    assert not found.open_end
    assert len(found.steps) < 20


def test_capacity_beyond_what_was_tried_is_said_to_be_open() -> None:
    found = find_capacity(PretendLoad(500), 20, 220)  # type: ignore[arg-type]
    assert found.calls == 220
    assert "220" in found.open_end


def test_capacity_beyond_what_the_load_can_do_is_said_to_be_open() -> None:
    found = find_capacity(PretendLoad(500, keeps_up=170), 20, 1000)  # type: ignore[arg-type]
    assert found.calls == 150
    assert "load" in found.open_end
    assert found.steps[-1].bottleneck


def test_lost_audio_is_a_failure_however_fast_the_rest_was() -> None:
    assert measured(10).holds(20)
    assert not measured(10, lost=1).holds(20)


def test_a_load_that_was_too_slow_says_so() -> None:
    report = make_report(Plan(), measured(10, late_s=0.05), Tally(), None)
    assert report["load"]["bottleneck"]
    assert any("bottleneck" in line for line in remarks(report))
    assert not remarks(make_report(Plan(), measured(10), Tally(), None))


def test_what_a_server_uses_that_runs_already_is_not_known() -> None:
    """Wherever it runs, this machine included."""
    console = Console(file=io.StringIO(), width=120)
    print_report(make_report(Plan(), measured(10), Tally(), None), console)
    assert "not started here, or no /proc: its use of" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["ascii", "shift_jis"])
def test_no_encoding_can_break_the_output(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After all the measuring: a dash stands where there was nothing to measure, as here no interruption."""
    report = make_report(Plan(), measured(10), Tally(), None)
    monkeypatch.setattr(performing, "_run", lambda *_: report)
    monkeypatch.setattr(performing, "_end_in_order", lambda: None)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written := io.BytesIO(), encoding=encoding))
    nowhere = {"cap": None, "url": None, "json_file": None, "svg_file": None}
    performing.perform(Plan(), capacity_within=None, listen=("127.0.0.1", 0), **nowhere)
    sys.stdout.flush()
    assert "phone to model" in written.getvalue().decode(encoding)


def test_the_plot_is_an_svg_whatever_was_measured() -> None:
    empty = measured(1)
    empty.series, empty.to_model = [], Delays()
    for what in (measured(100), empty):
        root = ET.fromstring(plot(make_report(Plan(), what, Tally(), None)))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(root.findall(".//{*}polyline")) == 8


def test_a_second_server_gets_the_core_that_the_first_one_has() -> None:
    """A load keeps to its own core. Were the next server to share that, its frames would cost no wake-up."""
    server_cores, own_cores = split_cores(1)
    before = pin(own_cores)
    try:
        assert split_cores(1) == (server_cores, own_cores)
    finally:
        pin(before)
