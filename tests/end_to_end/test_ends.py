"""Every way a call can end. What holds of all of them is checked by the scene: nothing is left behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from callapp.simulators.model_faults import (
    INVALID_KEY,
    MODEL_NOT_FOUND,
    NO_CREDIT,
    Close,
    Expire,
    Fault,
    Refusal,
    Reset,
    SendError,
    SendRaw,
)
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_script import CutOff, Fail, Pace, Say, Script
from callapp.simulators.phone import Call, Callee, HangUp, Hear, HearPause, Press, WaitForEnd
from callapp.simulators.phone import Say as Speak
from tests.stage import DEADLINE_S, Scene, Server, kinds_received, words

HELLO = words("Hello?", 300)
LONG = words("A long story, told at length, with many words in it.", 4000)
SHORT = words("Yes?", 300)
CLOSING = "That was all."
SILENCE_S = 3.0
"""The longest that a caller may be left alone before they hear something."""


def heard_within(call: Call, since_s: float) -> float:
    """Wait for Twilio's own voice; return how long it took from a moment of ``time.monotonic()``."""
    call.wait_for(lambda: call.said, DEADLINE_S)
    return time.monotonic() - since_s


# -- the caller's side --------------------------------------------------------------------------


@pytest.mark.parametrize("talking", [False, True], ids=["in silence", "while the agent speaks"])
def test_the_caller_hangs_up(one_line: Server, talking: bool) -> None:
    with one_line.scene(Script(Say(LONG if talking else SHORT), otherwise=Say(SHORT))) as scene:
        call = scene.ring(Callee([HearPause(200) if not talking else Hear(400), HangUp()]), agent="host")
        session = scene.session()
        call.wait_for(lambda: call.ended, DEADLINE_S)
        session.wait_closed(1)
        assert session.close_code == 1000
        assert scene.ending(call).reason == "caller.hung_up"


def test_the_caller_hangs_up_before_the_models_session_stands(one_line: Server) -> None:
    with one_line.scene(confirm_after_ms=None) as scene:
        call, session = scene.ring(), scene.session()
        session.expect("session.update")
        call.hang_up()
        session.wait_closed(1)
        assert scene.ending(call).reason == "caller.hung_up"


def test_the_phones_socket_goes_away_without_a_word(one_line: Server) -> None:
    with one_line.scene() as scene:
        call, session = scene.live()
        call.drop_stream()
        session.wait_closed(1)
        assert scene.ending(call).reason == "twilio.disconnected"


def test_a_status_callback_ends_a_call_whose_stream_lives_on(one_line: Server) -> None:
    """The `stop` may be late or lost."""
    with one_line.scene() as scene:
        call, session = scene.live()
        answer = one_line.webhook("/call-status", CallSid=call.sid, CallStatus="completed")
        assert answer.status == 204
        session.wait_closed(1)
        assert scene.ending(call).reason == "caller.hung_up"


def test_somebody_ends_the_call_through_twilios_api(one_line: Server) -> None:
    with one_line.scene() as scene:
        call, session = scene.live()
        scene.carrier.end_call(call, "completed")
        session.wait_closed(1)
        assert scene.ending(call).reason == "caller.hung_up"


def test_a_phone_that_is_not_answered_gives_its_slot_back(one_line: Server) -> None:
    with one_line.scene() as scene:
        call = scene.dial(Callee(picks_up="busy", rings_ms=0))
        call.wait_ended(DEADLINE_S)
        assert call.status == "busy"
        assert scene.model.attempts == 0


# -- the model's side: no session ---------------------------------------------------------------


FALLBACK_NUMBER = "+819055556666"
HERE = words("This is a person. How can I help?", 900)


def refuse(how: Refusal | Reset | int) -> Callable[[Scene], None]:
    return lambda scene: scene.model.refuse_next(how, times=5)


NO_SESSION = [
    pytest.param(refuse(INVALID_KEY), "openai.refused", id="invalid key"),
    pytest.param(refuse(MODEL_NOT_FOUND), "openai.refused", id="unknown model"),
    pytest.param(refuse(NO_CREDIT), "openai.refused", id="no credit"),
]


@pytest.mark.parametrize(("fault", "reason"), NO_SESSION)
def test_without_a_model_the_caller_hears_the_closing_line(
    one_line: Server, fault: Callable[[Scene], None], reason: str
) -> None:
    """It stands in the TwiML behind the stream, so closing the stream is enough."""
    with one_line.scene() as scene:
        fault(scene)
        began_s = time.monotonic()
        call = scene.ring()
        assert heard_within(call, began_s) < SILENCE_S
        assert [said.text for said in call.said] == [CLOSING]
        assert scene.ending(call).reason == reason
        assert scene.model.attempts <= 1
        assert not [one for one in scene.carrier.requests if one.method == "POST"]


@pytest.mark.parametrize(("fault", "reason"), NO_SESSION[:1])
def test_without_a_model_and_a_closing_line_an_apology_is_spoken(
    one_line: Server, fault: Callable[[Scene], None], reason: str
) -> None:
    """Through the REST API: closing the stream would leave the caller with a dead line."""
    with one_line.scene() as scene:
        fault(scene)
        began_s = time.monotonic()
        call = scene.ring(agent="bare")
        assert heard_within(call, began_s) < SILENCE_S
        assert "sorry" in call.said[0].text
        assert call.said[0].language == "en-US"
        assert scene.ending(call).reason == reason
        assert len([one for one in scene.carrier.requests if one.method == "POST"]) == 1


@pytest.mark.parametrize("model", ["refused", "lost"])
def test_without_a_model_a_person_takes_the_call_after_an_apology(one_line: Server, model: str) -> None:
    """The closing line says goodbye; whoever is put through to somebody does not want to hear that."""
    with one_line.scene() as scene:
        person = Callee([Speak(HERE), WaitForEnd()], rings_ms=100)
        scene.carrier.phone_at(FALLBACK_NUMBER, person)
        if model == "refused":
            refuse(INVALID_KEY)(scene)
            call = scene.ring(agent="backed")
        else:
            call, session = scene.live(agent="backed")
            scene.model.refuse_next(INVALID_KEY, times=5)
            session.strike(Reset())
        call.wait_for(lambda: HERE.audio in bytes(call.talk), DEADLINE_S)
        assert [said.text.split(",")[0] for said in call.said] == ["We are sorry"]
        assert "hold" in call.said[0].text
        colleague = next(one for one in scene.carrier.calls if one.plan.to_number == FALLBACK_NUMBER)
        call.speak(HELLO)
        colleague.wait_for(lambda: HELLO.audio in bytes(colleague.talk), DEADLINE_S)
        colleague.hang_up()
        assert scene.ending(call).reason == "openai.refused"
        assert call.faults == colleague.faults == []
        assert not any(FALLBACK_NUMBER[1:] in line for line in one_line.lines[scene.since :])


def test_a_caller_whom_no_model_and_no_person_answers_hears_so(one_line: Server) -> None:
    with one_line.scene() as scene:
        scene.carrier.phone_at(FALLBACK_NUMBER, Callee(picks_up="busy", rings_ms=0))
        refuse(INVALID_KEY)(scene)
        call = scene.ring(agent="backed")
        call.wait_ended(DEADLINE_S)
        assert ["hold" in said.text for said in call.said] == [True, False]
        assert call.said[1].text.startswith("We are sorry, nobody can take your call")
        assert scene.ending(call).reason == "openai.refused"
        assert call.faults == []


def test_an_apology_that_cannot_be_spoken_ends_the_call_all_the_same(one_line: Server) -> None:
    with one_line.scene() as scene:
        scene.model.close()
        scene.carrier.fail_next(20500, 500, method="POST")
        call = scene.ring(agent="bare")
        assert scene.ending(call).reason == "openai.unreachable"
        assert call.said == []


def test_a_session_that_is_not_mu_law_is_never_played(one_line: Server) -> None:
    """It would be heard as static."""
    with one_line.scene(Script(Say(LONG)), confirm_format="audio/pcm") as scene:
        began_s = time.monotonic()
        call = scene.ring(agent="host")
        assert heard_within(call, began_s) < SILENCE_S
        assert scene.ending(call).reason == "openai.not_pcmu"
        assert call.stream.playout.chunks == []
        assert [said.text for said in call.said] == [CLOSING]


@pytest.mark.parametrize("field", ["audio.input.transcription", "audio.output.voice"])
def test_a_session_without_the_optional_fields_is_good_enough(one_line: Server, field: str) -> None:
    """Models come and go, and so do the fields that they take."""
    with one_line.scene(Script(Say(SHORT)), refuse_fields=[field]) as scene:
        call = scene.ring(Callee([HearPause(200), HangUp()]), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        session = scene.session()
        assert kinds_received(session) == ["session.update", "session.update", "response.create"]
        assert session.config["audio"]["input"]["format"]["type"] == "audio/pcmu"


def test_a_session_that_is_refused_altogether_ends_the_call(one_line: Server) -> None:
    with one_line.scene(refuse_fields=["audio.input.turn_detection"]) as scene:
        began_s = time.monotonic()
        call = scene.ring()
        assert heard_within(call, began_s) < SILENCE_S
        assert scene.ending(call).reason == "openai.session_rejected"
        assert kinds_received(scene.session()) == ["session.update", "session.update"]


# -- the model's side: in mid-call --------------------------------------------------------------


@pytest.mark.parametrize("fault", [Close(1000), Close(1011, "oops"), Reset(), Expire()], ids=repr)
def test_a_model_that_is_lost_in_mid_call_is_followed_by_another(one_line: Server, fault: Fault) -> None:
    with one_line.scene(Script(Say(SHORT))) as scene:
        call, session = scene.live(agent="host")
        session.wait_for(lambda: session.sent_events("response.done"), DEADLINE_S)
        session.strike(fault)
        second = scene.model.wait_for_session(6)
        second.wait_for(lambda: second.heard_audio, DEADLINE_S)
        told = [
            event["item"]["content"][0]["text"]
            for event in second.received_events("conversation.item.create")
        ]
        assert any("Do not greet again" in text for text in told)
        assert "greeting" not in json.dumps(second.received_events("response.create"))
        scene.hang_up(call)
        assert call.said == []


def test_an_answer_that_was_cut_short_by_the_service_does_not_end_the_call(one_line: Server) -> None:
    with one_line.scene(Script([Say(SHORT), CutOff()], Say(LONG))) as scene:
        callee = Callee([HearPause(200), Press("5#"), Speak(HELLO), Hear(300), HangUp()])
        call = scene.ring(callee, agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        keys = [line for line in one_line.lines[scene.since :] if "key pressed" in line]
        assert len(keys) == 2  # and not which: people type PINs


def test_a_model_that_says_there_is_no_credit_left_is_not_waited_for(one_line: Server) -> None:
    """It goes on sending nothing otherwise, and the caller sits in silence."""
    with one_line.scene() as scene:
        call, session = scene.live()
        began_s = time.monotonic()
        session.strike(SendError("insufficient_quota"))
        assert heard_within(call, began_s) < SILENCE_S
        assert scene.ending(call).reason == "openai.refused"


def test_responses_that_keep_failing_end_the_call_and_not_in_silence(one_line: Server) -> None:
    with one_line.scene(Script(otherwise=Fail())) as scene:
        call = scene.ring(Callee([Speak(HELLO)]))
        call.wait_for(lambda: call.said, DEADLINE_S)
        assert [said.text for said in call.said] == [CLOSING]
        assert scene.ending(call).reason == "openai.failed"


def test_one_response_that_fails_is_asked_for_again(one_line: Server) -> None:
    """Server errors pass."""
    with one_line.scene(Script(Fail(), Say(SHORT))) as scene:
        callee = Callee([Speak(HELLO), Hear(200), HangUp()])
        call = scene.ring(callee)
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        assert kinds_received(scene.session()) == ["session.update", "response.create"]


def test_a_response_that_fails_for_want_of_credit_is_not_asked_for_again(one_line: Server) -> None:
    """The next one would fail as well, and the caller hears nothing meanwhile."""
    with one_line.scene(Script(Fail("credit_balance_exhausted", "No.", "insufficient_quota"))) as scene:
        call = scene.ring(Callee([Speak(HELLO)]))
        assert scene.ending(call).reason == "openai.refused"
        assert [said.text for said in call.said] == [CLOSING]
        assert kinds_received(scene.session()) == ["session.update"]


def test_a_response_that_brings_nothing_is_cancelled_and_asked_for_again(one_line: Server) -> None:
    """Its socket answers pings, so nothing else would ever end the silence."""
    silent = Say(SHORT, pace=Pace(first_delta_after_ms=60_000))
    with one_line.scene(Script(silent, Say(SHORT))) as scene:
        callee = Callee([Speak(HELLO), Hear(200, within_s=30), HangUp()])
        call = scene.ring(callee)
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        kinds = kinds_received(scene.session())
        assert kinds[:2] == ["session.update", "response.cancel"]
        assert kinds[-1] == "response.create"


def test_odd_messages_of_the_model_end_nothing(one_line: Server) -> None:
    """What OpenAI adds to its protocol tomorrow must not end the calls of today."""
    oddities: list[str | bytes] = [
        "not JSON",
        "[]",
        '{"type": 5}',
        '{"type": "x"}',
        '{"type": "response.output_audio.delta"}',
        '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "content_index": 0,'
        ' "delta": "?"}',
        '{"type": "response.done", "response": {"id": "r", "output": [5]}}',
        b"\x00",
    ]
    with one_line.scene(Script(Say(SHORT))) as scene:
        call, session = scene.live()
        for oddity in oddities:
            session.strike(SendRaw(oddity))
        for code in ("response_cancel_not_active", "conversation_already_has_active_response", "x", None):
            session.strike(SendError(code))
        call.speak(HELLO)
        call.wait_for(lambda: call.stream.heard_ms() > 200, DEADLINE_S)
        scene.hang_up(call)


# -- our own side -------------------------------------------------------------------------------


def test_at_its_limit_a_call_is_told_goodbye_and_completed(one_line: Server) -> None:
    """Whoever is speaking: here the agent, who would go on for seconds."""
    goodbye = words("The time is up, goodbye.", 800)
    with one_line.scene(Script(Say(LONG), Say(goodbye))) as scene:
        callee = Callee([Speak(HELLO), WaitForEnd()])
        call = scene.ring(callee, agent="hurried")
        assert scene.ending(call).reason == "limit.call_seconds"
        assert callee.failure is None
        assert call.stream.heard_ms_of(goodbye.audio) == goodbye.duration_ms
        assert call.stream.heard_ms_of(LONG.audio) < 2000
        assert 2 < call.duration_s < 2 + 8
        assert call.said == []


def test_a_caller_who_talks_into_the_last_goodbye_does_not_call_it_off(one_line: Server) -> None:
    goodbye = words("The time is up, goodbye.", 1500)
    with one_line.scene(Script(Say(SHORT), Say(goodbye), otherwise=Say(LONG)), pace=Pace(speed=2)) as scene:
        callee = Callee([Speak(HELLO), Hear(800), Speak(HELLO), WaitForEnd()])
        call = scene.ring(callee, agent="hurried")
        assert scene.ending(call).reason == "limit.call_seconds"
        assert call.stream.heard_ms_of(goodbye.audio) == goodbye.duration_ms
        assert call.duration_s < 2 + 8


def test_the_end_of_a_call_of_which_both_sides_tell_is_told_once(one_line: Server) -> None:
    """`stop`, the status callback and the close of the socket all say the same."""
    with one_line.scene(Script([Say(SHORT), ToolCall("end_call")])) as scene:
        call = scene.dial(Callee([Speak(HELLO), WaitForEnd()], rings_ms=0), agent="quiet")
        assert scene.ending(call).reason == "agent.ended"
        lines = [line for line in one_line.lines[scene.since :] if "x call ended" in line]
        assert len(lines) == 1


def test_every_line_of_a_call_is_an_object_where_that_is_asked_for(start: Callable[..., Server]) -> None:
    """Gunicorn's own as well: a collector drops, or chokes on, what it cannot parse."""
    server = start(LOG_FORMAT="json")
    with server.scene(Script([Say(SHORT), ToolCall("end_call")])) as scene:
        call = scene.dial(Callee([Speak(HELLO), WaitForEnd()], rings_ms=0), agent="quiet")
        call.wait_ended(DEADLINE_S)
        server.wait_for_line("x call ended: agent.ended", call.sid)
    server.terminate()
    assert server.wait(DEADLINE_S) == 0
    lines = [json.loads(line) for line in server.lines]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    ended = [line for line in lines if line["message"].startswith("x call ended")]
    assert [line["call_sid"] for line in ended] == [call.sid]
