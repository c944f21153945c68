"""Every slot is taken: the server stays awake, and nothing that Twilio repeats or mixes up costs a slot."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Call, Callee
from callapp.simulators.phone_record import new_sid
from tests.end_to_end.conftest import started
from tests.end_to_end.test_doors import CONNECTED, STOP, close_of, upgraded
from tests.end_to_end.test_doors import start as start_of
from tests.stage import DEADLINE_S, HTTP_THREADS, OUR_NUMBER, THEIR_NUMBER, Scene, Server, eventually, words

LINES = 3
QUICK_S = 0.1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("three-lines"), MAX_CONCURRENT_CALLS=str(LINES)) as server:
        yield server


@pytest.fixture
def sid() -> str:
    """Of a call that the server has not heard of: it remembers those that are over."""
    return new_sid("CA")


def timed(deed: Callable[[], object]) -> float:
    began_s = time.monotonic()
    deed()
    return time.monotonic() - began_s


def tell_status(server: Server, call_sid: str, status: str, query: str = "") -> None:
    assert server.webhook(f"/call-status{query}", CallSid=call_sid, CallStatus=status).status == 204


def takes_its_calls(scene: Scene) -> list[Call]:
    """Have as many calls as there are lines, all at once; fails if a slot is missing or one is too many."""
    # A line is free when the request of its stream is over, which is a moment after the end was logged.
    assert eventually(lambda: "callapp_slots_taken 0.0" in scene.server.get("/metrics").text)
    calls = [scene.ring() for _ in range(LINES)]
    for call in calls:
        scene.server.wait_for_line(call.sid, "= call live", since=scene.since)
    assert scene.server.get("/readyz").status == 503
    scene.hang_up(*calls)
    assert eventually(lambda: scene.server.get("/readyz").status == 200)
    return calls


@pytest.mark.alone
def test_health_checks_metrics_and_webhooks_answer_at_once_while_all_are_talking(
    server: Server, sid: str
) -> None:
    """A platform that finds us slow kills us, and Twilio's patience is 15 s for all it asks."""
    script = Script(Say(words("And so on, and so on, and so on.", 20_000)))
    with server.scene(script) as scene:
        calls = [scene.ring(agent="host") for _ in range(LINES)]
        for call in calls:
            call.wait_for(lambda call=call: call.streams and call.stream.heard_ms() > 500, DEADLINE_S)
        assert server.get("/readyz").status == 503

        deeds: dict[str, Callable[[], object]] = {
            "health": lambda: server.get("/healthz"),
            "ready": lambda: server.get("/readyz"),
            "metrics": lambda: server.get("/metrics"),
            "status": lambda: tell_status(server, sid, "ringing"),
            "busy line": lambda: server.answer_incoming(sid),
            "503": lambda: server.request("POST", "/outgoing-call", {"phoneNumber": THEIR_NUMBER}),
        }
        took_s: dict[str, list[float]] = {}
        with ThreadPoolExecutor(8) as crowd:
            for name, deed in deeds.items():
                took_s[name] = list(crowd.map(lambda _, deed=deed: timed(deed), range(40)))
        medians = {name: statistics.median(all_s) for name, all_s in took_s.items()}
        assert all(median_s < QUICK_S for median_s in medians.values()), medians

        assert [call.status for call in calls] == ["in-progress"] * LINES
        scene.hang_up(*calls)


@pytest.mark.alone
def test_requests_that_never_end_leave_room_for_health_checks(server: Server) -> None:
    """Half of the threads beyond the calls hang on a client that sends nothing more."""
    with server.scene() as scene, ExitStack() as stack:
        calls = [scene.live()[0] for _ in range(LINES)]
        for _ in range(8):
            held = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            held.sendall(
                b"POST /call-status HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
            )
        assert statistics.median(server.get("/healthz").took_s for _ in range(20)) < QUICK_S
        scene.hang_up(*calls)


def test_requests_that_stop_half_way_are_given_up(server: Server) -> None:
    """More of them than there are threads: those behind them are answered all the same."""
    head = b"POST /call-status HTTP/1.1\r\nHost: x\r\n"
    body = b"Content-Length: 9\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\na=b"
    with server.scene(), ExitStack() as stack:
        held = []
        for number in range(LINES + HTTP_THREADS):
            held.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port))))
            held[-1].sendall(head + body if number % 2 else head)
        assert server.get("/healthz").status == 200
        for number, one in enumerate(held):
            one.settimeout(DEADLINE_S)
            answer = one.recv(100)
            assert answer.startswith(b"HTTP/1.1 408 ") if number % 2 else answer == b""


def test_those_who_do_not_hang_up_after_their_answer_keep_nobody_waiting(server: Server) -> None:
    """gunicorn's main thread, which takes new connections, would give each of them two seconds."""
    ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with server.scene(), ExitStack() as stack:
        began_s = time.monotonic()
        for _ in range(10):
            lingering = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), DEADLINE_S))
            lingering.sendall(ask)
            assert lingering.recv(100).startswith(b"HTTP/1.1 200 ")
        assert time.monotonic() - began_s < 10


def test_a_webhook_that_comes_twice_takes_one_slot(server: Server, sid: str) -> None:
    with server.scene() as scene:
        for _ in range(5):
            assert "<Stream" in server.answer_incoming(sid)
        others = [scene.live()[0] for _ in range(LINES - 1)]
        assert "<Stream" not in server.answer_incoming(new_sid("CA"))
        tell_status(server, sid, "completed")
        third, _ = scene.live()
        scene.hang_up(*others, third)


def test_statuses_come_twice_late_and_of_calls_that_there_are_not(server: Server, sid: str) -> None:
    with server.scene() as scene:
        call, _ = scene.live()
        for status in ("completed", "completed", "ringing", "in-progress", "completed"):
            tell_status(server, "CA" + "0" * 32, status)
            tell_status(server, sid, status, "?placed=no-such-call")
        assert call.status == "in-progress"
        call.hang_up()
        scene.ending(call)
        for status in ("completed", "in-progress", "completed"):
            tell_status(server, call.sid, status)
        takes_its_calls(scene)


def test_a_webhook_that_comes_after_the_end_of_its_call_takes_no_slot(server: Server) -> None:
    """Nobody is on that line any more; a slot would be held for a minute for nothing."""
    with server.scene() as scene:
        for _ in range(LINES):
            call_sid = new_sid("CA")
            server.answer_incoming(call_sid)
            tell_status(server, call_sid, "completed")
            server.answer_incoming(call_sid)
        takes_its_calls(scene)


def test_a_dial_that_reaches_nobody_gives_its_slot_back(server: Server) -> None:
    """Also when its webhooks come after that, and twice."""
    with server.scene() as scene:
        for _ in range(LINES + 1):
            call = scene.dial(Callee(picks_up="busy"), agent="quiet")
            call.wait_ended(DEADLINE_S)
            (address,) = {request.url for request in call.requests if "/call-status" in request.url}
            late = server.webhook(
                "/incoming-call" + address.partition("/call-status")[2],
                CallSid=call.sid,
                From=OUR_NUMBER,
                To=THEIR_NUMBER,
            )
            assert late.status == 200
        takes_its_calls(scene)


def test_streams_that_stop_before_they_start_take_no_slot(server: Server) -> None:
    with server.scene() as scene:
        for messages in ([STOP], [CONNECTED, STOP], [CONNECTED, STOP, start_of("none")], [CONNECTED]):
            with upgraded(server, *messages) as stream:
                if messages[-1] is CONNECTED:
                    stream.close()
                else:
                    assert close_of(stream) == 1008
        assert scene.model.attempts == 0
        takes_its_calls(scene)


def test_a_start_with_a_stop_at_its_heels_is_a_call_that_ended(server: Server) -> None:
    with server.scene() as scene:
        for _ in range(LINES + 1):
            call_sid = new_sid("CA")
            start, stop = start_of(server.token(call_sid), call_sid), {**STOP, "stop": {"callSid": call_sid}}
            with upgraded(server, CONNECTED, start, stop, stop) as stream:
                assert close_of(stream) == 1000
            ended = server.wait_for_line(call_sid, "x call ended: caller.hung_up", since=scene.since)
            # Its line is free when the request is over, which is a moment later.
            server.wait_for_line("Closing connection", since=server.lines.index(ended))
        takes_its_calls(scene)


def test_second_streams_take_no_slot_and_no_audio(server: Server) -> None:
    """Each call is joined by another stream under its own name, while all lines are taken."""
    with server.scene() as scene:
        calls = [scene.live()[0] for _ in range(LINES)]
        sessions = scene.model.sessions
        for call in calls:
            with upgraded(server, CONNECTED, start_of(server.token(call.sid), call.sid)) as stream:
                assert close_of(stream) == 1008
        assert scene.model.sessions == sessions
        assert [call.status for call in calls] == ["in-progress"] * LINES
        scene.hang_up(*calls)
        takes_its_calls(scene)


@pytest.mark.parametrize(("agent", "requests"), [("bare", 1), ("quiet", 0)])
def test_a_stream_that_finds_no_line_is_refused_and_the_caller_hears_why(
    server: Server, sid: str, agent: str, requests: int
) -> None:
    """With several processes it may reach another than its webhook. A closing line is in the TwiML."""
    with server.scene() as scene:
        token = server.token(sid, agent)
        tell_status(server, sid, "completed")  # so that its slot here is free
        others = [scene.live()[0] for _ in range(LINES)]
        with upgraded(server, CONNECTED, start_of(token, sid)) as stream:
            assert close_of(stream) == 1013
        asked = [one for one in scene.carrier.requests if one.method == "POST" and sid in one.path]
        assert len(asked) == requests
        assert all("We are sorry" in one.form["Twiml"][-1] for one in asked)
        for call in others:
            call.hang_up()
            scene.ending(call)
