"""An interpreted call: two phones, two languages, and what each side hears of the other."""

from __future__ import annotations

from typing import Any

import pytest

from callapp.simulators.clips import Clip
from callapp.simulators.model_ear import recognise
from callapp.simulators.model_faults import Reset
from callapp.simulators.model_script import Say as Speak
from callapp.simulators.model_script import Script
from callapp.simulators.model_translation import Translating, TranslationSession
from callapp.simulators.phone import Call, Callee, Pause, Say
from callapp.simulators.phone import HangUp as HangUpNow
from callapp.simulators.speech import Speech
from callapp.simulators.ulaw import level_dbfs
from tests.stage import DEADLINE_S, HUNG_UP, OTHER_NUMBER, THEIR_NUMBER, Scene, Server, eventually, words

ORDER_JA = words("注文した本は、いつ届きますか。", 1100)
ORDER_EN = words("When will the book arrive that I ordered?", 1000)
REPLY_EN = words("It will come tomorrow.", 900)
REPLY_JA = words("明日、届きます。", 800)
BYE_JA = words("分かりました。", 700)
BYE_EN = words("I see, thank you.", 600)
SPEECH = Speech([ORDER_JA, ORDER_EN, REPLY_EN, REPLY_JA, BYE_JA, BYE_EN])
SAME = {
    (ORDER_JA.name, "en"): ORDER_EN,
    (REPLY_EN.name, "ja"): REPLY_JA,
    (BYE_JA.name, "en"): BYE_EN,
}
# Ahead of time, so that a busy machine tears no word.
TRANSLATING = Translating(SPEECH, SAME, frames_at_once=4)
NOTICE_JA = "この通話は、人工知能が通訳いたします。短い文で、お話しください。"
NOTICE_EN = "This call is interpreted by an artificial intelligence. Please speak in short sentences."
PARTING_EN = "You are no longer connected with the other person. Goodbye."


def dial_both(scene: Scene, first: Callee, second: Callee, agent: str = "pair") -> tuple[Call, Call]:
    """Have both called; return their calls."""
    scene.carrier.next_callee(first)
    scene.carrier.next_callee(second)
    answer = scene.server.request(
        "POST",
        "/outgoing-call",
        {"phoneNumber": THEIR_NUMBER, "agent": agent, "parameters": {"otherPhoneNumber": OTHER_NUMBER}},
    )
    assert answer.status == 201, answer
    assert (answer.json["to"], answer.json["otherTo"]) == (THEIR_NUMBER, OTHER_NUMBER)
    calls = [scene.carrier.find_call(answer.json[name]) for name in ("callSid", "otherCallSid")]
    assert calls[0] is not None
    assert calls[1] is not None
    return calls[0], calls[1]


def heard(call: Call) -> list[str]:
    """The recordings that a phone was given to hear, in order."""
    with call.changed:
        track = b"".join(chunk.audio for chunk in call.stream.playout.chunks)
    return [one.clip.name for one in recognise(SPEECH, track)]


def wait_to_hear(call: Call, clip: Clip) -> None:
    """Wait until a recording was heard.

    Not by the call's own wait, which looks at every frame: the phones would stand still meanwhile.
    """
    assert eventually(lambda: call.streams and clip.name in heard(call), DEADLINE_S), call.summary()


def into(scene: Scene, language: str) -> TranslationSession:
    """The newest session that translates into a language, once it hears."""
    found: list[TranslationSession] = []

    def hears() -> bool:
        found[:] = [
            session
            for session in scene.model.translations
            if session.config["audio"]["output"]["language"] == language and not session.closed
        ]
        return bool(found) and bool(found[-1].heard_audio)

    assert eventually(hears, DEADLINE_S)
    return found[-1]


def ask_answer_and_part(one: Call, other: Call) -> None:
    """A conversation, until one has parted and has hung up on the last word. Both are heard by now."""
    one.speak(ORDER_JA)
    wait_to_hear(other, ORDER_EN)
    other.speak(REPLY_EN)
    wait_to_hear(one, REPLY_JA)
    one.speak(BYE_JA)
    assert eventually(lambda: not one.callee.speaking, DEADLINE_S)
    one.hang_up()


def recorded(scene: Scene, call: Call) -> Any:
    """What the record knows of a call that is over, once it has been written down."""
    return scene.server.record(call.sid, lambda seen: seen["endReason"] is not None)


def names(*clips: Clip) -> list[str]:
    return [clip.name for clip in clips]


def test_two_people_hear_each_other_in_their_own_languages(twenty_lines: Server) -> None:
    """The main job, whole."""
    with twenty_lines.scene(translating=TRANSLATING) as scene:
        one, other = dial_both(scene, Callee(), Callee(rings_ms=200))
        into(scene, "en")
        into(scene, "ja")
        ask_answer_and_part(one, other)
        endings = scene.ending(one), scene.ending(other)
        assert one.faults == other.faults == []
        # What the last word was translated into is heard although its speaker has hung up.
        assert heard(other) == names(ORDER_EN, BYE_EN)
        assert heard(one) == names(REPLY_JA)
        assert [said.text for said in one.said] == [NOTICE_JA]
        assert [(said.text, said.language) for said in other.said] == [
            (NOTICE_EN, "en-US"),
            (PARTING_EN, "en-US"),
        ]
        assert endings[0].reason in HUNG_UP
        assert endings[1].reason == "other.hung_up"
        assert len(scene.model.translations) == 2
        # Both languages side by side, and what it cost, by the minute.
        record = recorded(scene, one)
        assert [(said["role"], said["text"]) for said in record["utterances"]] == [
            ("caller", ORDER_JA.text),
            ("agent", ORDER_EN.text),
            ("caller", BYE_JA.text),
            ("agent", BYE_EN.text),
        ]
        sessions = {one.config["audio"]["output"]["language"]: one for one in scene.model.translations}
        heard_s = len(sessions["en"].heard_audio) / 48_000
        assert record["cost"]["modelUsd"] == 0
        assert record["cost"]["transcriptionUsd"] == pytest.approx(heard_s / 60 * 0.034, rel=0.01)


def test_silence_reaches_the_translator_too_and_nothing_twice(twenty_lines: Server) -> None:
    """Its time is the time of the audio: pauses that are left out would run sentences together."""
    with twenty_lines.scene(translating=TRANSLATING) as scene:
        one, _ = dial_both(scene, Callee(rings_ms=0), Callee(rings_ms=0))
        session = into(scene, "en")
        session.wait_for(lambda: len(session.heard_audio) >= 48 * 2000, DEADLINE_S)
        with one.changed:
            sent_ms = len(one.stream.voice) / 8
        assert len(session.heard_audio) / 48 <= sent_ms
        assert {
            len(event["audio"]) for event in session.received_events("session.input_audio_buffer.append")
        } == {12_800}
        one.hang_up()
        assert scene.ending(one).reason in HUNG_UP


def test_while_a_translator_is_away_the_voice_itself_is_heard_and_then_it_is_back(
    twenty_lines: Server,
) -> None:
    with twenty_lines.scene(translating=TRANSLATING) as scene:
        one, other = dial_both(scene, Callee(rings_ms=0), Callee(rings_ms=0))
        session = into(scene, "en")
        scene.model.refuse_next(503, times=2)
        session.strike(Reset())
        scene.server.wait_for_line("translator away", since=scene.since)
        one.speak(ORDER_JA)
        wait_to_hear(other, ORDER_JA)
        into(scene, "en")
        one.speak(BYE_JA)
        wait_to_hear(other, BYE_EN)
        assert heard(other) == names(ORDER_JA, BYE_EN)
        one.hang_up()
        scene.ending(one)


def test_a_stream_that_breaks_ends_the_call_and_the_other_is_told(twenty_lines: Server) -> None:
    with twenty_lines.scene(translating=TRANSLATING) as scene:
        one, other = dial_both(scene, Callee(rings_ms=0), Callee(rings_ms=0))
        into(scene, "en")
        one.drop_stream()
        # By which the server hears of it first: the socket, or the callback that the call is completed.
        assert scene.ending(one).reason in ("twilio.disconnected", "caller.hung_up")
        assert scene.ending(other).reason == "other.hung_up"
        assert other.said[-1].text == PARTING_EN


def test_who_waits_hears_it_ring_and_is_told_when_the_other_is_busy(twenty_lines: Server) -> None:
    busy = Callee(picks_up="busy", rings_ms=1500)
    with twenty_lines.scene(translating=TRANSLATING) as scene:
        one, _ = dial_both(scene, Callee(rings_ms=0), busy)
        assert scene.ending(one).reason == "other.unreachable"
        assert level_dbfs(one.stream.heard_track()[1600:4000]) > -35
        assert one.said[-1].text.startswith("相手の方との接続が終了しました")
        assert scene.model.translations == []


def test_who_hangs_up_while_it_rings_stops_the_ringing(twenty_lines: Server) -> None:
    with twenty_lines.scene(translating=TRANSLATING) as scene:
        one, other = dial_both(scene, Callee([Pause(500), HangUpNow()], rings_ms=0), Callee(rings_ms=60_000))
        scene.ending(one)
        other.wait_ended(DEADLINE_S)
        assert other.streams == []


def test_when_one_is_busy_the_others_phone_stops_ringing(twenty_lines: Server) -> None:
    with twenty_lines.scene(translating=TRANSLATING) as scene:
        one, other = dial_both(scene, Callee(picks_up="busy", rings_ms=0), Callee(rings_ms=60_000))
        one.wait_ended(DEADLINE_S)
        other.wait_ended(DEADLINE_S)
        assert other.streams == []


def test_a_call_that_comes_in_is_connected_to_the_other_party_of_the_agent_file(
    twenty_lines: Server,
) -> None:
    """With the caller's own voice softly below the translation.

    Who is called speaks first: what the caller says while it rings, nobody hears.
    """
    other = Callee([Pause(900), Say(REPLY_EN)], rings_ms=200)
    with twenty_lines.scene(translating=TRANSLATING) as scene:
        scene.carrier.next_callee(other)
        call = scene.ring(Callee(), agent="pair-of-one")
        wait_to_hear(call, REPLY_JA)
        call.speak(ORDER_JA)
        (partner,) = [one for one in scene.carrier.calls if one is not call]
        wait_to_hear(partner, ORDER_EN)
        scene.hang_up(call)
        assert partner.plan.to_number == OTHER_NUMBER
        assert scene.ending(partner).reason == "other.hung_up"
        assert heard(partner) == names(ORDER_JA, ORDER_EN)
        assert heard(call) == names(REPLY_EN, REPLY_JA)
        assert [said.text for said in call.said] == [NOTICE_JA]


def test_without_credit_both_are_told_and_the_call_ends(twenty_lines: Server) -> None:
    with twenty_lines.scene(translating=TRANSLATING, credit=False) as scene:
        one, other = dial_both(scene, Callee(rings_ms=0), Callee(rings_ms=0))
        assert {scene.ending(one).reason, scene.ending(other).reason} == {"openai.refused"}


def test_an_ordinary_model_interprets_where_the_translation_model_cannot(twenty_lines: Server) -> None:
    """Turn by turn, and with a prompt that lets it do nothing else."""
    script = Script(
        otherwise=lambda ask: Speak(SAME[ask.clips[-1], "ja" if ask.clips[-1] == REPLY_EN.name else "en"])
    )
    with twenty_lines.scene(script, speech=SPEECH) as scene:
        one, other = dial_both(scene, Callee(), Callee(rings_ms=200), "pair-by-model")
        assert eventually(lambda: [one.listening.heard_ms > 0 for one in scene.model.sessions] == [True] * 2)
        ask_answer_and_part(one, other)
        assert scene.ending(one).reason in HUNG_UP
        assert scene.ending(other).reason == "other.hung_up"
        assert heard(other) == names(ORDER_EN, BYE_EN)
        assert heard(one) == names(REPLY_JA)
        assert scene.model.translations == []
        (prompt,) = {
            event["session"]["instructions"]
            for session in scene.model.sessions
            for event in session.received_events("session.update")
            if "who speaks Japanese" in event["session"]["instructions"]
        }
        assert "say in English what they have said" in prompt
        assert "A book shop." in prompt
        said = recorded(scene, one)["utterances"]
        assert [(one["role"], one["text"]) for one in said][:2] == [
            ("caller", ORDER_JA.text),
            ("agent", ORDER_EN.text),
        ]
