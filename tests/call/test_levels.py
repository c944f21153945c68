"""How loud calls are: told to those who watch, and of no concern to a call that nobody watches."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from callapp.call.captions import CaptionedCall
from callapp.call.levels import LOUDEST, UNKNOWN, Envelope, Levels, Meter, Meters, Tap
from callapp.conversation.captioning import Terms
from callapp.conversation.commands import PlayAudio
from callapp.telephony.listening import Sound
from tests.call.test_bridge import SECOND, World
from tests.call.test_interpreter import World as InterpretedWorld

log = logging.getLogger("callapp.call")

SILENCE, LOUD, HUM = b"\xff", b"\x80", b"\xdf"  # HUM is 36 dB below the loudest
FRAME = 160


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.bridge.cut("test.over")


def speech(byte: bytes, ms: int) -> bytes:
    return b64encode(byte * (8 * ms))


class FakeCall:
    """A call whose phone has heard as much as a test says."""

    def __init__(self, sent: int = 0) -> None:
        self.sent = sent
        self.heard: int | None = None
        self.tapped: Tap | None = None

    def tap(self, tap: Tap | None) -> int:
        self.tapped = tap
        return self.sent

    def position(self) -> int | None:
        return self.heard

    def hear(self, byte: bytes) -> None:
        assert self.tapped is not None
        self.tapped.caller.append(speech(byte, 20))

    def play(self, byte: bytes, ms: int) -> None:
        assert self.tapped is not None
        self.tapped.agent.append(PlayAudio(speech(byte, ms)))
        self.sent += 8 * ms


def test_the_caller_is_as_loud_as_what_came_last() -> None:
    call = FakeCall()
    meter = Meter(call, 0.0)
    call.hear(SILENCE)
    call.hear(LOUD)
    assert meter.read(0.25) == Levels(LOUDEST, 0)
    call.hear(HUM)
    quieter = meter.read(0.5)
    assert 0 < quieter.caller < LOUDEST
    for at_s in (1.0, 1.25):
        call.hear(SILENCE)
        meter.read(at_s)
    assert meter.levels == Levels(0, 0)


def test_the_agent_is_as_loud_as_what_is_heard_and_not_as_what_was_sent() -> None:
    """Its audio comes several times faster than people listen."""
    call = FakeCall()
    meter = Meter(call, 0.0)
    call.play(SILENCE, 500)
    call.play(LOUD, 500)
    call.heard = 2_000
    assert meter.read(0.25).agent == 0
    call.heard = 4_800
    assert meter.read(0.6).agent == LOUDEST
    call.heard = None  # it was cut off
    assert meter.read(2.0).agent == 0


def test_what_was_cut_off_is_not_shown_as_heard() -> None:
    call = FakeCall()
    meter = Meter(call, 0.0)
    call.play(LOUD, 10_000)
    call.play(SILENCE, 1_000)
    call.heard = 82_000  # the phone was cleared, and what came after is heard now
    assert meter.read(0.2).agent == 0


def test_an_agent_that_was_speaking_already_is_shown_to_speak() -> None:
    call = FakeCall(sent=80_000)
    meter = Meter(call, 0.0)
    call.heard = 16_000
    assert meter.read(0.25).agent == UNKNOWN


@pytest.mark.parametrize("pieces", [[1600], [160] * 10, [33, 1567], [399, 2, 1199]])
def test_an_envelope_is_the_same_however_its_audio_was_cut(pieces: list[int]) -> None:
    audio = SILENCE * 500 + LOUD * 100 + SILENCE * 1000
    envelope = Envelope(1000)
    for size in pieces:
        envelope.add(audio[:size])
        audio = audio[size:]
    assert envelope.loudest(1000, 1400) == 0
    assert envelope.loudest(1000, 1600) == 127
    assert envelope.loudest(1400, 1800) == 127
    envelope.forget(1800)
    assert envelope.loudest(1800, 2600) == 0
    assert envelope.loudest(1000, 1400) is None


def test_only_calls_that_are_watched_are_tapped() -> None:
    calls = {"CA1": FakeCall(), "CA2": FakeCall()}
    live: dict[str, object] = dict(calls)
    meters = Meters(lambda: live)
    assert [call.tapped for call in calls.values()] == [None, None]
    assert meters.read() == {"CA1": Levels(0, 0), "CA2": Levels(0, 0)}
    meters.rest()  # somebody has only just asked
    assert None not in [call.tapped for call in calls.values()]
    meters._asked_s -= 60
    meters.rest()
    assert [call.tapped for call in calls.values()] == [None, None]


def test_a_call_that_is_over_is_let_go_and_others_are_no_concern_of_ours() -> None:
    call = FakeCall()
    live: dict[str, object] = {"CA1": call, "CA2": object()}
    meters = Meters(lambda: live)
    assert list(meters.read()) == ["CA1"]
    live.clear()
    meters._read_s -= 60
    assert meters.read() == {}
    assert call.tapped is None


def test_of_two_people_who_talk_both_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of theirs comes from a model: the other one's voice is heard as it is said."""
    fake: Any = None
    call = CaptionedCall(
        fake, Terms(most_ms=60_000, session_ms=60_000), lambda: fake, lambda _fact, _at_ms: None, log
    )
    monkeypatch.setattr(call, "_tell", lambda event: None)
    meter = Meter(call, 0.0)
    call._hear(Sound("other", SILENCE * FRAME, 0.0))
    call._hear(Sound("caller", LOUD * FRAME, 0.0))
    assert meter.read(0.25) == Levels(LOUDEST, 0)
    call._hear(Sound("other", LOUD * FRAME, 20.0))
    assert meter.read(0.5).agent == LOUDEST
    meter.stop()
    assert call._tap is None


def test_what_an_interpreter_says_is_seen_as_it_is_heard() -> None:
    world = InterpretedWorld()
    meter = Meter(world.side, 0.0)
    world.side.hear(LOUD * FRAME)
    assert meter.read(0.25) == Levels(0, LOUDEST)
    meter.stop()
    assert world.side._tap is None


def test_a_real_call_shows_both_sides_while_it_is_tapped(world: World) -> None:
    """Once it is not, each frame takes the way that it took before."""
    world.goes_live()
    way = world.bridge._lane._to
    tap = Tap()
    assert world.bridge.tap(tap) == 0
    world.speaks()
    assert [command.payload for command in tap.agent] == [SECOND]
    heard = world.bridge.position()
    assert heard is not None
    assert 0 <= heard < 7_998
    world.bridge._lane.offer(b"AAAA")
    world.journal.wait_for(b"AAAA")
    assert list(tap.caller) == [b"AAAA"]
    assert world.bridge.tap(None) == 7_998
    world.bridge._lane.offer(b"BBBB")
    assert list(tap.caller) == [b"AAAA"]
    assert world.bridge._lane._to == way
    assert world.bridge._keepers == ()
