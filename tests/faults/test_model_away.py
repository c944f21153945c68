"""OpenAI refuses, expires, accepts and drops: in mid-call, and what the caller hears of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callapp.simulators.model_faults import INVALID_KEY, MODEL_NOT_FOUND, NO_CREDIT, Expire, Reset
from callapp.simulators.model_session import Session
from callapp.simulators.phone import Call
from tests.faults.lab import GREETING, HOLD, Caller, Lab, Lane, longest_silence_s, name_of, played
from tests.faults.proxy import Fault
from tests.stage import DEADLINE_S, Ending


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path, 1) as lab:
        yield lab


@pytest.fixture
def lane(lab: Lab) -> Lane:
    return lab.lanes["lane-00"]


def begin(lab: Lab, lane: Lane) -> tuple[Call, Session]:
    """A call on which the greeting is being spoken."""
    since = len(lab.scene.model.sessions)
    call = lab.ring(lane, Caller(lambda: None))
    call.wait_for(lambda: call.streams and call.stream.playout.chunks, DEADLINE_S)
    return call, lab.scene.model.sessions[since]


def ending(lab: Lab, call: Call) -> Ending:
    return lab.scene.ending(call, 30)


def heard(call: Call) -> list[bytes]:
    return [audio for _, _, audio in played(call)]


def hold_lines(call: Call) -> int:
    """How often the line was begun that is spoken while the model is away."""
    return sum(HOLD.audio.startswith(audio) for audio in heard(call))


def longest_silence_ms(call: Call, since_s: float) -> float:
    """The longest time without any audio, from a moment to the stream's end."""
    until_s = call.stream.began_ns / 1e9 + len(call.stream.voice) / 8000
    return 1000 * longest_silence_s(played(call), since_s, until_s)


def test_a_refusal_that_would_be_repeated_is_not_asked_for_twice(lab: Lab, lane: Lane) -> None:
    for refusal in (INVALID_KEY, NO_CREDIT, MODEL_NOT_FOUND):
        lane.begin(None)
        call, session = begin(lab, lane)
        attempts = lab.scene.model.attempts
        lab.scene.model.refuse_next(refusal)
        session.strike(Reset())
        assert ending(lab, call).reason == "openai.refused", refusal
        assert lab.scene.model.attempts == attempts + 1, refusal
        assert [said.text for said in call.said] == ["That was all."], refusal
        assert call.faults == [], refusal


def test_a_service_that_cannot_be_had_is_tried_for_ten_seconds_and_the_caller_is_not_left_in_silence(
    lab: Lab, lane: Lane
) -> None:
    call, session = begin(lab, lane)
    attempts = lab.scene.model.attempts
    lab.scene.model.refuse_next(503, times=9)
    try:
        lost_s = time.monotonic()
        session.strike(Reset())
        assert ending(lab, call).reason == "openai.unreachable"
        took_s = time.monotonic() - lost_s
    finally:
        lab.scene.model._refuse_next.clear()
    assert lab.scene.model.attempts == attempts + 5
    assert 5 < took_s < 11
    assert hold_lines(call)
    assert longest_silence_ms(call, lost_s) <= 3_500
    assert [said.text for said in call.said] == ["That was all."]


def test_a_service_that_accepts_and_drops_is_given_up_too(lab: Lab, lane: Lane) -> None:
    call, session = begin(lab, lane)
    attempts = lab.scene.model.attempts
    lab.scene.model.fail_on("conversation.item.create", Reset(), times=50)
    try:
        lost_s = time.monotonic()
        session.strike(Reset())
        assert ending(lab, call).reason == "openai.disconnected"
        took_s = time.monotonic() - lost_s
    finally:
        lab.scene.model._faults.clear()
    assert lab.scene.model.attempts <= attempts + 5
    assert took_s < 11
    assert hold_lines(call)
    assert longest_silence_ms(call, lost_s) <= 3_500


def test_an_expired_session_is_a_drop_like_any_other(lab: Lab, lane: Lane) -> None:
    call, session = begin(lab, lane)
    session.strike(Expire())
    assert ending(lab, call).reason == "agent.ended"
    successor = lab.scene.model.sessions[-1]
    assert successor is not session
    assert hold_lines(call) == 0
    greetings = [
        create for create in successor.received_events("response.create") if "Welcome" in str(create)
    ]
    assert greetings == []  # it is told what was said, and does not greet again
    assert successor.violations == []
    assert call.callee.failure is None


def test_a_call_whose_socket_is_reset_twice_goes_on(lab: Lab, lane: Lane) -> None:
    """Told as a transcript, which is printed with ``-s``."""
    since = len(lab.server.lines)
    call, first = begin(lab, lane)
    first.wait_for(lambda: "look_up" in str(first.sent_events("response.done")), DEADLINE_S)
    lane.model_links[-1].strike(Fault("reset", "down"))  # while the tool runs
    first.wait_closed(DEADLINE_S)
    call.wait_for(lambda: len(call.callee.spoken) == 2, DEADLINE_S)
    second = lab.scene.model.sessions[-1]
    lane.model_links[-1].strike(Fault("reset", "down"))  # while the caller speaks
    second.wait_closed(DEADLINE_S)
    assert ending(lab, call).reason == "agent.ended"
    third = lab.scene.model.sessions[-1]
    assert third not in (first, second)
    for one in (first, second, third):
        assert one.violations == []
    print("\n" + transcript(lab, call, since))


def transcript(lab: Lab, call: Call, since: int) -> str:
    """A call as both people heard it, what each new session was told, and what the server logged."""
    lines: list[tuple[float, str]] = []
    zero_s = call.stream.began_ns / 1e9
    before = ""
    for chunk in call.stream.playout.chunks:
        name = name_of(chunk.audio)
        if name != before and chunk.kept:
            lines.append((chunk.starts_ns / 1e9, f"agent   ({name})"))
        before = name
    for spoken in call.callee.spoken:
        before = ""
        lines.append((spoken.voice_starts_ms / 1000, f"caller  {spoken.clip.text}"))
    for number, session in enumerate(lab.scene.model.sessions[-3:], 1):
        lines.append((session.sent[0].at_s - zero_s, f"OpenAI  session {number} opens"))
        for told in session.received:
            if told.event["type"] == "conversation.item.create":
                item = told.event["item"]
                what = item.get("output") or item["content"][0]["text"]
                lines.append(
                    (
                        told.at_s - zero_s,
                        f"OpenAI  session {number} is told: {item.get('role', 'tool')}: {what}",
                    )
                )
            elif told.event["type"] == "response.create":
                lines.append((told.at_s - zero_s, f"OpenAI  session {number} is asked to speak"))
    told_of = [line for line in lab.server.lines[since:] if call.sid in line and of_interest(line)]
    text = "\n".join(f"{at_s:7.3f}  {what}" for at_s, what in sorted(lines))
    return text + "\n\nThe server's log of this call:\n" + "\n".join(told_of)


def of_interest(line: str) -> bool:
    return any(sign in line for sign in ("< ", "= ", "x "))


def test_a_session_is_renewed_in_a_quiet_moment_and_nobody_hears_it(tmp_path: Path) -> None:
    with Lab(tmp_path, 1, MODEL_SESSION_SECONDS="3") as lab:
        lane = lab.lanes["lane-00"]
        listener = Caller(lambda: None)
        listener._asked = 99  # somebody who says nothing
        since = len(lab.scene.model.sessions)
        call = lab.ring(lane, listener)
        call.wait_for(lambda: call.streams and call.stream.playout.chunks, DEADLINE_S)
        lab.scene.model.wait_for(lambda: len(lab.scene.model.sessions) >= since + 4, 20)
        call.hang_up()
        assert ending(lab, call).reason == "caller.hung_up"
        assert b"".join(heard(call)) == GREETING.audio
        for session in lab.scene.model.sessions:
            assert session.violations == []
        assert not [line for line in lab.server.lines if call.sid in line and "WARNING" in line]
