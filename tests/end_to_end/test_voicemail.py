"""Calls that a machine picks up: an answering machine, and a call screener."""

from __future__ import annotations

from callapp.simulators.clips import Clip
from callapp.simulators.model_script import Ask, Pace, Say, Script
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.phone import AnsweringMachine, Callee, CallScreener, Hear, HearPause, WaitForEnd
from callapp.simulators.phone import Say as Speak
from callapp.simulators.speech import Speech
from tests.stage import Scene, Server, words

GREETING = words("Hello, this is the clinic.", 1500)
MESSAGE = words("This is the clinic. Please call us back about your appointment.", 2500)
OF_THE_MACHINE = words("You have reached Bob. I cannot come to the phone. Leave a message.", 3200)
WRONG = words("Oh, hello Bob, how are you today? It is so nice to talk to you.", 3000)
HELLO = words("Hello?", 400)
WHO = words("Who is calling, and why? Say it after the tone, please.", 1800)
HERE = words("The clinic, about an appointment of Bob's.", 1200)
GO_AHEAD = words("Yes, this is Bob.", 500)
BYE = words("Goodbye.", 300)


def clinic(ask: Ask) -> Say:
    """A model that does as it is told, and else answers whatever it hears."""
    instructions = ask.payload.get("instructions", "")
    if "Please call us back" in instructions:
        return Say(MESSAGE)
    return Say(GREETING) if "this is the clinic" in instructions else Say(WRONG, pace=Pace())


def answered_by(scene: Scene) -> list[str]:
    """What Twilio has told of who picked up."""
    return [
        request.fields["AnsweredBy"]
        for call in scene.carrier.calls
        for request in call.requests
        if "/answered-by" in request.url
    ]


def holds(machine: AnsweringMachine | CallScreener, clip: Clip) -> bool:
    """Whether it is on the recording, but for the frames in which the call was ended."""
    return clip.audio[:-800] in machine.recorded


def test_a_message_is_left_after_the_beep_and_the_call_ends(one_line: Server) -> None:
    """The machine talks over the greeting and the model answers it; the recording has the message alone."""
    machine = AnsweringMachine(OF_THE_MACHINE)
    with one_line.scene(Script(otherwise=clinic)) as scene:
        call = scene.dial(machine, agent="caller", parameters={"name": "Bob"})
        assert scene.ending(call).reason == "agent.voicemail"
        assert answered_by(scene) == ["machine_end_beep"]
        assert call.faults == []
        assert holds(machine, MESSAGE)
        assert WRONG.audio[8_000:] not in machine.recorded
        one_line.wait_for_line(call.sid, "= answered by machine_end_beep", since=scene.since)
        asked = [one.get("response", {}) for one in scene.session().received_events("response.create")]
        assert "about Bob's appointment" in asked[-1]["instructions"]


def test_a_person_is_greeted_at_once_and_talked_to(one_line: Server) -> None:
    """Nobody waits for Twilio to make up its mind: that takes seconds."""
    goodbye = words("Thank you, that was all. Goodbye, and have a good day.", 1500)
    script = Script(Say(GREETING), [Say(goodbye), ToolCall("end_call")])
    callee = Callee([Hear(500), HearPause(), Speak(HELLO), WaitForEnd()], rings_ms=300)
    with one_line.scene(script) as scene:
        call = scene.dial(callee, agent="caller", parameters={"name": "Bob"})
        assert scene.model.attempts == 0  # it rings, and nobody at OpenAI is paid to wait
        assert scene.ending(call).reason == "agent.ended"
        assert callee.failure is None
        assert answered_by(scene) == ["human"]
        session = scene.session()
        first_audio_ms = call.stream.heard_voice_after(0)
        assert first_audio_ms is not None
        told_ms = next(one for one in session.sent if one.event["type"] == "response.created").at_s
        assert told_ms * 1000 - call.stream.began_ns / 1e6 < 1_600  # sooner than Twilio can know


def test_a_machine_is_hung_up_on_where_nothing_is_to_be_left(one_line: Server) -> None:
    with one_line.scene(Script(otherwise=clinic)) as scene:
        machine = AnsweringMachine(OF_THE_MACHINE)
        call = scene.dial(machine, agent="shy")
        assert scene.ending(call).reason == "agent.voicemail"
        assert not holds(machine, MESSAGE)


def test_the_model_notices_a_machine_that_twilio_was_not_asked_about(one_line: Server) -> None:
    """Nobody listens for a machine when a call comes in, or is not sure when one is too short."""
    short = words("Not here. Beep.", 900)

    def answer(ask: Ask) -> Say | ToolCall:
        return clinic(ask) if ask.payload.get("instructions") else ToolCall("report_voicemail")

    machine = AnsweringMachine(short, beeps=False)
    with one_line.scene(Script(otherwise=answer)) as scene:
        call = scene.ring(machine, agent="known")
        assert scene.ending(call).reason == "agent.voicemail"
        assert holds(machine, MESSAGE)
        (session,) = scene.model.sessions
        assert session.conversation.unanswered == []


def test_a_call_screener_is_answered_and_the_person_behind_it_talked_to(one_line: Server) -> None:
    def to_screener(ask: Ask) -> list[Say | ToolCall]:
        if "Who is calling" in ask.heard:
            return [Say(HERE)]
        return [Say(BYE), ToolCall("end_call")]

    script = Script(Say(words("Hello, this is the clinic.", 300)), otherwise=to_screener)
    screener = CallScreener(WHO, [Speak(GO_AHEAD), WaitForEnd()])
    with one_line.scene(script, speech=Speech([WHO, GO_AHEAD])) as scene:
        call = scene.dial(screener, agent="caller", parameters={"name": "Bob"})
        assert scene.ending(call).reason == "agent.ended"
        assert holds(screener, HERE)
        assert screener.failure is None
