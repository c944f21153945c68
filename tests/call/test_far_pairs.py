"""Two processes whose sides meet: by letters that this test carries, loses, or brings too late."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

import pytest

from callapp.call import far_pairs
from callapp.call.far_pairs import MOST_AUDIO_BYTES, FarPairs, FarSide
from callapp.call.pair_letters import GaveUp, Leaves, Letter, Meets, Says, Seeks, decode, encode
from callapp.call.pairs import Side
from callapp.peers.exchange import Receiver
from callapp.peers.wire import MOST_LETTER_BYTES


class Post:
    """Carries letters when it is told to."""

    def __init__(self) -> None:
        self.under_way: list[tuple[str, str]] = []
        self.receivers: list[tuple[Sequence[str], Receiver]] = []

    def carry(self) -> None:
        """Until there are none."""
        while self.under_way:
            channel, text = self.under_way.pop(0)
            assert len(text) <= MOST_LETTER_BYTES
            for channels, receiver in self.receivers:
                if channel in channels:
                    receiver.hear(text)

    def tick(self) -> None:
        for _, receiver in self.receivers:
            receiver.tick()


class FakeExchange:
    """One process's end of the post."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self.listening = False

    def start(self, channels: Sequence[str], receiver: Receiver) -> None:
        if not self.listening:
            self.listening = True
            self._post.receivers.append((channels, receiver))
            receiver.open()

    def send(self, channel: str, text: str, *, audio: bool = False) -> None:
        self._post.under_way.append((channel, text))

    def close(self, within_s: float) -> None:
        pass


class FakeSide:
    def __init__(self) -> None:
        self.partner: Side | None = None
        self.heard = b""
        self.told: list[str] = []

    def meet(self, partner: Side) -> None:
        assert self.partner is None, "met twice"
        self.partner = partner

    def hear(self, ulaw: bytes) -> None:
        self.heard += ulaw

    def partner_left(self, reason: str) -> None:
        self.told.append(reason)


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def new(post: Post) -> Callable[[], FarPairs]:
    return lambda: FarPairs(FakeExchange(post))  # type: ignore[arg-type]


@pytest.fixture
def met(post: Post, new: Callable[[], FarPairs]) -> Iterator[tuple[FarPairs, FakeSide, FarPairs, FakeSide]]:
    here, one, there, other = new(), FakeSide(), new(), FakeSide()
    here.join("a", one)
    there.join("a", other)
    post.carry()
    assert isinstance(one.partner, FarSide)
    assert isinstance(other.partner, FarSide)
    yield here, one, there, other
    post.carry()
    assert (here._links, there._links) == ({}, {})


def test_two_sides_meet_whichever_comes_first_and_hear_each_other(
    post: Post, met: tuple[FarPairs, FakeSide, FarPairs, FakeSide]
) -> None:
    here, one, _, other = met
    assert one.partner is not None
    assert other.partner is not None
    one.partner.hear(b"\x01\x02")
    other.partner.hear(b"\x03")
    one.partner.hear(b"\x04" * 3 * MOST_AUDIO_BYTES)  # the rest of a translation comes as one piece
    post.carry()
    assert other.heard == b"\x01\x02" + b"\x04" * 3 * MOST_AUDIO_BYTES
    assert one.heard == b"\x03"
    here.leave("a", one)
    one.partner.partner_left("other.hung_up")
    post.carry()
    assert (one.told, other.told) == ([], ["other.hung_up"])
    # The other ends then, too, and nobody is told anything twice.
    other.partner.partner_left("other.hung_up")
    post.carry()
    assert (one.told, other.told) == ([], ["other.hung_up"])


def test_sides_that_seek_each_other_at_the_same_time_meet_once(
    post: Post, new: Callable[[], FarPairs]
) -> None:
    """In whatever order their letters come."""
    for order in permutations(range(4)):
        here, one, there, other = new(), FakeSide(), new(), FakeSide()
        here.join("a", one)
        there.join("a", other)
        post.under_way = [post.under_way[index] for index in order if index < len(post.under_way)]
        post.carry()
        assert one.partner is not None
        assert other.partner is not None


def test_a_side_is_sought_until_it_is_found_although_letters_are_lost(
    post: Post, new: Callable[[], FarPairs]
) -> None:
    here, one, there, other = new(), FakeSide(), new(), FakeSide()
    here.join("a", one)
    there.join("a", other)
    post.under_way.clear()  # all that was written so far
    post.tick()
    post.under_way.pop()  # the one that `there` seeks with
    channel, text = post.under_way.pop()
    for channels, receiver in post.receivers:
        if channel in channels:
            receiver.hear(text)
    post.under_way.clear()  # the answer
    assert (one.partner is None) != (other.partner is None)
    post.tick()
    post.carry()
    assert one.partner is not None
    assert other.partner is not None
    assert (one.told, other.told) == ([], [])


def test_who_is_found_when_they_have_gone_is_missed_at_once(post: Post, new: Callable[[], FarPairs]) -> None:
    here, one, there, other = new(), FakeSide(), new(), FakeSide()
    here.join("a", one)
    post.carry()
    there.join("a", other)
    there.leave("a", other)
    post.under_way.pop()  # that they have
    post.carry()
    assert one.told == ["other.hung_up"]


def test_two_sides_of_one_process_need_no_letters_to_hear_each_other(
    post: Post, new: Callable[[], FarPairs]
) -> None:
    here, one, other = new(), FakeSide(), FakeSide()
    here.join("a", one)
    here.join("a", other)
    assert (one.partner, other.partner) == (other, one)


def test_who_waits_is_told_in_whichever_process_the_carrier_says_that_the_other_will_not_come(
    post: Post, new: Callable[[], FarPairs]
) -> None:
    here, one, elsewhere = new(), FakeSide(), new()
    here.join("a", one)
    elsewhere.give_up("a", "other.unreachable")
    post.carry()
    assert one.told == ["other.unreachable"]


def test_who_comes_after_the_other_has_gone_is_told_at_once(post: Post, new: Callable[[], FarPairs]) -> None:
    """A hangs up while B's phone rings, and B, elsewhere, picks up in the same moment."""
    here, one, there, other = new(), FakeSide(), new(), FakeSide()
    here.join("a", one)
    here.leave("a", one)
    post.under_way.clear()  # before anybody else is there to hear of it
    there.join("a", other)
    post.carry()
    assert (one.told, other.told) == ([], ["other.hung_up"])


def test_what_the_carrier_says_of_a_pair_that_has_met_cuts_no_last_words(
    post: Post, new: Callable[[], FarPairs], met: tuple[FarPairs, FakeSide, FarPairs, FakeSide]
) -> None:
    """That a phone has hung up is told here, there and elsewhere, before its last words are translated."""
    here, one, there, other = met
    assert one.partner is not None
    for pairs in (here, there, new()):
        pairs.give_up("a", "other.hung_up")
    one.partner.hear(b"last words")
    post.carry()
    assert other.heard == b"last words"
    assert (one.told, other.told) == ([], [])
    one.partner.partner_left("other.hung_up")
    post.carry()
    assert other.told == ["other.hung_up"]


def test_a_side_is_told_when_the_process_of_the_other_is_heard_no_more(
    post: Post, met: tuple[FarPairs, FakeSide, FarPairs, FakeSide], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed, or nothing gets through: nobody has to talk to nobody for long."""
    _, one, _, other = met
    post.tick()
    assert (one.told, other.told) == ([], [])
    monkeypatch.setattr(far_pairs, "LOST_S", 0.0)
    post.tick()
    assert (one.told, other.told) == (["other.hung_up"], ["other.hung_up"])
    post.carry()
    assert (one.told, other.told) == (["other.hung_up"], ["other.hung_up"])


def test_a_side_that_has_left_while_it_was_found_is_nobody_s_partner(
    post: Post, new: Callable[[], FarPairs]
) -> None:
    here, there, other = new(), new(), FakeSide()

    class Leaving(FakeSide):
        def meet(self, partner: Side) -> None:
            partner.partner_left("other.hung_up")

    here.join("a", Leaving())
    there.join("a", other)
    post.carry()
    assert other.told == ["other.hung_up"]
    assert (here._links, there._links) == ({}, {})


def test_letters_read_as_they_were_written_and_strange_ones_are_left_alone() -> None:
    letters: list[Letter] = [
        Seeks("p", "a"),
        Meets("p", "a"),
        Says("p", "a", bytes(range(256))),
        Leaves("p", "a", "other.hung_up"),
        GaveUp("p", "a", "other.unreachable"),
    ]
    assert [decode(encode(letter)) for letter in letters] == letters
    for text in ("", "Seeks", "Says p a ?", "Sings p a la", "Seeks p a x y"):
        assert decode(text) is None
