"""What does not wait for the call's own thread, and what does not wake it at all."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

import pytest

from callapp.conversation.events import AgentSaid, AudioArrived, Part, SpeechStarted
from callapp.errors import BadMessage
from callapp.realtime import skimming
from callapp.realtime.dialling import Dialling, Endpoint
from callapp.realtime.events import KINDS, decode
from callapp.realtime.leg import ModelLeg
from callapp.realtime.skimming import Skimmer, is_needed
from tests.realtime.conftest import CONFIG, FakeConnection


def message(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "event_id": "event_1", **fields}).encode()


AUDIO = message(
    "response.output_audio.delta", response_id="r", item_id="i", output_index=0, content_index=0, delta="//8="
)
WORDS = message("response.output_audio_transcript.delta", response_id="r", item_id="i", delta="Hello")
BARGE_IN = message("input_audio_buffer.speech_started", item_id="j", audio_start_ms=320)
COMMITTED = message("input_audio_buffer.committed", item_id="j", previous_item_id=None)
STOPPED = message("input_audio_buffer.speech_stopped", item_id="j", audio_end_ms=900)


TERSE = AUDIO.replace(b": ", b":").replace(b", ", b",")
# The long way, for what is not quite as expected.
OTHER_ORDER = AUDIO.replace(b'"response_id": "r", "item_id": "i"', b'"item_id": "i", "response_id": "r"')
MORE_FIELDS = AUDIO.replace(b'"delta"', b'"obfuscation": "x", "delta"')
ESCAPED = AUDIO.replace(b'"i"', b'"\\u0069"')


ALL = [AUDIO, TERSE, OTHER_ORDER, MORE_FIELDS, ESCAPED, BARGE_IN]


class Skimming:
    """Says what a skimmer makes of messages: what is urgent, the words put by, or else whether it is left."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.skimmer = Skimmer(lambda *_: False, lambda event: self.heard.append(event) is None, lambda: 0.0)

    def skim(self, data: bytes) -> Any:
        self.heard.clear()
        taken = self.skimmer.take(data)
        heard = self.heard + self.skimmer.take_words()
        assert taken or not heard
        return heard[0] if heard else not taken


def skim(data: bytes) -> Any:
    """See a message for the first time."""
    return Skimming().skim(data)


@pytest.mark.parametrize("before", [*ALL, WORDS])
@pytest.mark.parametrize("data", ALL)
def test_what_is_urgent_means_the_same_whatever_came_before(before: bytes, data: bytes) -> None:
    skimmer = Skimming()
    assert before == WORDS or skimmer.skim(before) == decode(before)
    assert skimmer.skim(data) == decode(data)
    assert isinstance(skimmer.skim(data), AudioArrived | SpeechStarted)


@pytest.mark.parametrize("payload", [b"//8", b"//=8", b'/\\"8=', b"//8=\n", b""])
def test_what_is_no_base64_never_reaches_the_phone(payload: bytes) -> None:
    skimmer = Skimming()
    data = AUDIO.replace(b"//8=", payload)
    assert data != AUDIO
    for _ in "before", "after":
        if payload:
            assert skimmer.skim(data) is True
            with pytest.raises(BadMessage):
                decode(data)
        else:
            assert skimmer.skim(data) == AudioArrived("r", Part("i", 0), b"")
        assert skimmer.skim(AUDIO) == AudioArrived("r", Part("i", 0), b"//8=")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_nothing_that_anybody_needs_is_skipped(kind: str) -> None:
    """Not even when it is broken: the thread that reads it says so in the log."""
    assert skim(message(kind)) is not False
    assert is_needed(message(kind))


def test_what_nobody_needs_is_seen_by_its_type_where_that_stands_at_the_beginning() -> None:
    assert not is_needed(message("rate_limits.updated"))
    assert is_needed(b'{"event_id": "event_1", "type": "rate_limits.updated"}')
    assert is_needed(b"no JSON")


@pytest.mark.parametrize(
    "kind", ["conversation.item.added", "conversation.item.done", "response.output_item.done"]
)
def test_of_items_only_those_are_read_that_say_something_new(kind: str) -> None:
    """Each is told of twice or three times."""
    words = {"type": "message", "id": "i", "role": "user", "content": []}
    assert skim(message(kind, response_id="r", item=words)) is False
    needed = {
        "conversation.item.added": {"type": "function_call_output", "call_id": "c"},
        "conversation.item.done": {
            "type": "mcp_approval_request",
            "id": "m",
            "server_label": "s",
            "name": "n",
        },
        "response.output_item.done": {
            "type": "function_call",
            "call_id": "c",
            "name": "n",
            "arguments": "{}",
        },
    }
    assert skim(message(kind, response_id="r", item=needed[kind])) is True
    assert skim(message(kind, response_id="r", item=7)) is True


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"event_id":"e","type":"response.done"}', AUDIO[:-9] + b"}", b'{"type":7}']
)
def test_what_cannot_be_told_at_a_glance_is_read(data: bytes) -> None:
    assert skim(data) is True


Take = Callable[[bytes], tuple[list[Any], bool]]


@pytest.fixture
def leg(monkeypatch: pytest.MonkeyPatch) -> ModelLeg:
    """A leg whose connection is none."""
    connection = cast(Any, FakeConnection())
    monkeypatch.setattr(Dialling, "connect", lambda *_: connection)
    return ModelLeg(Endpoint("wss://x", "m", "k"), CONFIG, logging.getLogger("test"))


@pytest.fixture
def take(leg: ModelLeg) -> Take:
    """Give a message to a leg; return what was heard so far, and whether it is dealt with."""
    heard: list[Any] = []

    def hear(event: Any) -> bool:
        heard.append(event)
        return True

    leg.listen(lambda *_: False, hear)
    leg.dial()
    connection = cast(Any, leg._connection)
    return lambda message: (heard, connection.taker.take(message))


def test_an_interruption_is_heard_where_it_is_read(take: Take) -> None:
    """Each moment that it waits, the agent is heard talking over the caller."""
    assert take(AUDIO) == ([AudioArrived("r", Part("i", 0), b"//8=")], True)
    assert take(BARGE_IN)[0][1:] == [SpeechStarted("j", 320)]


def test_words_are_put_by_until_somebody_asks(
    leg: ModelLeg, take: Take, caplog: pytest.LogCaptureFixture
) -> None:
    """With when each came: that the model says something is a sign of life. A bad one is told of then."""
    pieces = [WORDS, WORDS.replace(b'"item_id": "i", ', b""), WORDS.replace(b"Hello", b" there")]
    began_s = monotonic()
    assert [take(piece) for piece in pieces] == [([], True)] * 3
    over_s = monotonic()
    assert not caplog.records
    (first, first_s), (second, second_s) = leg.words()
    assert [first, second] == [AgentSaid("i", "Hello"), AgentSaid("i", " there")]
    assert began_s <= first_s < second_s <= over_s
    assert [record.getMessage() for record in caplog.records] == [
        "! model leg: ignored a bad message: response.output_audio_transcript.delta: "
        "item_id is missing or not text"
    ]
    assert leg.words() == []


def test_a_leg_to_which_nobody_listens_has_no_words(leg: ModelLeg) -> None:
    assert leg.words() == []


def test_what_nobody_needs_wakes_no_thread(take: Take) -> None:
    assert take(COMMITTED) == ([], True)


def test_what_has_to_be_thought_about_is_left_to_the_calls_thread(take: Take) -> None:
    assert take(STOPPED) == ([], False)


def test_what_has_piled_up_is_taken_in_its_turn_as_where_it_is_read(
    leg: ModelLeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a call that has fallen behind catches up: of a part, only the first piece is read as JSON."""
    happened: list[Any] = []
    leg.listen(
        lambda part, payload: happened.append((part, payload)) is None,
        lambda event: happened.append(event) is None,
    )
    leg.dial()
    connection = cast(Any, leg._connection)
    connection.messages = [AUDIO, WORDS, AUDIO, STOPPED, COMMITTED, AUDIO, BARGE_IN, STOPPED, AUDIO]
    decoded: list[bytes] = []
    monkeypatch.setattr(skimming, "decode", lambda data: decoded.append(data) or decode(data))
    part = Part("i", 0)
    stopped = decode(STOPPED)
    assert leg.receive() == [stopped]
    assert happened == [AudioArrived("r", part, b"//8="), (part, b"//8=")]
    connection.messages = [STOPPED]  # which come after all that
    assert leg.receive() == [stopped]
    assert happened[2:] == [(part, b"//8="), SpeechStarted("j", 320)]
    assert leg.receive() == []
    assert happened[4:] == [(part, b"//8=")]
    assert leg.receive() == [stopped]
    assert decoded == [AUDIO, BARGE_IN]
    assert [said for said, _ in leg.words()] == [AgentSaid("i", "Hello")]


def test_of_what_has_piled_up_nothing_is_lost_that_is_not_taken(leg: ModelLeg) -> None:
    """Something else is decided just then: the thread waits for that, and takes it itself."""
    leg.listen(lambda *_: False, lambda _: False)
    leg.dial()
    cast(Any, leg._connection).messages = [AUDIO, BARGE_IN]
    assert [leg.receive(), leg.receive()] == [[decode(AUDIO)], [decode(BARGE_IN)]]


@pytest.mark.parametrize("layout", [AUDIO, TERSE])
def test_each_piece_is_of_its_own_part_whatever_came_before(layout: bytes) -> None:
    """What is remembered of one is believed of none that differs by a byte."""
    skimmer = Skimming()
    for data in (
        layout,
        layout.replace(b"//8=", b"AAAA"),
        layout.replace(b"event_1", b"event_23"),
        layout.replace(b'"r"', b'"r2"'),
        layout,
        layout.replace(b'"i"', b'"i2"'),
        layout.replace(b'"content_index": 0', b'"content_index": 1'),
        layout.replace(b'"content_index":0', b'"content_index":1'),
        layout.replace(b'"}', b'", "item_id": "i3"}'),
        layout,
    ):
        assert skimmer.skim(data) == decode(data)


def test_the_pieces_of_a_part_are_told_to_be_of_the_same() -> None:
    """As objects: by that whoever plays them sees that nothing has to be thought about."""
    skimmer = Skimming()
    first, second = skimmer.skim(AUDIO), skimmer.skim(AUDIO.replace(b"event_1", b"event_2"))
    assert isinstance(first, AudioArrived)
    assert isinstance(second, AudioArrived)
    assert first.part is second.part


def test_a_piece_that_breaks_off_is_no_piece() -> None:
    skimmer = Skimming()
    skimmer.skim(AUDIO)
    for end in range(len(AUDIO)):
        assert skimmer.skim(AUDIO[:end]) is True
    assert skimmer.skim(AUDIO + b" ") == skimmer.skim(AUDIO) == decode(AUDIO)
    assert skimmer.skim(AUDIO + b"}") is True
