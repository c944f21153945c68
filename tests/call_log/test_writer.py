"""The writer's promises: in order, nothing lost while the database is away, bounded, flushed at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

import pytest

from callapp.call_log import writer as writer_module
from callapp.call_log.store import StoreUnavailable
from callapp.call_log.writer import Writer
from tests.stage import no_thread_left

WAIT_S = 5.0


class Refusal(StoreUnavailable):
    """The database answers, and will not take this, now or later."""

    hopeless = True


class Database:
    """Takes batches; may be down, or refuse a piece."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.batches: list[int] = []
        self.down = False
        self.refuses: int | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.tried = threading.Event()

    def write(self, batch: Sequence[int]) -> None:
        self.tried.set()
        assert self.hold.wait(WAIT_S)
        if self.down:
            raise StoreUnavailable("down")
        if self.refuses in batch:
            raise Refusal("not that one")
        self.written += batch
        self.batches.append(len(batch))


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def writer(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer[int]]:
    monkeypatch.setattr(writer_module, "RETRY_S", (0.01,))
    monkeypatch.setattr(writer_module, "MOST_QUEUED", 1_000)
    monkeypatch.setattr(writer_module, "GATHER_S", 0.01)
    writer: Writer[int] = Writer(database.write, name="writer")
    yield writer
    database.hold.set()
    writer.close(WAIT_S)


def test_what_is_put_in_is_written_in_order(writer: Writer[int], database: Database) -> None:
    for piece in range(900):
        writer.put(piece)
    assert writer.flush(WAIT_S)
    assert database.written == list(range(900))
    assert max(database.batches) > 1


def test_an_outage_loses_nothing_and_is_logged_once(
    writer: Writer[int], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    database.down = True
    for piece in range(500):
        writer.put(piece)
    assert database.tried.wait(WAIT_S)
    assert not writer.flush(0.1)
    assert writer.queued == 500
    lag_s = writer.lag_s
    writer.put(500)
    assert writer.lag_s >= lag_s > 0
    database.down = False
    assert writer.flush(WAIT_S)
    assert database.written == list(range(501))
    writer.put(501)
    assert writer.flush(WAIT_S)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_full_queue_keeps_what_it_has_and_counts_what_it_drops(
    writer: Writer[int], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever puts something in is an audio thread: it is never made to wait."""
    database.hold.clear()
    for piece in range(1_007):
        writer.put(piece)
    assert writer.dropped == 7
    assert len(caplog.records) == 1
    database.hold.set()
    assert writer.flush(WAIT_S)
    assert database.written == list(range(1_000))


def test_what_the_database_refuses_costs_nothing_else(writer: Writer[int], database: Database) -> None:
    database.refuses = 5
    for piece in range(10):
        writer.put(piece)
    assert writer.flush(WAIT_S)
    assert database.written == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert writer.dropped == 1


def test_a_bug_in_writing_does_not_stop_the_writer(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()

    def write(batch: Sequence[int]) -> None:
        if not failed.is_set():
            failed.set()
            raise KeyError("a bug")
        database.write(batch)

    writer = Writer(write, name="writer")
    writer.put(1)
    assert writer.flush(WAIT_S)
    writer.put(2)
    writer.close(WAIT_S)
    assert database.written == [2]
    assert "a bug" in caplog.text


def test_closing_writes_what_is_left(writer: Writer[int], database: Database) -> None:
    database.hold.clear()
    writer.put(1)
    assert database.tried.wait(WAIT_S)
    writer.put(2)
    database.hold.set()
    writer.close(WAIT_S)
    assert database.written == [1, 2]


def test_closing_gives_up_on_a_database_that_is_away(
    writer: Writer[int], database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.down = True
    writer.put(1)
    writer.close(0.05)
    assert writer.queued == 1
    assert "1 entries of the call log could not be written" in caplog.text


def test_without_a_thread_what_is_put_in_waits_for_the_next_piece(
    writer: Writer[int], database: Database
) -> None:
    """The system may have none left for a moment; the record is not to be lost for good by that."""
    with no_thread_left():
        writer.put(1)
    writer.put(2)
    assert writer.flush(WAIT_S)
    assert database.written == [1, 2]
