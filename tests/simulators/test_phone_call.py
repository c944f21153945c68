"""Whole calls over real sockets, with a small application at the other end."""

from __future__ import annotations

import gc
import os
import socket
import struct
import threading
import wave
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread, Timer

import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol

from callapp.simulators.phone import (
    Callee,
    Carrier,
    HangUp,
    HearPause,
    Pause,
    Press,
    Say,
    WaitForEnd,
    clip,
)
from callapp.simulators.playout import BYTE_NS
from tests.simulators.phone_app import SILENT_CALL, App, Wire

MS = 1_000_000
ALL_EVENTS = ["initiated", "ringing", "answered", "completed"]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if os.name == "posix" else 0


@pytest.fixture(autouse=True)
def _nothing_remains() -> Iterator[None]:
    """However a call ends, no thread and no descriptor outlives its carrier."""
    threads, files = set(threading.enumerate()), open_files()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(2)  # simple-websocket leaves its own to end by itself
        assert not thread.is_alive()
    gc.collect()  # Werkzeug leaves the closing of its selectors to the collector
    assert open_files() <= files


def test_a_whole_call(carrier: Carrier, app: App, tmp_path: Path) -> None:
    """Greeted, asked, answered to the last mark, closed by the application."""
    greeting, question, answer = (clip(name).audio for name in SCENE)

    def serve(wire: Wire) -> None:
        wire.play(greeting)
        wire.mark("greeting")
        while question not in wire.audio:
            wire.read()
        wire.play(answer[:8000])  # a second, so that a machine which stalls in what follows leaves no gap
        for at in range(8000, len(answer), 1000):
            wire.play(answer[at : at + 1000])
        wire.mark("answer")
        wire.read_until("mark")

    app.on_stream = serve
    app.twiml = """<Response><Say language="ja-JP">お繋ぎします。</Say><Connect><Stream url="{ws}">
        <Parameter name="token" value="t"/></Stream></Connect><Say>以上です。</Say><Hangup/></Response>"""
    carrier.next_callee(Callee([HearPause(300), Say(clip("caller-question")), HearPause(300), WaitForEnd()]))
    dialled = app.dial(
        status_callback=f"{app.url}/status?a=b",
        status_callback_event=ALL_EVENTS,
        status_callback_method="POST",
    )
    call = carrier.wait_for_call(5)
    call.wait_ended(15)

    assert (call.sid, call.status) == (dialled.sid, "completed")
    assert not call.violations
    assert not call.faults
    assert call.callee.failure is None
    assert [(said.text, said.language) for said in call.said] == [
        ("お繋ぎします。", "ja-JP"),
        ("以上です。", "en-US"),
    ]
    # What the person said arrived to the byte, what was sent was heard to the byte.
    wire = app.wires[0]
    assert question in wire.audio
    assert call.stream.heard_track().count(greeting) == 1
    assert call.stream.heard_track().count(answer) == 1
    assert call.stream.heard_ms_of(answer) == len(answer) / 8
    # The messages are in order.
    assert wire.of("start")[0]["start"]["customParameters"] == {"token": "t"}
    numbers = [int(message["sequenceNumber"]) for message in wire.seen[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [message["mark"]["name"] for message in wire.of("mark")] == ["greeting", "answer"]
    stamps = [int(message["media"]["timestamp"]) for message in wire.of("media")]
    assert stamps == list(range(0, 20 * len(stamps), 20))
    # The callbacks are Twilio's.
    assert all(hook.valid for hook in app.hooks)
    assert app.statuses() == ["initiated", "ringing", "in-progress", "completed"]
    callbacks = [hook.fields for hook in app.hooks if hook.path == "/status"]
    assert [fields["SequenceNumber"] for fields in callbacks] == ["0", "1", "2", "3"]
    assert callbacks[0]["CallbackSource"] == "call-progress-events"
    assert callbacks[3]["CallDuration"] == str(round(call.duration_s))
    asked = next(hook.fields for hook in app.hooks if hook.path == "/voice")
    assert (asked["CallSid"], asked["CallStatus"]) == (call.sid, "in-progress")
    assert (asked["Direction"], asked["To"]) == ("outbound-api", "+819012345678")
    call.write_wav(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as wav:
        assert wav.getnframes() == len(call.stream.heard_track())


SCENE = ("agent-greeting", "caller-question", "agent-preamble")


def test_a_mark_returns_when_its_audio_has_played_and_not_much_later(carrier: Carrier, app: App) -> None:
    def serve(wire: Wire) -> None:
        wire.mark("nothing queued")
        for number in range(5):
            wire.play(bytes(400))
            wire.mark(f"m{number}")
        for _ in range(6):
            wire.read_until("mark")

    app.on_stream = serve
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    echoes = call.stream.playout.echoes
    assert [echo.name for echo in echoes] == ["nothing queued", "m0", "m1", "m2", "m3", "m4"]
    first = call.stream.playout.chunks[0]
    assert first.starts_ns == first.arrived_ns
    for number, echo in enumerate(echoes[1:], start=1):
        assert echo.due_ns == first.starts_ns + number * 400 * BYTE_NS
        assert echo.returned_ns >= echo.due_ns
    # The machine may be busy with other things; the clock itself is good to a millisecond or two.
    assert min(echo.returned_ns - echo.due_ns for echo in echoes[1:]) < 3 * MS


def test_clear_empties_at_once_and_gives_the_marks_back(carrier: Carrier, app: App) -> None:
    clip_bytes = clip("agent-answer").audio

    def serve(wire: Wire) -> None:
        wire.play(clip_bytes)
        wire.mark("end")
        while len(wire.of("media")) < 20:
            wire.read()
        wire.clear()
        assert wire.read_until("mark")["mark"]["name"] == "end"

    app.on_stream = serve
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    (cleared,) = call.stream.playout.clears
    (echo,) = call.stream.playout.echoes
    assert echo.cleared
    assert echo.returned_ns == cleared.at_ns
    heard_ms = call.stream.heard_ms_of(clip_bytes)
    assert 300 < heard_ms < 600
    assert heard_ms == call.stream.heard_ms()
    assert cleared.dropped_bytes == len(clip_bytes) - heard_ms * 8


def test_frames_keep_their_time(carrier: Carrier, app: App) -> None:
    """Absolute deadlines: after a second the fiftieth frame is there, however late one was."""
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_for(lambda: call.streams and len(call.stream.voice) >= 50 * 160, 5)
    call.hang_up()
    call.wait_ended(5)
    assert 48 <= len(app.wires[0].of("media")) <= 60


def test_keys_and_putting_the_phone_down(carrier: Carrier, app: App) -> None:
    carrier.next_callee(Callee([Press("12#"), Pause(100), HangUp()]))
    app.dial(status_callback=f"{app.url}/status")
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    wire = app.wires[0]
    assert [message["dtmf"]["digit"] for message in wire.of("dtmf")] == ["1", "2", "#"]
    assert wire.seen[-1]["event"] == "stop"
    assert wire.seen[-1]["stop"] == {"accountSid": carrier.account_sid, "callSid": call.sid}
    assert app.statuses() == ["completed"]
    assert not call.faults
    assert call.callee.done


def test_the_rest_api_ends_a_call_that_is_in_a_stream(carrier: Carrier, app: App) -> None:
    app.twiml = '<Response><Connect><Stream url="{ws}"/></Connect><Say>never said</Say></Response>'
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_for(lambda: call.streams, 5)
    app.client().calls(call.sid).update(status="completed")
    call.wait_ended(5)
    assert app.wires[0].seen[-1]["event"] == "stop"
    assert not call.said


def test_a_redirect_takes_the_call_out_of_its_stream_and_into_another(carrier: Carrier, app: App) -> None:
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_for(lambda: call.streams, 5)
    app.client().calls(call.sid).update(url=f"{app.url}/voice?again=1", method="GET")
    call.wait_for(lambda: len(call.streams) == 2, 5)
    assert app.wires[0].seen[-1]["event"] == "stop"
    assert app.hooks[-1].method == "GET"
    assert app.hooks[-1].valid
    assert app.hooks[-1].fields["again"] == "1"
    call.hang_up()
    call.wait_ended(5)
    sids = [stream.stream_sid for stream in call.streams]
    assert len(set(sids)) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_incoming_call(carrier: Carrier, app: App, method: str) -> None:
    call = carrier.incoming_call(
        f"{app.url}/voice?agent=operator",
        callee=Callee([Pause(100), HangUp()]),
        method=method,
        status_callback=f"{app.url}/status",
    )
    call.wait_ended(5)
    hook = app.hooks[0]
    assert (hook.method, hook.valid) == (method, True)
    assert hook.fields["agent"] == "operator"
    assert (hook.fields["Direction"], hook.fields["CallStatus"]) == ("inbound", "ringing")
    assert app.statuses() == ["completed"]
    assert call.status == "completed"
    assert len(call.streams) == 1


def test_an_incoming_call_can_be_rejected(carrier: Carrier, app: App) -> None:
    app.twiml = '<Response><Reject reason="busy"/></Response>'
    call = carrier.incoming_call(f"{app.url}/voice")
    call.wait_ended(5)
    assert call.status == "busy"
    assert not call.answered


@pytest.mark.parametrize(
    ("twiml", "path", "code"),
    [
        ("<Response><Fax/></Response>", "/voice", 12200),
        ("<Response>", "/voice", 12100),
        ("<Response/>", "/broken", 11200),
        ("<Response><Redirect>{ws}</Redirect></Response>", "/voice", 11100),
        ("<Response><Redirect>/voice</Redirect></Response>", "/voice", 11215),
    ],
)
def test_twiml_that_fails_is_apologised_for(
    carrier: Carrier, app: App, twiml: str, path: str, code: int
) -> None:
    app.twiml = twiml
    app.dial(url=f"{app.url}{path}")
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    assert [fault.code for fault in call.faults] == [code]
    assert [said.text for said in call.said] == ["An application error has occurred. Goodbye."]


def test_an_application_that_is_not_there(carrier: Carrier, app: App) -> None:
    app.dial(url="http://127.0.0.1:1/voice", status_callback="http://127.0.0.1:1/status")
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    assert [fault.code for fault in call.faults] == [11205, 11205]


@pytest.mark.parametrize(("url", "code"), [("ws://127.0.0.1:1/ws", 31902), ("{ws}/not", 31920)])
def test_a_stream_that_cannot_be_opened_goes_on_after_connect(
    carrier: Carrier, app: App, url: str, code: int
) -> None:
    app.twiml = f'<Response><Connect><Stream url="{url}"/></Connect><Say>Sorry.</Say></Response>'
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    assert [fault.code for fault in call.faults] == [code]
    assert [said.text for said in call.said] == ["Sorry."]
    assert not call.streams


def test_a_stream_tells_of_itself(carrier: Carrier, app: App) -> None:
    app.on_stream = lambda wire: None  # closes at once
    app.twiml = (
        '<Response><Connect><Stream url="{ws}" name="main" statusCallback="URL/stream"/></Connect></Response>'
    ).replace("URL", app.url)
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    told = [hook for hook in app.hooks if hook.path == "/stream"]
    assert all(hook.valid for hook in told)
    assert [hook.fields["StreamEvent"] for hook in told] == ["stream-started", "stream-stopped"]
    assert told[0].fields["StreamName"] == "main"


def test_a_lost_connection_is_a_fault_and_the_call_goes_on(carrier: Carrier, app: App) -> None:
    app.twiml = '<Response><Connect><Stream url="{ws}"/></Connect><Say>Sorry.</Say></Response>'
    app.dial()
    call = carrier.wait_for_call(5)
    wire = app.wait_for_wire()
    call.wait_for(lambda: call.streams, 5)
    call.drop_stream()
    call.wait_ended(5)
    assert [fault.code for fault in call.faults] == [31903]
    assert [said.text for said in call.said] == ["Sorry."]
    assert not wire.of("stop")


def test_phones_that_are_held_up_say_so_and_spend_nothing_on_a_lost_connection(
    carrier: Carrier, app: App, caplog: pytest.LogCaptureFixture
) -> None:
    held, goes_on = Event(), Event()

    class Slow(Callee):
        def live(self, heard: bytes):  # type: ignore[no-untyped-def]  # as in Callee
            if not held.is_set():
                held.set()
                goes_on.wait(10)
            return super().live(heard)

    def serve() -> None:
        connection, _ = listener.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
        with connection:
            protocol = ServerProtocol()
            while not (requests := protocol.events_received()):
                protocol.receive_data(connection.recv(4096))
            request = requests[0]
            assert isinstance(request, Request)
            protocol.send_response(protocol.accept(request))
            connection.sendall(b"".join(protocol.data_to_send()))
            held.wait(10)

    assert carrier.lag_s() < 5
    carrier.next_callee(Slow())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = Thread(target=serve)
        serving.start()
        app.twiml = SILENT_CALL.replace("{ws}", f"ws://127.0.0.1:{listener.getsockname()[1]}/ws")
        app.dial()
        serving.join(10)
    letting_go = Timer(0.5, goes_on.set)
    letting_go.start()
    assert carrier.lag_s() > 0.3
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    assert [fault.code for fault in call.faults] == [31903]
    assert call.stream.late_ms > 300
    in_vain = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    assert not in_vain  # of each frame that it was given


def test_what_is_not_the_protocol_is_noted_and_the_stream_goes_on(carrier: Carrier, app: App) -> None:
    def serve(wire: Wire) -> None:
        wire.ws.send(b"binary")
        wire.ws.send("not json")
        wire.mark("still there")
        wire.read_until("mark")

    app.on_stream = serve
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_ended(5)
    assert call.violations == ["a binary message", "not JSON: not json"]
    assert not call.faults


def test_a_strict_carrier_tears_the_stream_down() -> None:
    with Carrier(tears_down=True) as carrier, App(carrier) as app:

        def serve(wire: Wire) -> None:
            wire.write("hello")
            wire.drain()

        app.on_stream = serve
        app.dial()
        call = carrier.wait_for_call(5)
        call.wait_ended(5)
        assert [fault.code for fault in call.faults] == [31924]


def test_a_slow_network_delays_both_ways() -> None:
    with Carrier(latency_ms=80) as carrier, App(carrier) as app:

        def serve(wire: Wire) -> None:
            wire.play(bytes(800))
            wire.mark("end")
            wire.read_until("mark")

        app.on_stream = serve
        app.dial()
        call = carrier.wait_for_call(5)
        call.wait_ended(5)
        (echo,) = call.stream.playout.echoes
        media_before_mark = len(app.wires[0].of("media"))
    # start takes 80 ms to the application, the audio 80 ms back.
    assert echo.asked_ns >= 160 * MS
    # Frames and marks come late, but in their order: those of 260 ms went before this mark.
    assert 260 // 20 - 1 <= media_before_mark <= echo.returned_ns / (20 * MS) + 1


def test_an_application_that_is_not_read_from_is_let_wait(carrier: Carrier, app: App) -> None:
    """The other way round: the phone takes nothing, so nothing more is heard."""

    def serve(wire: Wire) -> None:
        wire.play(bytes(80))
        wire.drain()

    app.on_stream = serve
    app.dial()
    call = carrier.wait_for_call(5)
    call.wait_for(lambda: call.streams and call.stream.received, 5)
    call.stop_reading()
    frames = len(call.stream.voice)
    call.wait_for(lambda: len(call.stream.voice) > frames, 5)
    app.wires[0].play(bytes(80))
    frames = len(call.stream.voice)
    call.wait_for(lambda: len(call.stream.voice) > frames + 10 * 160, 5)
    assert len(call.stream.received) == 1
    call.hang_up()
    call.wait_ended(5)


def test_twenty_calls_at_once() -> None:
    """Each hears its own audio, and threads do not grow with the calls."""
    with Carrier(say_ms_per_char=0) as carrier, App(carrier) as app:
        greeting, goodbye = clip("agent-greeting").audio, clip("caller-goodbye")
        all_there = threading.Barrier(20, timeout=20)

        def serve(wire: Wire) -> None:
            all_there.wait()
            wire.play(greeting)
            wire.mark("end")
            wire.drain()

        app.on_stream = serve
        for _ in range(20):
            carrier.next_callee(Callee([HearPause(200), Say(goodbye), HangUp()]))
        for _ in range(20):
            app.dial()
        calls = [carrier.wait_for_call(5) for _ in range(20)]
        calls[0].wait_for(lambda: calls[0].streams and calls[0].stream.playout.chunks, 20)
        ours = [thread for thread in threading.enumerate() if thread.name.startswith("carrier")]
        assert len([thread for thread in ours if not thread.name.startswith("carrier-http")]) == 2
        for call in calls:
            call.wait_ended(20)
            assert call.callee.failure is None
            assert not call.violations
            assert not call.faults
            assert call.stream.heard_ms_of(greeting) == len(greeting) / 8
        for wire in app.wires:
            assert goodbye.audio in wire.audio
            assert len(wire.of("mark")) == 1


def test_closing_a_carrier_ends_calls_in_every_state() -> None:
    with Carrier() as carrier, App(carrier) as app:
        app.twiml = '<Response><Pause length="60"/></Response>'
        app.dial()
        carrier.next_callee(Callee(rings_ms=60_000))
        app.dial()
        incoming = carrier.incoming_call(f"{app.url}/voice")
        incoming.wait_for(lambda: incoming.answered, 5)
        carrier.close()
        assert all(call.over for call in carrier.calls)
