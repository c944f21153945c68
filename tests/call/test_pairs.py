"""Where two sides of a call find each other, whichever comes first, and learn when one does not."""

from __future__ import annotations

from callapp.call.pairing import Place
from callapp.call.pairs import Pairs, Side


class FakeSide:
    def __init__(self) -> None:
        self.told: list[object] = []

    def meet(self, partner: Side) -> None:
        self.told.append(partner)

    def hear(self, ulaw: bytes) -> None:
        self.told.append(ulaw)

    def partner_left(self, reason: str) -> None:
        self.told.append(reason)


def test_two_sides_of_a_pair_meet_and_those_of_others_do_not() -> None:
    pairs, one, other, stranger = Pairs(), FakeSide(), FakeSide(), FakeSide()
    pairs.join("a", one)
    pairs.join("b", stranger)
    assert one.told == []
    pairs.join("a", other)
    assert (one.told, other.told, stranger.told) == ([other], [one], [])


def test_who_waits_is_told_that_the_other_will_not_come() -> None:
    pairs, one = Pairs(), FakeSide()
    pairs.join("a", one)
    pairs.give_up("a", "other.unreachable")
    pairs.give_up("a", "other.hung_up")
    assert one.told == ["other.unreachable"]


def test_who_comes_after_the_other_has_gone_is_told_at_once() -> None:
    """A hangs up while B's phone rings, and B picks up in the same moment."""
    pairs, one, other = Pairs(), FakeSide(), FakeSide()
    pairs.join("a", one)
    pairs.leave("a", one)
    pairs.join("a", other)
    assert (one.told, other.told) == ([], ["other.hung_up"])
    busy = FakeSide()
    pairs.give_up("b", "other.unreachable")
    pairs.join("b", busy)
    assert busy.told == ["other.hung_up"]


def test_a_pair_that_has_met_tells_each_other() -> None:
    pairs, one, other = Pairs(), FakeSide(), FakeSide()
    pairs.join("a", one)
    pairs.join("a", other)
    pairs.give_up("a", "other.hung_up")
    pairs.leave("a", one)
    assert (one.told, other.told) == ([other], [one])


def test_a_place_is_known_by_the_parameters_of_its_call() -> None:
    place = Place.new()
    assert Place.of({**place.parameters, "name": "x"}) == place
    assert Place.of(place.other.parameters) == place.other
    assert place.other.other == place
    assert place.placed_id != place.other.placed_id
    assert Place.of({}) is None
    assert Place.of({"callapp_pair": "x", "callapp_side": "2"}) is None
