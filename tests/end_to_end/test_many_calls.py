"""As many calls as the server takes, and more."""

from __future__ import annotations

from collections.abc import Callable

from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Pace, Say, Script
from callapp.simulators.phone import Callee, Hear, HearPause, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.stage import DEADLINE_S, HUNG_UP, THEIR_NUMBER, Server, eventually, words

GREETING = words("Hello!", 600)
QUESTION = words("When does it come?", 500)
ANSWER = words("It comes tomorrow, and then, and then, and then.", 3000)
CORRECTION = words("Wait, another day.", 400)
GOODBYE = words("Thank you, goodbye.", 700)


def test_twenty_calls_at_a_time_are_interrupted_and_heard_out(twenty_lines: Server) -> None:
    """Real threads, real sockets: what leaks or is mixed up between calls shows here."""
    script = Script(Say(GREETING), Say(ANSWER), [Say(GOODBYE), ToolCall("end_call")])
    with twenty_lines.scene(script, pace=Pace(speed=6)) as scene:
        steps = [HearPause(300), Speak(QUESTION), Hear(800), Speak(CORRECTION), WaitForEnd()]
        callees = [Callee(steps) for _ in range(20)]
        calls = [scene.ring(callee, agent="host") for callee in callees]
        for call, callee in zip(calls, callees, strict=True):
            assert scene.ending(call, 40).reason == "agent.ended"
            assert callee.failure is None
            assert call.faults == []
            stream = call.stream
            (clear,) = stream.playout.clears
            assert 700 < stream.heard_ms_of(ANSWER.audio, clear.at_ns / 1e6) < 2000
            assert not stream.playout.echoes[-1].cleared
        assert len(scene.model.sessions) == 20
        cuts = [one.received_events("conversation.item.truncate") for one in scene.model.sessions]
        assert [len(cut) for cut in cuts] == [1] * 20


def test_beyond_its_capacity_the_server_says_so_and_stays_awake(start: Callable[..., Server]) -> None:
    server = start(MAX_CONCURRENT_CALLS="2")
    with server.scene() as scene:
        first, _ = scene.live()
        second = scene.dial(agent="quiet")
        scene.session()
        assert server.get("/readyz").status == 503

        third = scene.ring(agent="operator")
        third.wait_ended(DEADLINE_S)
        assert [said.language for said in third.said] == ["ja-JP"]
        assert "混み合って" in third.said[0].text
        assert third.streams == []
        assert third.faults == []
        refused = server.request("POST", "/outgoing-call", {"phoneNumber": THEIR_NUMBER})
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert len(scene.carrier.calls) == 3

        # All slots are taken, but not all threads.
        assert [server.get("/healthz").status for _ in range(20)] == [200] * 20
        assert server.webhook("/call-status", CallSid=third.sid, CallStatus="completed").status == 204

        scene.hang_up(first)
        assert eventually(lambda: server.get("/readyz").status == 200)
        fourth, _ = scene.live()
        second.hang_up()
        fourth.hang_up()
        assert scene.ending(second).reason in HUNG_UP
        assert scene.ending(fourth).reason == "caller.hung_up"
        assert len(scene.model.sessions) == 3


def test_a_call_that_twilio_refuses_to_place_takes_no_slot(one_line: Server) -> None:
    with one_line.scene() as scene:
        scene.carrier.fail_next(21210, 400, "The source phone number is not verified", method="POST")
        refused = one_line.request("POST", "/outgoing-call", {"phoneNumber": THEIR_NUMBER})
        assert refused.status == 502
        assert refused.json["code"] == 21210
        call, _ = scene.live()
        scene.hang_up(call)
