"""The caller speaks while the agent does."""

from __future__ import annotations

from typing import Any

import pytest

from callapp.simulators.model_script import INSTANT, Pace, Say, Script
from callapp.simulators.model_session import Session
from callapp.simulators.phone import Call, Callee, HangUp, Hear, HearPause, Pause
from callapp.simulators.phone import Say as Speak
from tests.stage import Server, kinds_received, media_after, words

LONG = words("A long story, told at length, with many words in it.", 4000)
PREAMBLE = words("One moment.", 400)
SECOND = words("The second part of what there is to say.", 2500)
THIRD = words("The third part, which nobody waits for.", 1500)
STOP = words("Stop!", 300)
YES = words("Yes?", 300)

# How exact a truncate is, on a machine that keeps up; how late the phone itself was comes on top.
FRAME_MS = 20


def cleared_ms(call: Call) -> float:
    """When the only clear took effect."""
    (clear,) = call.stream.playout.clears
    return clear.at_ns / 1e6


def truncates(session: Session) -> list[dict[str, Any]]:
    return session.received_events("conversation.item.truncate")


def spoken_items(session: Session) -> list[str]:
    """The IDs of the agent's messages, in order, also of those that were deleted."""
    return [
        one["item"]["id"]
        for one in session.sent_events("response.output_item.added")
        if one["item"]["type"] == "message"
    ]


@pytest.mark.parametrize(
    ("pace", "latency_ms"),
    [
        pytest.param(INSTANT, 0, id="all generated"),
        pytest.param(Pace(speed=2, late_deltas=3), 0, id="late deltas"),
        pytest.param(Pace(speed=1.2, delta_ms=100), 0, id="generated hardly faster than heard"),
        pytest.param(Pace(speed=2, late_deltas=3), 60, id="late deltas, slow network"),
    ],
)
def test_barge_in_silences_the_phone_and_truncates_at_what_was_heard(
    one_line: Server, pace: Pace, latency_ms: float
) -> None:
    """Not at what was sent: a model that remembers what nobody heard talks past its caller."""
    with one_line.scene(Script(Say(LONG), Say(YES)), pace=pace, latency_ms=latency_ms) as scene:
        callee = Callee([Hear(600), Speak(STOP), Hear(60), HangUp()])
        call = scene.ring(callee, agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        session, stream = scene.session(), call.stream
        (truncate,) = truncates(session)
        at_ms = cleared_ms(call)
        heard_ms = stream.heard_ms_of(LONG.audio, at_ms)
        sent_ms = sum(len(c.audio) for c in stream.playout.chunks if c.arrived_ns / 1e6 < at_ms) / 8
        cut_ms = truncate["audio_end_ms"]
        assert abs(cut_ms - heard_ms) < FRAME_MS + latency_ms + call.stream.late_ms, (cut_ms, heard_ms)
        assert cut_ms <= sent_ms
        assert cut_ms > 500
        # After the clear came the answer to what the caller said, and nothing of what they cut short.
        answer = b"".join(media_after(call, at_ms))
        assert answer
        assert YES.audio.startswith(answer)
        (first_cancelled,) = spoken_items(session)[:1]
        assert truncate["item_id"] == first_cancelled
        still_generated = pace.speed < 4
        assert len(session.received_events("response.cancel")) == (1 if still_generated else 0)
        assert session.received_events("conversation.item.delete") == []


def test_the_clear_is_the_next_thing_the_phone_gets_once_the_caller_is_heard(one_line: Server) -> None:
    """Everything that comes before it is heard longer than need be."""
    with one_line.scene(Script(Say(LONG)), pace=Pace(speed=1.5, delta_ms=40)) as scene:
        call = scene.ring(Callee([Hear(600), Speak(STOP), HangUp()]), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        session, stream = scene.session(), call.stream
        events = [one.event["type"] for one in session.sent]
        made = events[: events.index("input_audio_buffer.speech_started")]
        deltas = made.count("response.output_audio.delta")
        before = [one for one in stream.received if one.at_ms < cleared_ms(call)]
        assert sum('"media"' in one.text for one in before) == deltas
        assert media_after(call, cleared_ms(call)) == []


def test_of_several_items_only_what_was_not_heard_out_is_forgotten(one_line: Server) -> None:
    """The preamble was heard to its end, the second part cut, the third not begun."""
    with one_line.scene(
        Script([Say(PREAMBLE, phase="commentary"), Say(SECOND), Say(THIRD)], Say(YES))
    ) as scene:
        call = scene.ring(Callee([Hear(900), Speak(STOP), HangUp()]), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        session = scene.session()
        preamble, second, third = spoken_items(session)[:3]
        (truncate,) = truncates(session)
        assert truncate["item_id"] == second
        heard_ms = call.stream.heard_ms_of(SECOND.audio, cleared_ms(call))
        assert abs(truncate["audio_end_ms"] - heard_ms) < FRAME_MS + call.stream.late_ms
        assert [one["item_id"] for one in session.received_events("conversation.item.delete")] == [third]
        remembered = {item.id: item for item in session.items}
        assert remembered[preamble].audio_ms == PREAMBLE.duration_ms
        assert remembered[second].audio_ms == truncate["audio_end_ms"]
        assert third not in remembered


@pytest.mark.parametrize("speed", [2.0, 6.0])
def test_the_end_of_one_item_may_come_after_the_beginning_of_the_next(one_line: Server, speed: float) -> None:
    """Seen with models that speak a preamble; each item has a ledger of its own."""
    pace = Pace(speed=speed, late_done=True)
    with one_line.scene(
        Script([Say(PREAMBLE, phase="commentary"), Say(SECOND)], Say(YES)), pace=pace
    ) as scene:
        call = scene.ring(Callee([Hear(900), Speak(STOP), HangUp()]), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        session = scene.session()
        (truncate,) = truncates(session)
        assert truncate["item_id"] == spoken_items(session)[1]
        heard_ms = call.stream.heard_ms_of(SECOND.audio, cleared_ms(call))
        assert abs(truncate["audio_end_ms"] - heard_ms) < FRAME_MS + call.stream.late_ms
        assert session.received_events("conversation.item.delete") == []


def test_speech_while_nothing_plays_interrupts_nothing(one_line: Server) -> None:
    """A clear, a cancel or a truncate then would be an error at best."""
    with one_line.scene(Script(Say(YES))) as scene:
        call = scene.ring(Callee([HearPause(500), Speak(STOP), Pause(100), HangUp()]), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        session = scene.session()
        assert session.sent_events("input_audio_buffer.speech_started")
        assert kinds_received(session) == ["session.update", "response.create"]
        assert call.stream.playout.clears == []


def test_an_answer_that_is_cancelled_before_its_first_sound_is_never_heard(one_line: Server) -> None:
    """The caller goes on speaking after a pause that sounded like an end."""
    slow = Pace(first_delta_after_ms=900)
    with one_line.scene(Script(Say(LONG, pace=slow), Say(YES))) as scene:
        steps = [Speak(STOP), Pause(900), Speak(STOP), Hear(200), HangUp()]
        call = scene.ring(Callee(steps), agent="quiet")
        assert scene.ending(call).reason == "caller.hung_up"
        session = scene.session()
        assert len(session.received_events("response.cancel")) == 1
        assert b"".join(media_after(call, 0)) == YES.audio
        done = [one["response"]["status"] for one in session.sent_events("response.done")]
        assert done == ["cancelled", "completed"]


def test_an_answer_that_begins_while_the_caller_speaks_again_is_not_heard(one_line: Server) -> None:
    """The model took a breath for the end, and its answer crossed what the caller went on to say."""
    slow = Pace(speed=2, created_after_ms=400)
    more = words("I was not done, and this is what else there was to say.", 1000)
    with one_line.scene(Script(Say(LONG, pace=slow), Say(YES))) as scene:
        callee = Callee([Speak(STOP), Pause(600), Speak(more), Hear(200), HangUp()])
        call = scene.ring(callee, agent="quiet")
        assert scene.ending(call).reason == "caller.hung_up"
        assert callee.failure is None
        assert b"".join(media_after(call, 0)) == YES.audio
        session = scene.session()
        assert len(session.received_events("response.cancel")) == 1
        done = [one["response"]["status"] for one in session.sent_events("response.done")]
        assert done == ["cancelled", "completed"]


def test_a_caller_may_interrupt_again(one_line: Server) -> None:
    """The ledgers start anew each time."""
    stories = [words(f"Story {number}, and so on and so forth.", 3000) for number in range(2)]
    with one_line.scene(Script(*map(Say, stories)), pace=Pace(speed=3)) as scene:
        steps = [Hear(400), Speak(STOP), Hear(400), Speak(STOP), HangUp()]
        call = scene.ring(Callee(steps), agent="host")
        assert scene.ending(call).reason == "caller.hung_up"
        session, playout = scene.session(), call.stream.playout
        assert len(playout.clears) == 2
        for truncate, clear, story in zip(truncates(session), playout.clears, stories, strict=True):
            heard_ms = call.stream.heard_ms_of(story.audio, clear.at_ns / 1e6)
            assert abs(truncate["audio_end_ms"] - heard_ms) < FRAME_MS + call.stream.late_ms
