"""A call between two people, put through by the phone company, and written down while they talk."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from callapp.simulators.model_faults import Close, Refusal, Reset
from callapp.simulators.model_transcription import TranscriptionSession
from callapp.simulators.phone import Call, Callee, Hear, HearPause, Pause, Say
from callapp.simulators.phone import HangUp as HangUpNow
from callapp.simulators.speech import Speech
from callapp.simulators.text_model import PretendTextModel
from tests.stage import API_KEY, DEADLINE_S, OTHER_NUMBER, Scene, Server, eventually, words
from tests.webhooks.receiver import SECRET, Receiver

ORDER = words("When will the book arrive that I ordered?", 1100)
REPLY = words("It will come tomorrow.", 900)
BYE = words("I see, thank you.", 700)
SPEECH = Speech([ORDER, REPLY, BYE])


def talk(scene: Scene, caller: Callee, other: Callee, agent: str = "captions") -> tuple[Call, Call]:
    """Have one call the other; return both calls."""
    scene.carrier.phone_at(OTHER_NUMBER, other)
    scene.ring(caller, agent)
    call = scene.carrier.wait_for_call(DEADLINE_S)
    return call, scene.carrier.wait_for_call(DEADLINE_S)


def recorded(scene: Scene, call: Call) -> Any:
    """What the record knows of a call that is over, once it has been written down."""
    return scene.server.record(call.sid, lambda seen: seen["status"] == "completed")


def listening(scene: Scene) -> list[TranscriptionSession]:
    """Both sessions, once they stand."""

    def stand() -> bool:
        alive = [one for one in scene.model.transcriptions if not one.closed]
        return len([one for one in alive if one.sent_events("session.updated")]) == 2

    assert eventually(stand, DEADLINE_S)
    return [one for one in scene.model.transcriptions if not one.closed]


def follow(scene: Scene, call: Call) -> Iterator[tuple[str, Any]]:
    """The server-sent events of a call."""
    connection = http.client.HTTPConnection("127.0.0.1", scene.server.port, timeout=DEADLINE_S)
    try:
        connection.request(
            "GET", f"/calls/{call.sid}/captions", headers={"Authorization": f"Bearer {API_KEY}"}
        )
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        name = ""
        for line in answer:
            if line.startswith(b"event: "):
                name = line.decode().removeprefix("event: ").strip()
            elif line.startswith(b"data: "):
                yield name, json.loads(line.removeprefix(b"data: "))
    finally:
        connection.close()


def heard_by(scene: Scene) -> list[TranscriptionSession]:
    """The sessions that have heard something."""
    return [one for one in scene.model.transcriptions if one.heard_audio]


def said(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["role"], one["text"]) for one in record["utterances"]]


def test_what_two_people_say_is_written_down_and_nothing_is_said_to_them(twenty_lines: Server) -> None:
    """The main job, whole."""
    caller = Callee([Pause(800), Say(ORDER), HearPause(400), Say(BYE), Pause(200), HangUpNow()])
    other = Callee([HearPause(500), Say(REPLY)], rings_ms=100)
    with twenty_lines.scene(speech=SPEECH) as scene:
        call, other_call = talk(scene, caller, other)
        ending = scene.ending(call)
        assert (caller.failure, other.failure, call.faults) == (None, None, [])
        assert ending.reason == "caller.hung_up"
        # They hear each other, and nobody else but the opening.
        assert ORDER.audio in bytes(other_call.talk)
        assert REPLY.audio in bytes(call.talk)
        assert [line.text for line in call.said] == ["This call is transcribed."]
        assert other_call.said == []
        assert call.stream.received == []
        # Both are written down, each by a session of its own.
        record = recorded(scene, call)
        assert said(record) == [("caller", ORDER.text), ("other", REPLY.text), ("caller", BYE.text)]
        starts = [one["startMs"] for one in record["utterances"]]
        assert starts == sorted(starts)
        assert not any(one.get("growing") for one in record["utterances"])
        assert (record["endReason"], record["direction"]) == ("caller.hung_up", "incoming")
        assert len(scene.model.transcriptions) == 2
        # What was not speech was not sent, and is not paid for.
        sent_s = sum(len(one.heard_audio) for one in scene.model.transcriptions) / 48_000
        assert sent_s < 2.7 + 3 * 1.2
        assert record["usage"]["transcriptionSeconds"] == pytest.approx(sent_s, abs=0.1)
        assert record["cost"]["transcriptionUsd"] == pytest.approx(sent_s / 60 * 0.017, rel=0.05)
        assert record["cost"]["modelUsd"] == 0
        transcript = scene.server.request(
            "GET", f"/calls/{call.sid}/transcript", within_s=DEADLINE_S, Accept="text/plain"
        )
        assert f"other  {REPLY.text}" in transcript.text


def test_words_can_be_read_while_they_are_said(twenty_lines: Server) -> None:
    """What is not whole yet says so, and becomes whole in its place; the end is told after the last word."""
    with twenty_lines.scene(speech=SPEECH) as scene:
        call, _ = talk(scene, Callee(), Callee(rings_ms=0))
        listening(scene)
        with closing(follow(scene, call)) as told:
            assert next(told)[0] == "hello"
            call.speak(ORDER)
            utterances = []
            for name, data in told:
                if name == "utterance":
                    utterances.append(data)
                    if "growing" not in data:
                        break
            assert utterances[0]["growing"]
            assert {(one["role"], one["itemId"]) for one in utterances} == {("caller", "caller-1")}
            assert utterances[-1]["text"] == ORDER.text
            # It is ended over the API as any, for both of them.
            assert scene.server.request("POST", f"/calls/{call.sid}/hangup").status == 202
            ended = next(data for name, data in told if name == "ended")
        assert ended == {"callSid": call.sid, "endReason": "server.hung_up"}
        scene.ending(call)
        assert recorded(scene, call)["endReason"] == "server.hung_up"


def test_who_was_called_hangs_up_and_the_caller_hears_the_closing(twenty_lines: Server) -> None:
    with twenty_lines.scene(speech=SPEECH) as scene:
        call, _ = talk(scene, Callee(), Callee([Pause(600), Say(REPLY), HangUpNow()], rings_ms=0))
        assert scene.ending(call).reason == "other.hung_up"
        assert [line.text for line in call.said][1:] == ["That was all."]
        record = recorded(scene, call)
        assert said(record) == [("other", REPLY.text)]
        assert record["endReason"] == "other.hung_up"


def test_nobody_answers_and_the_caller_is_told(twenty_lines: Server) -> None:
    with twenty_lines.scene() as scene:
        call, _ = talk(scene, Callee(), Callee(rings_ms=100, picks_up="busy"))
        assert scene.ending(call).reason == "other.unreachable"
        assert "nobody can take your call" in call.said[-1].text


@pytest.mark.parametrize("fault", [Reset(), Close(1011)])
def test_a_session_that_drops_is_replaced_and_no_word_is_lost(
    twenty_lines: Server, fault: Reset | Close
) -> None:
    """In the middle of a sentence; the people notice nothing."""
    with twenty_lines.scene(speech=SPEECH) as scene:
        call, other_call = talk(scene, Callee(), Callee([Hear(100)], rings_ms=0))
        listening(scene)
        call.speak(ORDER)
        assert eventually(lambda: heard_by(scene), DEADLINE_S)
        heard_by(scene)[0].strike(fault)
        assert eventually(lambda: len(scene.model.transcriptions) == 3, DEADLINE_S)
        other_call.speak(REPLY)
        call.wait_for(lambda: REPLY.audio in bytes(call.talk), DEADLINE_S)
        assert eventually(
            lambda: len(scene.server.get(f"/calls/{call.sid}").json.get("utterances", [])) == 2, DEADLINE_S
        )
        call.hang_up()
        scene.ending(call)
        record = recorded(scene, call)
        assert sorted(said(record)) == [("caller", ORDER.text), ("other", REPLY.text)]
        kinds = [event["type"] for event in record["events"]]
        assert kinds.count("disconnected") == kinds.count("reconnected") == 1


def test_without_credit_the_people_talk_on(twenty_lines: Server) -> None:
    """It is tried once, the captions end, and the call does not."""
    with twenty_lines.scene(speech=SPEECH) as scene:
        scene.model.credit = False
        call, other_call = talk(scene, Callee(), Callee(rings_ms=0))
        assert scene.server.wait_for_line(call.sid, "x call ended: openai.refused", since=scene.since)
        other_call.speak(REPLY)
        call.wait_for(lambda: REPLY.audio in bytes(call.talk), DEADLINE_S)
        assert not call.ended
        assert len([how for how in scene.model.refused if isinstance(how, Refusal)]) <= 2
        call.hang_up()
        call.wait_ended(DEADLINE_S)


def test_at_the_longest_time_the_captions_end_and_the_people_talk_on(twenty_lines: Server) -> None:
    with twenty_lines.scene(speech=SPEECH) as scene:
        call, other_call = talk(scene, Callee(), Callee(rings_ms=0), "captions-after")
        listening(scene)
        call.speak(ORDER)
        assert scene.server.wait_for_line(call.sid, "x call ended: limit.call_seconds", since=scene.since)
        other_call.speak(REPLY)
        call.wait_for(lambda: REPLY.audio in bytes(call.talk), DEADLINE_S)
        assert not call.ended
        call.hang_up()
        call.wait_ended(DEADLINE_S)
        assert said(scene.server.get(f"/calls/{call.sid}").json) == [("caller", ORDER.text)]


def test_a_stream_that_is_lost_ends_the_captions_alone(twenty_lines: Server) -> None:
    with twenty_lines.scene(speech=SPEECH) as scene:
        call, other_call = talk(scene, Callee(), Callee(rings_ms=0))
        listening(scene)
        call.drop_stream()
        assert scene.server.wait_for_line(call.sid, "x call ended: twilio.disconnected", since=scene.since)
        other_call.speak(REPLY)
        call.wait_for(lambda: REPLY.audio in bytes(call.talk), DEADLINE_S)
        call.hang_up()
        call.wait_ended(DEADLINE_S)


def test_a_call_of_captions_cannot_be_placed(twenty_lines: Server) -> None:
    with twenty_lines.scene() as scene:
        body = {"phoneNumber": OTHER_NUMBER, "agent": "captions"}
        answer = scene.server.request("POST", "/outgoing-call", body)
        assert answer.status == 400
        assert "only listens to calls that come in" in answer.json["detail"]


def test_the_world_is_told_of_such_a_call_and_it_is_read_as_any(
    start: Callable[..., Server], receiver: Receiver, text_model: PretendTextModel
) -> None:
    server = start(
        WEBHOOK_URL=receiver.url,
        WEBHOOK_SECRET=SECRET,
        OPENAI_BASE_URL=text_model.url,
        ANALYSIS_MODEL="gpt-5.6-terra",
    )
    with server.scene(speech=SPEECH) as scene:
        call, _ = talk(scene, Callee([Pause(500), Say(BYE)]), Callee([HearPause(400), HangUpNow()]))
        assert scene.ending(call).reason == "other.hung_up"
        started, ended, analyzed = (receiver.get(DEADLINE_S).message for _ in range(3))
    assert (started["type"], started["data"]["callSid"]) == ("call.started", call.sid)
    assert ended["type"] == "call.ended"
    assert ended["data"]["endReason"] == "other.hung_up"
    assert [(one["role"], one["text"]) for one in ended["data"]["utterances"]] == [("caller", BYE.text)]
    assert (analyzed["type"], analyzed["data"]["verdict"]) == ("call.analyzed", "resolved")


def test_a_server_that_stops_does_not_touch_the_call(start: Callable[..., Server]) -> None:
    """What was said until then is written down; the people talk on, and new callers are put through."""
    server = start(DRAIN_SECONDS="9")
    with server.scene(speech=SPEECH) as scene:
        call, other_call = talk(scene, Callee(), Callee(rings_ms=0))
        listening(scene)
        call.speak(ORDER)
        assert eventually(lambda: heard_by(scene), DEADLINE_S)
        server.terminate()
        server.wait_for_line(call.sid, "x call ended: server.draining", since=scene.since)
        assert server.wait() == 0
        other_call.speak(REPLY)
        call.wait_for(lambda: REPLY.audio in bytes(call.talk), DEADLINE_S)
        assert not call.ended
        call.hang_up()
        call.wait_ended(DEADLINE_S)
