"""Calls that the pretend Twilio joins to others: dials, conferences, keys."""

from __future__ import annotations

import pytest

from callapp.simulators.ivr import Ivr, Menu
from callapp.simulators.phone import Call, Callee, Carrier, HangUp, Pause, Press, Say
from callapp.simulators.room import MUSIC
from callapp.simulators.speech import babble_clip
from callapp.simulators.ulaw import tone
from tests.simulators.phone_app import App

CALLER, COLLEAGUE = "+819012345678", "+819011112222"
HELLO = babble_clip("hello", "hello", 400)
ANSWER = babble_clip("answer", "answer", 400)
DIAL = (
    '<Response><Dial action="{url}/over" timeout="5"><Number statusCallback="{url}/told" '
    f'statusCallbackEvent="answered">{COLLEAGUE}</Number></Dial></Response>'
)
WAIT_S = 10


@pytest.fixture
def app(app: App) -> App:
    app.documents["/over"] = "<Response><Hangup/></Response>"
    return app


def ring(carrier: Carrier, app: App, callee: Callee | None = None) -> Call:
    return carrier.incoming_call(f"{app.url}/voice", callee=callee, from_number=CALLER)


def second(carrier: Carrier) -> Call:
    """The call to the colleague."""
    carrier.wait_for_call(WAIT_S)
    return carrier.wait_for_call(WAIT_S)


def test_two_that_a_dial_has_joined_hear_each_other_until_one_hangs_up(carrier: Carrier, app: App) -> None:
    app.twiml = DIAL
    carrier.phone_at(COLLEAGUE, Callee([Say(HELLO), Pause(700), HangUp()], rings_ms=100))
    call = ring(carrier, app, Callee([Pause(700), Say(ANSWER)]))
    colleague = second(carrier)
    call.wait_ended(WAIT_S)
    assert HELLO.audio in bytes(call.talk)
    assert ANSWER.audio in bytes(colleague.talk)
    [over], [told] = app.fields_of("/over"), app.fields_of("/told")
    assert (over["DialCallStatus"], over["DialCallSid"]) == ("completed", colleague.sid)
    assert over["DialBridged"] == "true"
    assert over["CallStatus"] == "in-progress"
    assert (told["CallStatus"], told["ParentCallSid"], told["From"]) == ("in-progress", call.sid, CALLER)
    assert all(hook.valid for hook in app.hooks)
    assert call.faults == []


@pytest.mark.parametrize("picks_up", ["busy", "no-answer", "failed"])
def test_a_dial_that_comes_to_nothing_says_why(carrier: Carrier, app: App, picks_up: str) -> None:
    app.twiml = DIAL
    carrier.phone_at(COLLEAGUE, Callee(picks_up=picks_up, rings_ms=20))  # type: ignore[arg-type]
    ring(carrier, app).wait_ended(WAIT_S)
    [over] = app.fields_of("/over")
    assert (over["DialCallStatus"], over["DialBridged"]) == (picks_up, "false")
    assert app.fields_of("/told") == []


def test_who_hangs_up_while_it_rings_ends_the_ringing_and_the_action_is_asked_all_the_same(
    carrier: Carrier, app: App
) -> None:
    app.twiml = DIAL
    carrier.phone_at(COLLEAGUE, Callee(rings_ms=60_000))
    call = ring(carrier, app)
    colleague = second(carrier)
    colleague.wait_for(lambda: colleague.status == "ringing", WAIT_S)
    call.hang_up()
    call.wait_ended(WAIT_S)
    colleague.wait_ended(WAIT_S)
    assert colleague.status == "canceled"
    [over] = app.fields_of("/over")
    assert (over["CallStatus"], over["DialCallStatus"]) == ("completed", "canceled")


def test_a_dial_shows_no_number_of_somebody_else(carrier: Carrier, app: App) -> None:
    app.twiml = f'<Response><Dial callerId="+15005550001">{COLLEAGUE}</Dial></Response>'
    call = ring(carrier, app)
    call.wait_ended(WAIT_S)
    assert [fault.code for fault in call.faults] == [13214]


def test_who_waits_in_a_conference_hears_music_until_somebody_starts_it(carrier: Carrier, app: App) -> None:
    app.twiml = (
        '<Response><Dial action="{url}/over"><Conference startConferenceOnEnter="false" '
        'endConferenceOnExit="true">room</Conference></Dial></Response>'
    )
    app.documents["/join"] = (
        '<Response><Dial><Conference endConferenceOnExit="true">room</Conference></Dial></Response>'
    )
    caller = ring(carrier, app)
    caller.wait_for(lambda: len(caller.talk) >= 10 * len(MUSIC), WAIT_S)
    assert set(bytes(caller.talk)) == set(MUSIC)
    carrier.phone_at(COLLEAGUE, Callee([Say(HELLO), Pause(100), HangUp()]))
    app.dial(to=COLLEAGUE, url=f"{app.url}/join")
    caller.wait_ended(WAIT_S)
    assert HELLO.audio in bytes(caller.talk)
    [over] = app.fields_of("/over")
    assert over["DialCallStatus"] == "answered"


def test_a_redirect_takes_somebody_out_of_a_conference_without_asking_the_action(
    carrier: Carrier, app: App
) -> None:
    app.twiml = '<Response><Dial action="{url}/over"><Conference>room</Conference></Dial></Response>'
    call = ring(carrier, app)
    call.wait_for(lambda: call.talk, WAIT_S)
    app.client().calls(call.sid).update(twiml="<Response><Say>Back.</Say></Response>")
    call.wait_ended(WAIT_S)
    assert [said.text for said in call.said] == ["Back."]
    assert app.fields_of("/over") == []


@pytest.mark.parametrize(
    ("pressed", "digits"), [("1", ["1"]), ("23", ["2"]), ("", [])], ids=["one key", "two keys", "no key"]
)
def test_a_gather_asks_its_action_with_the_keys_or_goes_on(
    carrier: Carrier, app: App, pressed: str, digits: list[str]
) -> None:
    app.twiml = (
        '<Response><Gather action="{url}/over" numDigits="1" timeout="1"><Say>Press.</Say></Gather>'
        "<Say>Nothing.</Say></Response>"
    )
    call = ring(carrier, app, Callee([Pause(100), Press(pressed)]))
    call.wait_ended(WAIT_S)
    assert [over["Digits"] for over in app.fields_of("/over")] == digits
    assert [said.text for said in call.said] == (["Press."] if digits else ["Press.", "Nothing."])


def test_keys_that_the_carrier_plays_reach_the_other_side(carrier: Carrier, app: App) -> None:
    app.twiml = '<Response><Play digits="1w#"/></Response>'
    call = ring(carrier, app)
    call.wait_ended(WAIT_S)
    assert call.callee.keys_heard == "1#"


# -- a machine that reads out menus -------------------------------------------------------------


def menu() -> Menu:
    return Menu(HELLO, {"1": Menu(ANSWER), "2": Menu(ANSWER, {"9": Menu(HELLO)})})


def live(ivr: Ivr, sound: bytes) -> None:
    for at in range(0, len(sound), 160):
        ivr.live(sound[at : at + 160].ljust(160, b"\xff"))


def test_a_machine_goes_where_keys_lead_and_reads_out_what_is_there() -> None:
    ivr = Ivr(menu())
    live(ivr, b"\xff" * 800)
    ivr.key_heard("7")
    ivr.key_heard("2")
    live(ivr, b"\xff" * 800)
    ivr.key_heard("9")
    assert (ivr.path, ivr.wrong_keys) == ("29", "7")
    assert [spoken.clip.name for spoken in ivr.spoken] == ["hello", "answer"]


def test_a_machine_reads_its_menu_out_again_after_a_silence() -> None:
    ivr = Ivr(menu(), repeats_after_ms=200)
    live(ivr, b"\xff" * (400 + 240 + 100) * 8)
    assert [spoken.clip.name for spoken in ivr.spoken] == ["hello", "hello"]


def test_a_machine_that_hears_tones_takes_no_other_keys_and_no_single_tone() -> None:
    ivr = Ivr(menu(), hears_tones=True)
    ivr.key_heard("2")
    live(ivr, tone(697, 200))
    live(ivr, ANSWER.audio)
    assert (ivr.path, ivr.wrong_keys) == ("", "")
