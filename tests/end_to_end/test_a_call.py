"""A whole call, from the dial to the last callback, and what both companies saw of it."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from callapp.simulators.clips import Clip
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Pace, Say, Script
from callapp.simulators.phone import Call, Callee, HangUp, Hear, HearPause, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.stage import DEADLINE_S, THEIR_NUMBER, Server, kinds_received, words

GREETING = words("Hello!", 600)
QUESTION = words("When does it come?", 500)
ANSWER = words("It comes tomorrow, and then, and then, and then.", 3000)
CORRECTION = words("Wait, another day.", 400)
CHANGE = words("As you like.", 500)
BYE = words("Bye.", 300)
GOODBYE = words("Thank you, goodbye.", 700)
OPENING = "こんにちは。オペレーターにお繋ぎします。"


def twiml(call: Call) -> ElementTree.Element:
    """What the server answered when the call was answered."""
    answer = next(one.answer for one in call.requests if "/incoming-call" in one.url)
    assert answer is not None
    return ElementTree.fromstring(answer.text)


def heard_to_its_end(call: Call, clip: Clip) -> bool:
    """Whether the last mark, which came back before the end, stood behind the whole of a recording."""
    echo = call.stream.playout.echoes[-1]
    heard_ms = call.stream.heard_ms_of(clip.audio, echo.returned_ns / 1e6)
    return not echo.cleared and heard_ms == clip.duration_ms


def test_a_call_is_dialled_held_interrupted_and_ended_after_its_goodbye(one_line: Server) -> None:
    """The main job, whole."""
    script = Script(Say(GREETING), Say(ANSWER), Say(CHANGE), [Say(GOODBYE), ToolCall("end_call")])
    callee = Callee(
        [
            HearPause(300),
            Speak(QUESTION),
            Hear(800),
            Speak(CORRECTION),
            HearPause(300),
            Speak(BYE),
            WaitForEnd(),
        ],
        rings_ms=50,
    )
    with one_line.scene(script, pace=Pace(speed=6)) as scene:
        scene.carrier.next_callee(callee)
        answer = one_line.request("POST", "/outgoing-call", {"phoneNumber": THEIR_NUMBER})
        call = scene.carrier.wait_for_call(DEADLINE_S)
        assert answer.status == 201
        assert answer.json["callSid"] == call.sid
        assert answer.json["status"] == "queued"
        assert answer.json["to"] == THEIR_NUMBER
        assert answer.json["agent"] == "operator"

        ending = scene.ending(call)
        stream, session = call.stream, scene.session()
        assert callee.failure is None
        assert call.faults == []
        statuses = [one.fields["CallStatus"] for one in call.requests if "/call-status" in one.url]
        assert statuses == ["initiated", "ringing", "in-progress", "completed"]
        assert [verb.tag for verb in twiml(call)] == ["Say", "Connect", "Say", "Hangup"]
        assert {verb.attrib["language"] for verb in twiml(call).iter("Say")} == {"ja-JP"}
        # The REST API ended the call, so the closing line, which stands behind the stream, was not needed.
        assert [said.text for said in call.said] == [OPENING]

        assert stream.playout.chunks[0].audio in GREETING.audio
        greeted = session.received_events("response.create")[0]
        assert "もしもし、こんにちは。" in greeted["response"]["instructions"]
        assert len(stream.playout.clears) == 1
        assert kinds_received(session) == [
            "session.update",
            "response.create",
            "conversation.item.truncate",
            "session.update",  # who says goodbye is not asked whether they are still there
            "conversation.item.create",
        ]
        assert heard_to_its_end(call, GOODBYE)
        assert [one.form.get("Status") for one in scene.carrier.requests if one.method == "POST"] == [
            None,
            ["completed"],
        ]
        assert ending.reason == "agent.ended"
        assert abs(ending.seconds - call.duration_s) < 0.5


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_that_comes_in_is_answered_whatever_the_webhooks_method(one_line: Server, method: str) -> None:
    """The Twilio console offers both."""
    callee = Callee([Hear(400), HangUp()])
    with one_line.scene(Script(Say(GREETING))) as scene:
        call = scene.ring(callee, agent="operator", method=method)
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        assert call.faults == []
        assert [verb.tag for verb in twiml(call)] == ["Say", "Connect", "Say", "Hangup"]
        assert [said.text for said in call.said] == [OPENING]
        assert call.stream.playout.chunks[0].audio in GREETING.audio


def test_an_agent_without_a_greeting_lets_the_caller_speak_first(one_line: Server) -> None:
    with one_line.scene(Script(Say(ANSWER))) as scene:
        callee = Callee([Speak(QUESTION), Hear(60), HangUp()])
        call = scene.ring(callee, agent="quiet")
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        assert kinds_received(scene.session()) == ["session.update"]
        assert call.stream.playout.chunks[0].arrived_ns / 1e6 > callee.spoken[0].voice_ends_ms


def test_what_the_caller_says_before_the_session_stands_is_not_lost(one_line: Server) -> None:
    """People say hello as soon as it clicks, and a session takes its time to be confirmed."""
    with one_line.scene(Script(Say(GREETING)), confirm_after_ms=700) as scene:
        call = scene.ring(Callee([Speak(QUESTION), Hear(60), HangUp()]), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        session = scene.session()
        confirmed_s = next(one.at_s for one in session.sent if one.event["type"] == "session.updated")
        assert [one for one in session.received if one.at_s < confirmed_s][1:] == []
        # The greeting is asked for ahead of what was kept: they are to hear it first.
        assert [one.event["type"] for one in session.received][1] == "response.create"
        session.wait_closed()
        assert session.heard_audio == bytes(call.stream.voice)


def test_marks_are_sent_once_a_second_and_at_each_items_end(one_line: Server) -> None:
    """One a delta would be five times the traffic for nothing."""
    first, second = words("One.", 1500), words("Two.", 500)
    with one_line.scene(Script([Say(first), Say(second)]), pace=Pace(delta_ms=100, speed=8)) as scene:
        call = scene.ring(Callee([HearPause(200), HangUp()]), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        playout = call.stream.playout
        marked_ms = [0.0]
        for echo in playout.echoes:
            sent = sum(len(chunk.audio) for chunk in playout.chunks if chunk.arrived_ns <= echo.asked_ns)
            marked_ms.append(sent / 8)
        assert {1500.0, 2000.0} <= set(marked_ms)
        gaps = [after - before for before, after in pairwise(marked_ms)]
        assert max(gaps) < 1300
        assert len(gaps) <= 4


def test_the_order_of_keys_in_twilios_messages_does_not_matter(one_line: Server) -> None:
    """JSON has none; the fast way through the decoder knows the usual one."""
    with one_line.scene(Script(Say(GREETING)), reversed_keys=True) as scene:
        call = scene.ring(Callee([HearPause(200), Speak(QUESTION), HangUp()]), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        session = scene.session()
        session.wait_closed()
        assert session.heard_audio == bytes(call.stream.voice)
