"""``end_call``: the goodbye is heard to its end, and only then the line closes."""

from __future__ import annotations

import json

import pytest

from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import Pace, Say, Script
from callapp.simulators.model_session import Session
from callapp.simulators.phone import Callee, HangUp, Hear, PhoneStream, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.end_to_end.test_a_call import heard_to_its_end
from tests.stage import Server, words

BYE = words("Bye.", 300)
WAIT = words("Wait!", 400)
GOODBYE = words("Thank you, and goodbye.", 600)
LONG_GOODBYE = words("Thank you so very much for having called us today, and goodbye.", 3000)
YES = words("Yes?", 300)
CLOSING = "That was all."

SAID_WITH_THE_CALL = Script([Say(GOODBYE), ToolCall("end_call", {"reason": "done"})])


def outputs(session: Session) -> list[dict[str, str]]:
    """What the model was told of its tool calls, in order."""
    items = [one["item"] for one in session.received_events("conversation.item.create")]
    return [json.loads(item["output"]) for item in items if item["type"] == "function_call_output"]


def test_a_goodbye_said_with_the_call_is_all_there_is(one_line: Server) -> None:
    """A second one would be asked for if the tool's answer were treated like any other."""
    with one_line.scene(SAID_WITH_THE_CALL) as scene:
        call = scene.ring(Callee([Speak(BYE), WaitForEnd()]))
        assert scene.ending(call).reason == "agent.ended"
        session = scene.session()
        assert heard_to_its_end(call, GOODBYE)
        assert len(outputs(session)) == 1
        assert session.received_events("response.create") == []
        assert call.said == []


def test_an_end_without_a_goodbye_is_asked_for_one(one_line: Server) -> None:
    """The tool's output tells the model what is missing, and one response is asked for."""
    with one_line.scene(Script(ToolCall("end_call"), Say(GOODBYE))) as scene:
        call = scene.ring(Callee([Speak(BYE), WaitForEnd()]))
        assert scene.ending(call).reason == "agent.ended"
        session = scene.session()
        assert heard_to_its_end(call, GOODBYE)
        (output,) = outputs(session)
        assert "goodbye" in output["next"]
        assert len(session.received_events("response.create")) == 1
        assert b"".join(chunk.audio for chunk in call.stream.playout.chunks) == GOODBYE.audio


def test_a_caller_who_interrupts_the_goodbye_keeps_the_line(one_line: Server) -> None:
    """Then the call ends when the model ends it again."""
    script = Script(
        [Say(LONG_GOODBYE), ToolCall("end_call")],
        Say(YES),
        [Say(GOODBYE), ToolCall("end_call")],
    )
    with one_line.scene(script) as scene:
        callee = Callee([Speak(BYE), Hear(800), Speak(WAIT), Hear(200), Speak(BYE), WaitForEnd()])
        call = scene.ring(callee)
        assert scene.ending(call).reason == "agent.ended"
        session = scene.session()
        assert callee.failure is None
        assert call.stream.heard_ms_of(LONG_GOODBYE.audio) < 2000
        assert heard_to_its_end(call, GOODBYE)
        assert len(outputs(session)) == 2
        assert [one.form.get("Status") for one in scene.carrier.requests if one.method == "POST"] == [
            ["completed"]
        ]


def test_an_end_that_comes_with_an_interrupted_goodbye_is_not_carried_out(one_line: Server) -> None:
    """The caller spoke before the model had finished: its `end_call` was a plan that they crossed."""
    script = Script(
        [Say(LONG_GOODBYE, pace=Pace(speed=1.5)), ToolCall("end_call")],
        Say(YES),
    )
    with one_line.scene(script) as scene:
        callee = Callee([Speak(BYE), Hear(800), Speak(WAIT), Hear(200), HangUp()])
        call = scene.ring(callee)
        assert scene.ending(call).reason == "caller.hung_up"
        session = scene.session()
        assert callee.failure is None
        assert outputs(session) == []
        assert b"".join(c.audio for c in call.stream.playout.chunks).endswith(YES.audio)
        assert not [one for one in scene.carrier.requests if one.method == "POST"]


@pytest.mark.parametrize("how", ["refused", "dropped"])
def test_when_twilio_does_not_complete_the_call_the_twiml_after_the_stream_ends_it(
    one_line: Server, how: str
) -> None:
    with one_line.scene(SAID_WITH_THE_CALL) as scene:
        if how == "refused":
            scene.carrier.fail_next(20500, 500, method="POST")
        else:
            scene.carrier.break_next("drop", method="POST")
        call = scene.ring(Callee([Speak(BYE), WaitForEnd()]))
        assert scene.ending(call).reason == "agent.ended"
        assert heard_to_its_end(call, GOODBYE)
        assert [said.text for said in call.said] == [CLOSING]
        assert call.faults == []


def test_a_twilio_that_never_answers_holds_nobody_on_the_line(one_line: Server) -> None:
    with one_line.scene(SAID_WITH_THE_CALL) as scene:
        scene.carrier.break_next("hang", method="POST")
        callee = Callee([Speak(BYE), WaitForEnd()])
        call = scene.ring(callee)
        call.wait_ended(12)
        assert callee.failure is None
        assert heard_to_its_end(call, GOODBYE)
        assert [said.text for said in call.said] == [CLOSING]
        # The closing line, some seconds after the goodbye: silence, but not for long.
        heard_s = call.stream.playout.echoes[-1].returned_ns / 1e9
        assert call.duration_s - heard_s < 6
        assert scene.ending(call).reason == "agent.ended"


def test_a_mark_that_never_comes_back_does_not_keep_the_line_open(
    one_line: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most what was unheard, and two seconds."""
    monkeypatch.setattr(PhoneStream, "echoes", lambda self, now_ns: [])
    with one_line.scene(SAID_WITH_THE_CALL) as scene:
        callee = Callee([Speak(BYE), WaitForEnd()])
        call = scene.ring(callee)
        assert scene.ending(call).reason == "agent.ended"
        assert callee.failure is None
        stream = call.stream
        heard_out_ms = stream.playout.chunks[-1].ends_ns / 1e6
        assert stream.heard_ms_of(GOODBYE.audio) == GOODBYE.duration_ms
        assert 0 <= len(stream.voice) / 8 - heard_out_ms < 2000


def test_end_call_beside_another_tool_waits_for_both(one_line: Server) -> None:
    """The answer of the other tool is given, and no further response is asked for."""
    script = Script([Say(GOODBYE), ToolCall("opening_hours", {"day": "Monday"}), ToolCall("end_call")])
    with one_line.scene(script) as scene:
        call = scene.ring(Callee([Speak(BYE), WaitForEnd()]), agent="handy")
        assert scene.ending(call).reason == "agent.ended"
        session = scene.session()
        assert heard_to_its_end(call, GOODBYE)
        sent = session.received_events("conversation.item.create")
        assert len({one["item"]["call_id"] for one in sent}) == len(sent) == 2
        assert session.received_events("response.create") == []
