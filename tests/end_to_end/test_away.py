"""Calls that leave their stream, for keys and for people, and come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from time import sleep

import pytest

from callapp.simulators.model_faults import Reset
from callapp.simulators.model_script import Ask, Say, Script
from callapp.simulators.model_script import Call as ToolCall
from callapp.simulators.model_session import Session
from callapp.simulators.phone import (
    Call,
    Callee,
    Ivr,
    Menu,
    Pause,
    Press,
    WaitForEnd,
)
from callapp.simulators.phone import Say as Speak
from callapp.simulators.phone_record import Source
from callapp.simulators.room import MUSIC
from callapp.simulators.speech import Speech
from callapp.telephony.rest import LIVE_TIMEOUT_S
from tests.end_to_end.conftest import started
from tests.end_to_end.test_doors import CONNECTED, close_of, start, upgraded
from tests.stage import DEADLINE_S, HUNG_UP, SALES_NUMBER, Scene, Server, has_heard, words

REQUEST = words("Sales, please.", 400)
HOLD = words("I am putting you through.", 500)
SORRY = words("Nobody is there.", 500)
THANKS = words("Thank you.", 300)
GOODBYE = words("Goodbye.", 300)
COLLEAGUE = words("Sales, hello?", 600)
LATE_S = LIVE_TIMEOUT_S + 0.5
SUMMARY = "A customer wants a quote for ten bicycles."
MAIN_MENU = words("For sales press one, for support press two.", 900)
SUPPORT_MENU = words("Please type your customer number.", 700)
SUPPORT = words("Support, one moment.", 600)
SPEECH = Speech([REQUEST, HOLD, SORRY, THANKS, GOODBYE, COLLEAGUE, MAIN_MENU, SUPPORT_MENU, SUPPORT])


def transfer(*, warm: bool = False) -> list[Say | ToolCall]:
    arguments = {"destination": "sales", "warm": warm, "summary": SUMMARY if warm else ""}
    return [Say(HOLD), ToolCall("transfer_call", arguments)]


class Told:
    """A script's answer that keeps what the tools returned."""

    def __init__(self, *answer: Say | ToolCall) -> None:
        self.outputs: list[str] = []
        self._answer = answer

    def __call__(self, ask: Ask) -> list[Say | ToolCall]:
        self.outputs += ask.tool_outputs.values()
        return list(self._answer)


def dialled(scene: Scene) -> Call:
    """The call to the colleague, once there is one."""
    while True:
        call = scene.carrier.wait_for_call(DEADLINE_S)
        if call.plan.to_number == SALES_NUMBER:
            return call


def talk_with_colleague(scene: Scene, call: Call) -> Call:
    """They hear each other, and we are out of it; then the colleague puts the phone down."""
    colleague = dialled(scene)
    call.wait_for(lambda: COLLEAGUE.audio in bytes(call.talk), DEADLINE_S)
    line = scene.server.wait_for_line(call.sid, "x call ended: agent.transferred", since=scene.since)
    assert line
    call.speak(THANKS)
    colleague.wait_for(lambda: THANKS.audio in bytes(colleague.talk), DEADLINE_S)
    colleague.hang_up()
    assert scene.ending(call).reason == "agent.transferred"
    assert call.faults == colleague.faults == []
    return colleague


def answer_late(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The carrier does what it is asked to do with a call, and does not say so in time, the first time."""
    redirect, late = scene.carrier.redirect_call, [LATE_S]

    def redirect_and_answer_late(call: Call, source: Source) -> None:
        redirect(call, source)
        sleep(late.pop() if late else 0)

    monkeypatch.setattr(scene.carrier, "redirect_call", redirect_and_answer_late)


def told_by_text(session: Session) -> list[str]:
    """What a session was told in words."""
    items = [one["item"] for one in session.received_events("conversation.item.create")]
    return [part["text"] for item in items for part in item.get("content", ())]


# -- transfers, cold ----------------------------------------------------------------------------


def test_a_colleague_who_answers_has_the_caller(one_line: Server) -> None:
    """Of a call that we placed, the carrier also tells its end; that is no hanging up."""
    with one_line.scene(Script(transfer())) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee([Speak(COLLEAGUE)], rings_ms=100))
        call = scene.dial(Callee([Speak(REQUEST)], rings_ms=0), agent="clerk")
        colleague = talk_with_colleague(scene, call)
        assert call.stream.heard_ms_of(HOLD.audio) == HOLD.duration_ms  # to its end, before it left
        assert colleague.plan.from_number == call.plan.from_number
        assert len(scene.model.sessions) == 1


def test_a_caller_whom_nobody_takes_is_back_with_the_agent_who_knows(one_line: Server) -> None:
    told = Told(Say(SORRY))
    with one_line.scene(Script(transfer(), told, [Say(GOODBYE), ToolCall("end_call")])) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee(picks_up="no-answer", rings_ms=100))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        call.wait_for(lambda: has_heard(call, SORRY), DEADLINE_S)
        call.speak(THANKS)
        assert scene.ending(call).reason == "agent.ended"
        [output] = told.outputs
        assert "nobody answered" in output
        assert len(call.streams) == 2
        assert len(scene.model.sessions) == 1  # the same one, that remembers it all
        assert call.faults == []


def test_a_caller_whom_the_carrier_takes_away_without_saying_so_in_time_is_away(
    one_line: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with one_line.scene(Script(transfer())) as scene:
        answer_late(scene, monkeypatch)
        scene.carrier.phone_at(SALES_NUMBER, Callee([Speak(COLLEAGUE)], rings_ms=LATE_S * 1000 + 1_000))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        talk_with_colleague(scene, call)


def test_a_caller_who_hangs_up_while_it_rings_has_hung_up(one_line: Server) -> None:
    with one_line.scene(Script(transfer())) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee(rings_ms=20_000))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        colleague = dialled(scene)
        call.wait_for(lambda: colleague.status == "ringing", DEADLINE_S)
        call.hang_up()
        assert scene.ending(call).reason == "caller.hung_up"
        colleague.wait_ended(DEADLINE_S)
        assert colleague.status == "canceled"


# -- transfers, warm ----------------------------------------------------------------------------


def test_a_colleague_who_presses_1_has_the_caller_and_knows_what_it_is_about(one_line: Server) -> None:
    with one_line.scene(Script(transfer(warm=True))) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee([Pause(300), Press("1"), Pause(300), Speak(COLLEAGUE)]))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        colleague = talk_with_colleague(scene, call)
        assert [said.text for said in colleague.said[:2]] == [SUMMARY, "To take the call, press 1."]
        assert MUSIC in bytes(call.talk)


def test_a_caller_whom_the_colleague_does_not_take_is_back_with_the_agent(one_line: Server) -> None:
    told = Told(Say(SORRY))
    with one_line.scene(Script(transfer(warm=True), told, [Say(GOODBYE), ToolCall("end_call")])) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee([Pause(100), Press("2"), WaitForEnd()]))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        call.wait_for(lambda: has_heard(call, SORRY), DEADLINE_S)
        call.speak(THANKS)
        assert scene.ending(call).reason == "agent.ended"
        [output] = told.outputs
        assert "the colleague did not take the call" in output
        assert MUSIC in bytes(call.talk)
        assert len(call.streams) == 2
        assert len(scene.model.sessions) == 1
        assert call.faults == []


def test_a_caller_who_hangs_up_while_the_colleague_listens_leaves_nobody_on_the_line(
    one_line: Server,
) -> None:
    with one_line.scene(Script(transfer(warm=True))) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee([WaitForEnd(within_s=60)]))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        colleague = dialled(scene)
        call.wait_for(lambda: colleague.said, DEADLINE_S)
        call.hang_up()
        assert scene.ending(call).reason == "caller.hung_up"
        colleague.wait_ended(DEADLINE_S)


def test_a_colleague_who_cannot_be_called_at_all_brings_the_caller_back(one_line: Server) -> None:
    told = Told(Say(SORRY))
    with one_line.scene(Script(transfer(warm=True), told)) as scene:
        # The first request takes the caller away; refused is the second, the dial.
        scene.carrier.fail_next(21215, after=1, method="POST")
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        call.wait_for(lambda: len(call.streams) == 2 and has_heard(call, SORRY), DEADLINE_S)
        scene.hang_up(call)
        assert "nobody took the call" in told.outputs[0]


def test_a_caller_whom_the_carrier_takes_away_without_saying_so_in_time_is_brought_back(
    one_line: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody had been rung: they heard music until they hung up."""
    told = Told(Say(SORRY))
    with one_line.scene(Script(transfer(warm=True), told)) as scene:
        answer_late(scene, monkeypatch)
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        call.wait_for(lambda: len(call.streams) == 2 and has_heard(call, SORRY), DEADLINE_S)
        scene.hang_up(call)
        assert MUSIC in bytes(call.talk)
        assert "did not come about" in told.outputs[0]
        assert len(scene.model.sessions) == 1


def test_a_carrier_that_refuses_leaves_the_caller_with_the_agent(one_line: Server) -> None:
    told = Told(Say(SORRY))
    with one_line.scene(Script(transfer(), told)) as scene:
        call, _ = scene.live(agent="clerk")
        scene.carrier.fail_next(20429, 429, method="POST")
        call.speak(REQUEST)
        call.wait_for(lambda: has_heard(call, SORRY), DEADLINE_S)
        assert "Not transferred" in told.outputs[0]
        assert len(call.streams) == 1
        scene.hang_up(call)


# -- keys for a machine -------------------------------------------------------------------------


def machine(*, hears_tones: bool) -> Ivr:
    return Ivr(
        Menu(MAIN_MENU, {"1": Menu(THANKS), "2": Menu(SUPPORT_MENU, {"4": Menu(SUPPORT)})}),
        hears_tones=hears_tones,
    )


@pytest.mark.parametrize(("agent", "hears_tones"), [("walker", False), ("whistler", True)])
def test_a_menu_is_walked_to_its_end(one_line: Server, agent: str, hears_tones: bool) -> None:
    """By keys that the carrier sends, or as tones that the machine's own filter takes for keys."""
    heard: list[str] = []

    def listen(answer: ToolCall | Say) -> object:
        def respond(ask: Ask) -> list[ToolCall | Say]:
            heard.append(ask.heard)
            return [answer]

        return respond

    script = Script(
        listen(ToolCall("send_digits", {"digits": "2"})),  # type: ignore[arg-type]
        listen(ToolCall("send_digits", {"digits": "w4"})),  # type: ignore[arg-type]
        listen(Say(GOODBYE)),  # type: ignore[arg-type]
    )
    with one_line.scene(script, speech=SPEECH) as scene:
        ivr = machine(hears_tones=hears_tones)
        call = scene.dial(ivr, agent=agent)
        call.wait_for(lambda: has_heard(call, GOODBYE), DEADLINE_S)
        assert heard == [MAIN_MENU.text, SUPPORT_MENU.text, SUPPORT.text]
        assert (ivr.path, ivr.wrong_keys, ivr.keys_heard) == ("24", "", "24")
        assert [played.digits for played in call.played] == ([] if hears_tones else ["2", "w4"])
        assert len(call.streams) == (1 if hears_tones else 3)
        assert len(scene.model.sessions) == 1
        assert call.faults == []
        call.hang_up()
        assert scene.ending(call).reason in HUNG_UP


def test_a_caller_who_hangs_up_while_keys_are_sent_is_missed_in_time(one_line: Server) -> None:
    """Nobody tells of it: of a call that came in, the carrier reports no end."""
    script = Script([ToolCall("send_digits", {"digits": "w" * 40})])
    with one_line.scene(script) as scene:
        call = scene.dial(Callee([Speak(REQUEST)], rings_ms=0), agent="walker")
        call.wait_for(lambda: call.played, DEADLINE_S)
        call.hang_up()
        assert scene.ending(call).reason in HUNG_UP


# -- the door -----------------------------------------------------------------------------------


def test_a_second_stream_is_let_in_only_while_the_call_is_away(one_line: Server) -> None:
    """Its token alone is not enough."""
    with one_line.scene() as scene:
        call, session = scene.live(agent="clerk")
        token = one_line.token(call.sid, "clerk")
        with upgraded(one_line, CONNECTED, start(token, call_sid=call.sid)) as stream:
            assert close_of(stream) == 1008
        assert not session.closed
        scene.hang_up(call)


# -- another session, another process -------------------------------------------------------------


@pytest.fixture(scope="module")
def two_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two servers with one database; the second goes on with what the first began."""
    folder = tmp_path_factory.mktemp("two-servers")
    with ExitStack() as stack:
        first = stack.enter_context(started(folder))
        second = stack.enter_context(started(folder, PUBLIC_URL=first.url, **first.services))
        yield first, second


def goes_on(ask: Ask) -> list[Say | ToolCall]:
    """Transfer the caller; a session that is told of it in words goes on from there."""
    if not told_by_text(ask.session):
        return transfer()
    return [Say(SORRY)] if ask.number == 1 else [Say(GOODBYE), ToolCall("end_call")]


def lose_the_model(scene: Scene, session: Session) -> None:
    """The session is gone, and another is refused."""
    scene.model.credit = False
    session.strike(Reset())
    scene.server.wait_for_line("credit_balance_exhausted", since=scene.since)


def test_a_caller_who_is_taken_when_the_session_is_gone_was_transferred(one_line: Server) -> None:
    with one_line.scene(Script(otherwise=goes_on), speech=SPEECH) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee([Speak(COLLEAGUE)], rings_ms=1_500))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        session = scene.session()
        colleague = dialled(scene)
        lose_the_model(scene, session)
        call.wait_for(lambda: COLLEAGUE.audio in bytes(call.talk), DEADLINE_S)
        colleague.hang_up()
        assert scene.ending(call).reason == "agent.transferred"
        assert one_line.record(call.sid, lambda seen: seen["endedAt"])["endReason"] == "agent.transferred"


def test_a_caller_who_comes_back_when_the_session_is_gone_goes_on_with_the_conversation(
    one_line: Server,
) -> None:
    with one_line.scene(Script(otherwise=goes_on), speech=SPEECH) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee(picks_up="no-answer", rings_ms=1_500))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        session = scene.session()
        dialled(scene)
        lose_the_model(scene, session)
        scene.model.credit = True
        call.wait_for(lambda: len(call.streams) == 2 and has_heard(call, SORRY), DEADLINE_S)
        told = told_by_text(scene.session())
        assert [REQUEST.text, HOLD.text] == told[:2]
        assert any("nobody answered" in text for text in told)
        call.hang_up()
        one_line.wait_for_line(call.sid, "x call ended: caller.hung_up", since=scene.since)


def test_a_caller_who_comes_back_to_another_process_goes_on_with_the_conversation(
    two_servers: tuple[Server, Server],
) -> None:
    first, second = two_servers
    with first.scene(Script(otherwise=goes_on), speech=SPEECH) as scene:
        scene.carrier.phone_at(SALES_NUMBER, Callee(picks_up="busy", rings_ms=100))
        call = scene.ring(Callee([Speak(REQUEST)]), "clerk")
        before = scene.session()
        # What Twilio asks from here on goes to the second server, as behind a load balancer.
        scene.carrier.reroute(first.url, second.url)
        call.wait_for(lambda: len(call.streams) == 2 and has_heard(call, SORRY), DEADLINE_S)
        after = scene.session()
        assert [REQUEST.text, HOLD.text] == told_by_text(after)[:2]
        assert any("the line was busy" in text for text in told_by_text(after))
        before.wait_closed(DEADLINE_S)
        first.wait_for_line(call.sid, "x call ended: server.moved", since=scene.since)
        since = len(second.lines)
        call.speak(THANKS)
        second.wait_for_line(call.sid, "x call ended: agent.ended", since=since)
        call.wait_ended(DEADLINE_S)
