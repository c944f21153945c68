"""Agents with parameters, and agents with tools."""

from __future__ import annotations

import json
import os
from itertools import groupby
from pathlib import Path

import pytest

from callapp.simulators.clips import Clip
from callapp.simulators.model_faults import Resume, Stall
from callapp.simulators.model_script import Ask, Pace, Say, Script
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_session import Session
from callapp.simulators.phone import Call, Callee, HangUp, Hear, WaitForEnd
from callapp.simulators.phone import Say as Speak
from callapp.simulators.sound import FRAME_BYTES, FRAME_MS, is_voiced
from tests.end_to_end.test_doors import CONNECTED, STOP, close_of, start, upgraded
from tests.end_to_end.test_goodbye import outputs
from tests.stage import DEADLINE_S, HUNG_UP, THEIR_NUMBER, Server, has_heard, kinds_received, words

QUESTION = words("When are you open?", 400)
ANSWER = words("From ten to seven.", 500)
LONG = words("A long story, told at length, with many words in it.", 3000)
SHORT = words("Yes?", 300)
LINE = words("One moment.", 500)
BUSY_MS = 1_000
CLOSING = "That was all."


def prompt(session: Session) -> str:
    return str(session.expect("session.update")["session"]["instructions"]).strip()


def outputs_raw(session: Session) -> list[str]:
    """What the model was told of its tool calls, as text."""
    return [one["item"]["output"] for one in session.received_events("conversation.item.create")]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe, for which the tool `waits` waits."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


# -- parameters ---------------------------------------------------------------------------------


def test_the_parameters_of_a_call_stand_in_its_prompt(one_line: Server) -> None:
    long = "x" * 1000  # longer than a <Parameter> may be: the token's row has it
    with one_line.scene() as scene:
        call = scene.dial(agent="named", parameters={"name": "花子 <b>", "age": long})
        assert prompt(scene.session()) == f"You speak with 花子 <b>, who is {long}."
        call.wait_for(lambda: call.streams, DEADLINE_S)
        assert call.stream.parameters["name"] == "花子 <b>"
        assert "age" not in call.stream.parameters
        call.hang_up()
        assert scene.ending(call).reason in HUNG_UP


def test_the_parameters_of_a_stream_stand_in_its_prompt_too(one_line: Server) -> None:
    """TwiML that somebody else wrote around our stream can add some."""
    call_sid = "CA" + "7" * 32
    with one_line.scene() as scene:
        begin = start(one_line.token(call_sid, "named"), call_sid=call_sid)
        begin["start"]["customParameters"] |= {"name": "Taro", "age": "41"}
        with upgraded(one_line, CONNECTED, begin) as stream:
            assert prompt(scene.session()) == "You speak with Taro, who is 41."
            stream.send(json.dumps(STOP))
            assert close_of(stream) == 1000


def test_a_parameter_that_the_prompt_needs_and_nobody_gives_is_asked_for(one_line: Server) -> None:
    with one_line.scene() as scene:
        body = {"phoneNumber": THEIR_NUMBER, "agent": "named", "parameters": {"name": "Hanako"}}
        answer = one_line.request("POST", "/outgoing-call", body)
        assert answer.status == 400
        assert "age" in answer.json["detail"]
        assert scene.carrier.calls == []


def test_a_call_that_comes_in_without_its_parameters_is_answered_all_the_same(one_line: Server) -> None:
    with one_line.scene() as scene:
        call = scene.ring(agent="named")
        assert prompt(scene.session()) == "You speak with , who is ."
        scene.hang_up(call)
        assert any("age" in line and "name" in line for line in scene.warnings())


# -- tools --------------------------------------------------------------------------------------


def test_a_tool_is_offered_run_and_answered_once_and_then_the_model_goes_on(one_line: Server) -> None:
    told: list[str] = []

    def answer(ask: Ask) -> Say:
        told.extend(ask.tool_outputs.values())
        return Say(ANSWER)

    script = Script([Say(SHORT), ToolCall("opening_hours", {"day": "Monday"})], answer)
    with one_line.scene(script) as scene:
        callee = Callee([Speak(QUESTION), Hear(700), HangUp()])
        call = scene.ring(callee, agent="handy")
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        session = scene.session()
        offered = session.received_events("session.update")[0]["session"]["tools"]
        assert [one["name"] for one in offered] == ["end_call", "opening_hours", "breaks", "waits"]
        assert offered[1]["parameters"]["required"] == ["day"]
        assert kinds_received(session) == ["session.update", "conversation.item.create", "response.create"]
        assert told == ["Monday: 10:00-19:00"]
        assert b"".join(c.audio for c in call.stream.playout.chunks) == SHORT.audio + ANSWER.audio


def test_whatever_becomes_of_tool_calls_each_is_answered_once_and_one_response_follows(
    one_line: Server,
) -> None:
    """A call without an output would leave the model waiting; two outputs, or two requests, are an error."""
    faulty = {
        "technical reason": ToolCall("breaks"),
        "no tool": ToolCall("invented", {"a": 1}),
        "not valid JSON": ToolCall("opening_hours", '{"day": "Mon'),
        "not a JSON object": ToolCall("opening_hours", "[]"),
        "'day' is missing": ToolCall("opening_hours", {}),
        "no parameter": ToolCall("opening_hours", {"day": "Monday", "hour": 1}),
    }
    with one_line.scene(Script(list(faulty.values()), Say(ANSWER))) as scene:
        scene.expects_traceback = True
        callee = Callee([Speak(QUESTION), Hear(300), HangUp()])
        call = scene.ring(callee, agent="handy")
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        session = scene.session()
        errors = [output["error"] for output in outputs(session)]
        assert len(errors) == len(faulty)
        for expected in faulty:
            assert len([error for error in errors if expected in error]) == 1, errors
        assert session.conversation.unanswered == []
        assert kinds_received(session)[-2:] == ["conversation.item.create", "response.create"]
        assert len(session.received_events("response.create")) == 1


def silences_ms(call: Call, until: Clip) -> list[int]:
    """How long the caller heard nothing, again and again, from their last word to the end of an answer."""
    stream = call.stream
    track = stream.heard_track()
    begin = int(stream.callee.spoken[0].voice_ends_ms) // FRAME_MS
    end = track.find(until.audio[-400:]) // FRAME_BYTES
    frames = [is_voiced(track[at * FRAME_BYTES : (at + 1) * FRAME_BYTES]) for at in range(begin, end)]
    return [len(list(run)) * FRAME_MS for voiced, run in groupby(frames) if not voiced]


def test_a_slow_tool_leaves_nobody_in_silence(one_line: Server, pipe: Path) -> None:
    """The line comes in after a second, from the agent's file; what the tool found is said after it."""

    def answer(ask: Ask) -> Say | ToolCall:
        if "One moment." in ask.payload.get("instructions", ""):
            return Say(LINE)
        return Say(ANSWER) if ask.tool_outputs else ToolCall("waits", {"path": str(pipe)})

    with one_line.scene(Script(otherwise=answer)) as scene:
        call = scene.ring(Callee([Speak(QUESTION), WaitForEnd()]), agent="patient")
        session = scene.session()
        call.wait_for(lambda: has_heard(call, LINE), DEADLINE_S)
        assert outputs_raw(session) == []  # the line has not waited for the tool
        pipe.write_text("From ten to seven.")
        call.wait_for(lambda: has_heard(call, ANSWER), DEADLINE_S)
        scene.hang_up(call)
        assert outputs_raw(session) == ["From ten to seven."]
        # Half a second of it is the model's own voice detection; a busy machine adds to it.
        assert max(silences_ms(call, ANSWER)) <= 1_500 + BUSY_MS


def test_a_tool_that_is_at_work_while_the_caller_interrupts_is_answered_when_it_is_done(
    one_line: Server, pipe: Path
) -> None:
    """The response that called it is history by then; the call for an output is not."""
    script = Script([Say(LONG), ToolCall("waits", {"path": str(pipe)})], Say(SHORT), Say(ANSWER))
    with one_line.scene(script) as scene:
        callee = Callee([Speak(QUESTION), Hear(500), Speak(QUESTION), Hear(200), WaitForEnd()])
        call = scene.ring(callee, agent="handy")
        session = scene.session()
        # The model answers the interruption while the tool is still at work.
        call.wait_for(lambda: has_heard(call, SHORT), DEADLINE_S)
        assert outputs_raw(session) == []
        pipe.write_text("done at last")
        call.wait_for(lambda: has_heard(call, ANSWER), DEADLINE_S)
        assert outputs_raw(session) == ["done at last"]
        assert len(session.received_events("response.create")) == 1
        assert len(session.received_events("conversation.item.truncate")) == 1
        scene.hang_up(call)


def test_an_output_that_crosses_the_models_own_answer_is_answered_too(one_line: Server, pipe: Path) -> None:
    """It is sent while the caller seems to speak; the model has heard them end, and answers without it."""
    script = Script([Say(LONG), ToolCall("waits", {"path": str(pipe)})], Say(SHORT), Say(ANSWER))
    with one_line.scene(script) as scene:
        callee = Callee([Speak(QUESTION), Hear(500), Speak(QUESTION), WaitForEnd()])
        call = scene.ring(callee, agent="handy")
        session = scene.session()
        session.wait_for(
            lambda: len(session.sent_events("input_audio_buffer.speech_started")) == 2, DEADLINE_S
        )
        session.strike(Stall())  # a very slow network
        call.wait_for(lambda: len(callee.spoken) == 2 and not callee.speaking, DEADLINE_S)
        ended_ms = callee.spoken[1].voice_ends_ms
        call.wait_for(lambda: len(call.stream.voice) / 8 > ended_ms + 700, DEADLINE_S)
        pipe.write_text("done at last")
        one_line.wait_for_line("> AnswerTool", since=scene.since)
        session.strike(Resume())
        call.wait_for(lambda: has_heard(call, SHORT), DEADLINE_S)
        assert outputs_raw(session) == ["done at last"]
        call.wait_for(lambda: has_heard(call, ANSWER), 5)
        assert len(session.received_events("response.create")) == 1
        scene.hang_up(call)


def test_a_tool_that_is_done_after_the_call_is_over_answers_nobody(one_line: Server, pipe: Path) -> None:
    with one_line.scene(Script(ToolCall("waits", {"path": str(pipe)}))) as scene:
        call = scene.ring(Callee([Speak(QUESTION)]), agent="handy")
        session = scene.session()
        session.wait_for(lambda: session.sent_events("response.done"), DEADLINE_S)
        one_line.wait_for_line(call.sid, "= tool waits", since=scene.since)
        scene.hang_up(call)
        session.wait_closed()
        pipe.write_text("too late")
        assert outputs_raw(session) == []


def test_a_tool_call_that_was_cut_off_half_written_is_not_run(one_line: Server) -> None:
    """The caller spoke while the model was still writing its arguments."""
    slow = ToolCall("opening_hours", json.dumps({"day": "M" * 400}), pace=Pace(speed=0.3))
    with one_line.scene(Script([Say(LONG), slow], Say(SHORT))) as scene:
        callee = Callee([Speak(QUESTION), Hear(500), Speak(QUESTION), Hear(200), HangUp()])
        call = scene.ring(callee, agent="handy")
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        session = scene.session()
        assert len(session.received_events("response.cancel")) == 1
        (output,) = outputs(session)
        assert "cut off" in output["error"]
        assert not any("= tool" in line for line in one_line.lines[scene.since :])
