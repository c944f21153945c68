"""Caller audio: in order, none lost, none twice; the newest five seconds while nobody listens."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from threading import Thread

from callapp.call.audio_lane import AudioLane
from callapp.errors import LegLost


class Model:
    """A model that takes what it is sent, or fails as it is told to."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.send_audio = take


def chunk(number: int, ms: int = 20) -> bytes:
    return b64encode(number.to_bytes(4, "big") * (ms * 2))


def test_what_is_heard_before_the_lane_opens_is_sent_first_and_in_order():
    sent: list[bytes] = []
    lane = AudioLane()
    for number in range(10):
        lane.offer(chunk(number))
    assert sent == []
    lane.open(Model(sent.append))
    lane.offer(chunk(10))
    assert sent == [chunk(number) for number in range(11)]


def test_the_newest_five_seconds_are_kept():
    sent: list[bytes] = []
    lane = AudioLane()
    for number in range(400):  # 8 s
        lane.offer(chunk(number))
    lane.open(Model(sent.append))
    assert sum(len(b64decode(c)) for c in sent) == 5_000 * 8
    assert sent[-1] == chunk(399)
    assert lane.dropped_ms == 3_000


def test_opening_while_audio_comes_in_neither_loses_nor_swaps_a_chunk():
    for _ in range(50):
        sent: list[bytes] = []
        lane = AudioLane()
        uplink = Thread(target=lambda lane=lane: [lane.offer(chunk(n)) for n in range(200)])
        uplink.start()
        lane.open(Model(sent.append))
        uplink.join()
        assert sent == [chunk(n) for n in range(200)]


def test_what_a_model_that_has_gone_did_not_take_is_kept_for_its_successor():
    """Whether it went in mid-call, or while it was given what had been kept."""
    sent: list[bytes] = []
    taken_by_the_first = [3]

    def send(payload: bytes) -> None:
        if taken_by_the_first[0] == 0:
            raise LegLost("model", 1006, "gone")
        taken_by_the_first[0] -= 1
        sent.append(payload)

    lane, model = AudioLane(), Model(send)
    lane.offer(chunk(0))
    lane.open(model)
    for number in range(1, 6):
        lane.offer(chunk(number))
    taken_by_the_first[0] = 1
    lane.open(model)
    assert sent == [chunk(number) for number in range(4)]
    taken_by_the_first[0] = 100
    lane.open(model)
    lane.offer(chunk(6))
    assert sent == [chunk(number) for number in range(7)]


def test_who_goes_late_does_not_close_the_lane_of_a_successor():
    """A frame may still be on its way to the lost session when the next one stands."""
    sent: list[bytes] = []
    lane = AudioLane()

    def gone(payload: bytes) -> None:
        lane.open(Model(sent.append))
        raise LegLost("model", 1006, "gone")

    lane.open(Model(gone))
    for number in range(3):
        lane.offer(chunk(number))
    assert sent == [chunk(number) for number in range(3)]


def test_who_listens_hears_what_this_and_the_next_session_hear():
    sent: list[bytes] = []
    heard: list[bytes] = []
    lane = AudioLane()
    lane.open(Model(sent.append))
    lane.tap(heard.append)
    lane.offer(chunk(1))
    lane.close()
    lane.open(Model(sent.append))
    lane.offer(chunk(2))
    lane.tap(None)
    lane.offer(chunk(3))
    assert sent == [chunk(1), chunk(2), chunk(3)]
    assert heard == [chunk(1), chunk(2)]
