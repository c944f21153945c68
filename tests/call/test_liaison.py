"""Calls that another process carries: orders reach them, and how loud they are is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import Queue
from threading import Event
from typing import NoReturn

import pytest
from sqlalchemy import update

from callapp.call.levels import Levels, Tap
from callapp.call.liaison import Answer, Deed, Liaison
from callapp.call.registry import Registry
from callapp.call_log import PlacedCall, Store, StoreUnavailable
from callapp.call_log.models import CallRow, NoticeRow
from callapp.call_log.notices import Notice, Notices
from tests.call.test_bridge import FakeExtension, World, away
from tests.call_log.test_store import at_once, rows
from tests.stage import closes_at_once, eventually

SID, OTHER = "CA" + "1" * 32, "CA" + "2" * 32
WAIT_S = 10.0
# What may be ordered for a call, and what its model is told then.
ORDERS = [
    ("whisper", "Offer them a discount.", "Offer them a discount."),
    ("transfer", "sales", "you are putting the caller through"),
]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.bridge.cut("test.over")


class FakeCall:
    """A call of a browser's. Loud, as far as its caller goes."""

    def __init__(self) -> None:
        self.cuts: Queue[str] = Queue()
        self.tapped = Event()

    def wind_up(self, reason: str) -> None:
        raise AssertionError(reason)

    def cut(self, reason: str) -> None:
        self.cuts.put(reason)

    def tap(self, tap: Tap | None) -> int:
        if tap is not None:
            tap.caller.append(b"gICAgICAgICA")
            self.tapped.set()
        return 0

    def position(self) -> int | None:
        return None


class Process:
    def __init__(self, store: Store) -> None:
        self.registry = Registry(10, 1.0)
        self.liaison = Liaison(self.registry, store, look_s=0.02)
        self.liaison.start()

    def carries(self, call_sid: str, call: object) -> None:
        assert self.registry.enter(call_sid, call_sid, call) is None  # type: ignore[arg-type]


@pytest.fixture
def process(store: Store) -> Iterator[Callable[[], Process]]:
    with ExitStack() as stack:

        def make() -> Process:
            made = Process(store)
            stack.callback(made.liaison.close)
            return made

        yield make


def test_a_call_is_hung_up_wherever_it_is_carried(process: Callable[[], Process], store: Store) -> None:
    asked, carrier, bystander = process(), process(), process()
    call, other = FakeCall(), FakeCall()
    carrier.carries(SID, call)
    bystander.carries(OTHER, other)
    assert asked.liaison.order(SID, "hang_up") is Answer.DONE
    assert call.cuts.get(timeout=WAIT_S) == "server.hung_up"
    assert other.cuts.empty()
    assert rows(store, NoticeRow) == 0


@pytest.mark.parametrize(("deed", "words", "told"), ORDERS)
def test_what_is_ordered_elsewhere_reaches_the_model(
    process: Callable[[], Process], world: World, deed: Deed, words: str, told: str
) -> None:
    asked, carrier = process(), process()
    world.goes_live()
    carrier.carries(SID, world.bridge)
    assert asked.liaison.order(SID, deed, words) is Answer.DONE
    assert eventually(lambda: told in str(world.journal.of("model")), WAIT_S)


def test_an_order_for_a_call_that_is_over_is_not_said_to_be_done(
    process: Callable[[], Process], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callapp.call.liaison.TAKEN_WITHIN_S", 0.3)
    asked, bystander = process(), process()
    bystander.carries(OTHER, FakeCall())
    assert asked.liaison.order(SID, "hang_up") is Answer.NOBODY
    assert rows(store, NoticeRow) == 0  # nobody finds it later


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(("deed", "words"), [order[:2] for order in ORDERS])
def test_who_can_be_told_nothing_is_not_said_to_have_been_told(
    process: Callable[[], Process], store: Store, deed: Deed, words: str, here: bool
) -> None:
    """An interpreter's model does nothing of its own accord."""
    carrier = process()
    carrier.carries(SID, FakeCall())
    asked = carrier if here else process()
    assert asked.liaison.order(SID, deed, words) is Answer.REFUSED
    assert rows(store, NoticeRow) == 0


@pytest.mark.parametrize(("deed", "words"), [order[:2] for order in ORDERS])
def test_who_says_goodbye_or_is_put_through_is_not_said_to_be_told_or_put_through(
    process: Callable[[], Process], deed: Deed, words: str
) -> None:
    world = World()
    world.goes_live()
    if deed == "transfer":
        assert world.bridge.transfer("support")
    else:
        world.bridge.cut("test.over")
    asked, carrier = process(), process()
    carrier.carries(SID, world.bridge)
    assert asked.liaison.order(SID, deed, words) is Answer.REFUSED
    world.bridge.cut("test.over")
    world.end()


@pytest.mark.parametrize(("deed", "words", "told"), ORDERS)
def test_an_order_is_for_the_process_that_has_the_caller_and_not_for_the_one_that_they_have_left(
    process: Callable[[], Process], world: World, deed: Deed, words: str, told: str
) -> None:
    """Which knows a second later that they are back elsewhere; what it was told meanwhile, nobody heard."""
    extension = FakeExtension()
    extension.row_is_there = False
    left, has_them = process(), process()
    stale = away(extension)
    left.carries(SID, stale.bridge)
    world.goes_live()
    has_them.carries(SID, world.bridge)
    assert left.liaison.order(SID, deed, words) is Answer.DONE
    assert eventually(lambda: told in str(world.journal.of("model")), WAIT_S)
    stale.bridge.cut("test.over")
    stale.end()


def test_how_loud_a_call_is_is_known_elsewhere_while_somebody_watches(
    process: Callable[[], Process], store: Store
) -> None:
    desk, carrier = process(), process()
    call = FakeCall()
    carrier.carries(SID, call)
    assert not call.tapped.wait(0.1)  # nobody watches: nothing is done for it
    assert eventually(lambda: desk.liaison.levels().get(SID) is not None, WAIT_S)
    levels = desk.liaison.levels()[SID]
    assert isinstance(levels, Levels)
    assert levels.agent == 0


# -- the notices themselves ------------------------------------------------------------------------


def test_a_notice_is_read_by_all_and_taken_down_by_one(store: Store) -> None:
    notices = Notices(store)
    order = Notice("order-1", "order", {"callSid": SID, "words": "値引きを提案"})
    assert notices.exchange([order]) == [order]
    assert notices.exchange() == [order]
    assert sorted(at_once(4, lambda: notices.take_down("order-1"))) == [False, False, False, True]
    assert notices.find("order-1") is None
    assert notices.exchange() == []


def test_a_notice_put_up_again_takes_the_place_of_the_last(store: Store) -> None:
    notices = Notices(store)
    notices.exchange([Notice("levels-1", "levels", {SID: [1, 2]})])
    assert notices.exchange([Notice("levels-1", "levels", {SID: [3, 4]})]) == [
        Notice("levels-1", "levels", {SID: [3, 4]})
    ]


def test_a_notice_is_gone_when_its_time_is_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever put it up may have been killed."""
    monkeypatch.setattr("callapp.call_log.notices.LIVES_S", -1)
    notices = Notices(store)
    assert notices.exchange([Notice("old", "order")]) == []
    monkeypatch.undo()
    new = Notice("new", "order")
    assert notices.exchange([new]) == [new]
    assert rows(store, NoticeRow) == 1


@pytest.mark.parametrize("how", ["nobody answers", "its stream comes"])
def test_a_slot_is_free_once_another_process_knows_that_its_call_needs_none(
    process: Callable[[], Process], store: Store, how: str
) -> None:
    """It was kept until no stream could come any more, for three minutes."""
    dials = process()
    for placed in ("rings", "needs none"):
        assert dials.registry.take_slot(placed)
        dials.registry.expect_stream(placed, 180)
        store.place_call(PlacedCall(placed, "operator", {}, "+14155550100", "+819012345678"))
    dials.registry.also_known_as("needs none", SID)
    if how == "nobody answers":
        assert store.note_status(SID, "no-answer", 2, "needs none")
    else:
        with store.transaction() as session:  # as the record of whoever carries it does
            session.execute(update(CallRow).where(CallRow.id == "needs none").values(model="gpt-realtime"))
    assert eventually(lambda: dials.registry.taken == 1, WAIT_S)
    assert dials.registry.awaited == {"rings"}


def test_a_database_that_hangs_is_not_waited_for_at_the_end() -> None:
    """The record has its own time then, which nothing may take."""
    asked, answer = Event(), Event()

    class Hangs:
        def transaction(self) -> NoReturn:
            asked.set()
            answer.wait(WAIT_S)
            raise StoreUnavailable("at last")

    liaison = Liaison(Registry(10, 1.0), Hangs(), look_s=0.02)  # type: ignore[arg-type]
    liaison.start()
    liaison.levels()
    assert asked.wait(WAIT_S)
    assert closes_at_once(liaison.close, answer)
    liaison.close()
