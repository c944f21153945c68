"""The server stops: live calls hear a goodbye, nobody waits in vain, nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable

from callapp.simulators.model_faults import Stall
from callapp.simulators.model_script import Say, Script
from callapp.simulators.phone import Callee, HearPause, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.end_to_end.test_doors import CONNECTED, upgraded
from tests.end_to_end.test_doors import start as start_of
from tests.stage import DEADLINE_S, THEIR_NUMBER, Server, eventually, words

HELLO = words("Hello?", 300)
GREETING = words("Hello!", 300)
GOODBYE = words("We have to stop now, goodbye.", 2500)


def test_a_live_call_hears_a_goodbye_and_new_ones_are_refused(start: Callable[..., Server]) -> None:
    """SIGTERM comes with every deployment."""
    server = start(DRAIN_SECONDS="8")
    with server.scene(Script(Say(GREETING), Say(GOODBYE))) as scene:
        callee = Callee([HearPause(200), WaitForEnd()])
        call = scene.ring(callee, agent="host")
        session = scene.session()
        call.wait_for(lambda: call.stream.heard_ms() >= 300, DEADLINE_S)
        server.terminate()
        session.wait_for(lambda: len(session.received_events("response.create")) == 2, DEADLINE_S)

        assert server.get("/readyz").status == 503
        assert server.get("/healthz").status == 200
        refused = server.request("POST", "/outgoing-call", {"phoneNumber": THEIR_NUMBER})
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
        other = scene.ring(agent="quiet")
        other.wait_ended(DEADLINE_S)
        assert "busy" in other.said[0].text
        assert other.streams == []

        assert scene.ending(call).reason == "server.draining"
        assert callee.failure is None
        assert call.stream.heard_ms_of(GOODBYE.audio) == GOODBYE.duration_ms
        assert call.said == []
        assert server.wait(15) == 0


def test_who_still_hears_the_opening_is_connected(start: Callable[..., Server]) -> None:
    """The call is answered, and its stream comes when Twilio has read out what it has to."""
    server = start(DRAIN_SECONDS="8")
    with server.scene(Script(Say(GREETING), Say(GOODBYE))):
        call_sid = "CA" + "4" * 32
        token = server.token(call_sid, "host")
        server.terminate()
        server.wait_for_line("draining")
        time.sleep(1)  # of the opening
        with upgraded(server, CONNECTED, start_of(token, call_sid)):
            server.wait_for_line(call_sid, "= call live")
        server.wait_for_line(call_sid, "x call ended")
        assert server.wait(15) == 0


def test_a_call_that_ends_in_time_is_not_hurried(start: Callable[..., Server]) -> None:
    """The goodbye is for those who are still there when the time is nearly up."""
    server = start(DRAIN_SECONDS="30")
    with server.scene(Script(Say(GREETING))) as scene:
        call, session = scene.live(agent="host")
        server.terminate()
        server.wait_for_line("draining")
        call.speak(HELLO)
        session.wait_for(lambda: session.sent_events("input_audio_buffer.speech_stopped"), DEADLINE_S)
        session.wait_for(lambda: len(session.sent_events("response.done")) == 2, DEADLINE_S)
        scene.hang_up(call)
        assert server.wait(15) == 0
        assert len(session.received_events("response.create")) == 1


def test_a_model_that_says_no_goodbye_does_not_hold_the_server(start: Callable[..., Server]) -> None:
    server = start(DRAIN_SECONDS="1")
    with server.scene(Script(Stall())) as scene:
        call = scene.ring(Callee([Speak(HELLO)]), agent="host")
        session = scene.session()
        session.expect("response.create")
        began_s = time.monotonic()
        server.terminate()
        assert scene.ending(call).reason == "server.draining"
        assert server.wait(15) == 0
        assert time.monotonic() - began_s < 1 + 8


def test_a_connection_that_comes_while_the_server_leaves_does_not_hang(start: Callable[..., Server]) -> None:
    """Answered or refused; the kernel must not keep it for nobody."""
    server = start()
    server.terminate()
    slowest_s = 0.0

    def refused() -> bool:
        nonlocal slowest_s
        began_s = time.monotonic()
        try:
            server.get("/healthz")
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it was in the queue when the queue was closed
            pass
        finally:
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        return False

    assert eventually(refused, DEADLINE_S)
    assert slowest_s < 5
    assert server.wait(15) == 0


def test_idle_workers_stop_at_once(start: Callable[..., Server]) -> None:
    """For one alone, the end of every server in these tests checks it."""
    server = start(WEB_CONCURRENCY="2")
    server.terminate()
    assert server.wait(10) == 0
