"""What was sent and what was heard, against a phone that plays with an exact clock."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callapp.conversation.commands import PlayAudio, SendMark
from callapp.conversation.events import Part
from callapp.conversation.playback import SECOND_BYTES, Cut, Playback

HELLO = Part("item_hello", 0)
ANSWER = Part("item_answer", 0)
SECOND = b64encode(b"\x55" * SECOND_BYTES)


def speech(ms: float) -> bytes:
    return b64encode(b"\x55" * int(ms * 8))


def marks(commands: list) -> list[str]:
    return [c.name for c in commands if isinstance(c, SendMark)]


def test_a_second_of_audio_gets_a_mark_and_so_does_the_end_of_an_item():
    playback = Playback()
    names = []
    for start in range(0, 2_400, 200):
        names += marks(playback.play("r", HELLO, speech(200), start / 10))
    names += marks(playback.end_part(HELLO, 240))
    assert len(names) == 3
    assert len(set(names)) == 3


def test_an_item_that_ends_on_a_second_is_not_marked_twice():
    playback = Playback()
    assert len(marks(playback.play("r", HELLO, speech(500), 0))) == 0
    assert len(marks(playback.play("r", HELLO, speech(500), 0))) == 1
    assert marks(playback.end_part(HELLO, 0)) == []


def test_a_long_delta_is_cut_into_seconds_without_being_decoded():
    playback = Playback()
    commands = playback.play("r", HELLO, speech(5_000), 0)
    payloads = [c.payload for c in commands if isinstance(c, PlayAudio)]
    assert b"".join(payloads) == speech(5_000)
    assert all(len(p) % 4 == 0 and len(p) <= 20_000 for p in payloads)
    assert 4 <= len(marks(commands)) <= 6


def test_heard_is_what_the_clock_says_until_a_mark_comes():
    playback = Playback()
    playback.play("r", HELLO, speech(3_000), at_ms=100)
    assert playback.playing(at_ms=1_340)
    [cut] = playback.cut(at_ms=1_340)
    assert cut.part == HELLO
    assert 1_239 <= cut.heard_ms <= 1_240


def test_network_delay_cancels_out():
    """Audio arrives 80 ms late, and so will the clear: a constant round trip changes nothing."""
    playback = Playback()
    commands = playback.play("r", HELLO, speech(5_000), at_ms=0)
    for name, due_ms in zip(marks(commands), (1_000, 2_000, 3_000), strict=False):
        playback.played(name, at_ms=due_ms + 160)
    assert playback.round_trip_ms == pytest.approx(160, abs=1)
    [cut] = playback.cut(at_ms=3_500)
    assert 3_498 <= cut.heard_ms <= 3_500


def test_a_late_mark_says_how_far_playback_has_fallen_behind():
    playback = Playback()
    first, second, *_ = marks(playback.play("r", HELLO, speech(5_000), at_ms=0))
    playback.played(first, at_ms=1_010)
    playback.played(second, at_ms=2_410)  # 400 ms later than its turn
    [cut] = playback.cut(at_ms=2_910)
    assert 2_505 <= cut.heard_ms <= 2_510  # 500 ms on, and the 10 ms that the echo travelled


def test_an_overdue_mark_says_so_too():
    playback = Playback()
    first, *_ = marks(playback.play("r", HELLO, speech(5_000), at_ms=0))
    playback.played(first, at_ms=1_000)
    [cut] = playback.cut(at_ms=3_500)  # the mark of 2,000 ms never came
    assert 1_990 <= cut.heard_ms <= 2_000


def test_an_echo_that_never_comes_does_not_keep_the_agent_speaking_for_ever():
    playback = Playback()
    first, *_ = marks(playback.play("r", HELLO, speech(3_000), at_ms=0))
    playback.played(first, at_ms=1_000)
    assert playback.playing(at_ms=11_000)
    assert not playback.playing(at_ms=12_100)


def test_an_echo_that_comes_while_more_flows_loses_nothing_of_what_flowed():
    playback = Playback()
    [name] = marks(playback.play("r", HELLO, SECOND, at_ms=0))
    playback.let_flow(HELLO)
    assert playback.flow.go_on(HELLO, speech(500), at_ms=900)
    playback.played(name, at_ms=1_000)
    [cut] = playback.cut(at_ms=1_200)
    assert (cut.heard_ms, cut.sent_ms) == (1_199, 1_499)


def test_lost_echoes_are_implied_by_later_ones():
    playback = Playback()
    names = marks(playback.play("r", HELLO, speech(3_000), at_ms=0))
    playback.end_part(HELLO, 0)
    playback.played(names[-1], at_ms=3_000)
    playback.played(names[0], at_ms=3_001)
    assert not playback.playing(at_ms=3_001)


def test_an_echo_amid_an_item_ends_nothing_and_one_at_the_end_of_an_item_may():
    playback = Playback()
    first, second, *_ = marks(playback.play("r", HELLO, speech(2_500), at_ms=0))
    end, *_ = marks(playback.play("r", ANSWER, speech(4_000), at_ms=10))
    assert not playback.passed(end, at_ms=100)
    assert playback.position(at_ms=100) < 1_000
    assert playback.passed(second, at_ms=100)
    assert playback.position(at_ms=100) == 2 * SECOND_BYTES
    assert playback.passed(first, at_ms=100)  # means nothing any more
    playback.cut(at_ms=200)
    assert playback.passed(end, at_ms=200)  # nor does this


def test_what_flows_goes_on_when_an_echo_says_where_we_are():
    """And goes by it: a phone that plays late runs dry late."""
    playback = Playback()
    names = [name for _ in range(3) for name in marks(playback.play("r", HELLO, speech(1_000), at_ms=0))]
    playback.let_flow(HELLO)
    assert playback.passed(names[0], at_ms=1_000)
    assert playback.flow.go_on(HELLO, speech(20), at_ms=1_000)
    assert playback.passed(names[1], at_ms=2_500)
    assert playback.flow.go_on(HELLO, speech(20), at_ms=3_400)


def test_each_item_is_cut_at_its_own_milliseconds():
    playback = Playback()
    playback.play("r", HELLO, speech(1_000), at_ms=0)
    playback.play("r", ANSWER, speech(4_000), at_ms=10)
    playback.end_part(HELLO, 0)  # comes after deltas of the next item
    playback.end_part(ANSWER, 0)
    [cut] = playback.cut(at_ms=1_500)
    assert cut.part == ANSWER  # the first one was heard to its end and is left alone
    assert 498 <= cut.heard_ms <= 500


def test_the_end_of_an_item_is_marked_before_the_next_ones_audio():
    playback = Playback()
    playback.play("r", HELLO, speech(300), at_ms=0)
    commands = playback.play("r", ANSWER, speech(300), at_ms=1)
    assert [type(c) for c in commands] == [SendMark, PlayAudio]
    assert playback.end_part(HELLO, 0) == []


def test_an_item_that_was_not_reached_is_cut_at_nothing():
    playback = Playback()
    playback.play("r", HELLO, speech(1_000), at_ms=0)
    playback.play("r", ANSWER, speech(1_000), at_ms=0)
    cuts = playback.cut(at_ms=200)
    assert [(c.part, c.heard_ms > 0) for c in cuts] == [(HELLO, True), (ANSWER, False)]


def test_echoes_of_what_was_cleared_are_not_taken_for_played():
    playback = Playback()
    old = marks(playback.play("r", HELLO, speech(2_000), at_ms=0))
    playback.cut(at_ms=100)
    new = playback.play("r2", ANSWER, speech(2_000), at_ms=200)
    for name in old:
        playback.played(name, at_ms=210)
    assert not playback.all_heard
    for name in marks(new):
        playback.played(name, at_ms=2_200)
    assert playback.playing(at_ms=300) is False or not playback.all_heard


def test_all_is_heard_when_the_phone_says_so_and_not_before():
    playback = Playback()
    commands = playback.play("r", HELLO, speech(500), at_ms=0)
    commands += playback.end_part(HELLO, 0)
    assert not playback.all_heard
    assert playback.playing(at_ms=499)
    [name] = marks(commands)
    playback.played(name, at_ms=520)
    assert playback.all_heard
    assert playback.position(at_ms=520) is None


def test_a_part_of_which_more_was_to_come_is_cut_where_it_stopped():
    playback = Playback()
    playback.play("r", HELLO, speech(400), at_ms=0)
    assert playback.cut(at_ms=1_000) == [Cut("r", HELLO, 400, 400)]


def test_a_part_that_ran_dry_and_goes_on_is_cut_at_all_that_was_heard_of_it():
    playback = Playback()
    [name] = marks(playback.play("r", HELLO, SECOND, at_ms=0))
    playback.played(name, at_ms=1_000)
    playback.play("r", HELLO, SECOND, at_ms=3_000)
    [cut] = playback.cut(at_ms=3_500)
    assert (cut.heard_ms, cut.sent_ms) == (1_499, 1_999)


def test_what_was_cut_is_not_cut_again_and_nothing_is_waited_for():
    playback = Playback()
    playback.play("r", HELLO, speech(400), at_ms=0)
    assert len(playback.cut(at_ms=100)) == 1
    assert playback.all_heard
    assert playback.cut(at_ms=200) == []


def test_it_is_known_when_each_part_was_heard():
    playback = Playback()
    playback.play("r", HELLO, SECOND, at_ms=0)
    playback.end_part(HELLO, 0)
    playback.play("r", ANSWER, SECOND, at_ms=0)
    playback.cut(at_ms=1_500)
    hello, answer = playback.take_heard()
    assert [hello.start_ms, hello.end_ms] == pytest.approx([0, 1_000], abs=1)
    assert [answer.start_ms, answer.end_ms] == pytest.approx([1_000, 1_500], abs=1)


def test_more_of_a_part_goes_on_without_a_thought_while_nothing_hangs_on_it():
    """What was heard and cut of it is known all the same."""
    playback = Playback()
    playback.play("r", HELLO, speech(400), at_ms=0)
    assert not playback.flow.go_on(HELLO, speech(20), 10)  # nobody said that it may
    playback.let_flow(HELLO)
    assert all(playback.flow.go_on(HELLO, speech(20), 10) for _ in range(10))
    assert playback.dry_ms == 600
    assert playback.cut(at_ms=500) == [Cut("r", HELLO, 499, 600)]


@pytest.mark.parametrize(
    ("part", "payload", "at_ms"),
    [
        pytest.param(Part(HELLO.item_id, HELLO.content_index), speech(20), 100, id="another object"),
        pytest.param(HELLO, b"", 100, id="nothing"),
        pytest.param(HELLO, speech(600), 100, id="a mark is due"),
        pytest.param(HELLO, speech(20), 401, id="the queue is dry"),
    ],
)
def test_what_there_is_more_to_does_not_go_on(part, payload, at_ms):
    playback = Playback()
    playback.play("r", HELLO, speech(400), at_ms=0)
    playback.let_flow(HELLO)
    assert not playback.flow.go_on(part, payload, at_ms)
    assert playback.sent_bytes == 3_200


def test_a_phone_that_plays_late_runs_dry_late():
    playback = Playback()
    names = [name for _ in range(3) for name in marks(playback.play("r", HELLO, speech(1_000), at_ms=0))]
    playback.played(names[0], at_ms=1_000)
    playback.played(names[1], at_ms=2_500)
    assert playback.dry_ms == pytest.approx(3_500, abs=1)
    playback.let_flow(HELLO)
    assert playback.flow.go_on(HELLO, speech(20), at_ms=3_400)


def test_only_what_is_last_in_the_queue_goes_on():
    """What goes on is taken for more of that."""
    playback = Playback()
    other = Part("other", 0)
    playback.play("r", HELLO, speech(400), at_ms=0)
    playback.let_flow(HELLO)
    playback.play("r", other, speech(400), at_ms=0)
    assert not playback.flow.go_on(HELLO, speech(20), 10)
    playback.play("r", HELLO, b"", at_ms=10)
    playback.let_flow(HELLO)
    assert not playback.flow.go_on(HELLO, speech(20), 10)


@given(
    chunks=st.lists(
        st.tuples(
            st.integers(0, 2),  # which item
            st.integers(1, 1_500),  # ms of audio
            st.floats(0, 800),  # ms until it is sent
        ),
        min_size=1,
        max_size=30,
    ),
    wait_ms=st.floats(0, 3_000),
)
def test_heard_agrees_with_a_phone_that_plays_exactly(chunks, wait_ms):
    """The phone: bytes play in order, 8 a millisecond, without a gap while there are any."""
    playback = Playback()
    now = 0.0
    plays_from: list[tuple[float, str, int]] = []  # start, item, ms
    dry = 0.0
    echoes: list[tuple[float, str]] = []
    order: list[str] = []
    number = 0
    current = None
    for which, ms, pause in chunks:
        now += pause
        if which != current:
            number, current = number + 1, which
        item = f"item_{number}"  # an item's audio comes in one run
        while echoes and echoes[0][0] <= now:
            at, name = echoes.pop(0)
            playback.played(name, at)
        for command in playback.play("r", Part(item, 0), speech(ms), now):
            if isinstance(command, SendMark):
                echoes.append((max(dry, now), command.name))
            else:
                length = (len(command.payload) * 3 // 4 - command.payload.count(b"=")) / 8
                start = max(dry, now)
                plays_from.append((start, item, length))
                dry = start + length
        if item not in order:
            order.append(item)
    now += wait_ms
    while echoes and echoes[0][0] <= now:
        at, name = echoes.pop(0)
        playback.played(name, at)
    heard = dict.fromkeys(order, 0.0)
    total = dict(heard)
    for start, item, length in plays_from:
        total[item] += length
        heard[item] += min(max(now - start, 0.0), length)
    for cut in playback.cut(now):
        truth = heard[cut.part.item_id]
        assert cut.heard_ms <= truth + 0.001
        assert truth - cut.heard_ms < 3
        assert cut.heard_ms <= total[cut.part.item_id]
