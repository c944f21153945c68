"""From a call's tape to a file on the shelf, and word of it to the record."""

from __future__ import annotations

import queue
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callapp.conversation.facts import Began, Closed, Recorded
from callapp.conversation.playback import Playback
from callapp.errors import ConfigError
from callapp.recording import recorder as recorder_module
from callapp.recording.recorder import Recorder
from callapp.recording.shelf import Shelf, ShelfUnavailable
from callapp.recording.tape import Tape
from callapp.telephony.media_streams import CallerAudio
from tests.call.test_journal import CALL

WAIT_S = 10.0
CHUNK = CallerAudio(b64encode(b"\x20" * 160), 0)


class FailingShelf(Shelf):
    """Fails so often, then works."""

    failures = 0

    def write(self, path: str, content: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ShelfUnavailable("away")
        super().write(path, content)


@pytest.fixture
def shelf(tmp_path: Path) -> FailingShelf:
    return FailingShelf(str(tmp_path / "recordings"))


@pytest.fixture
def told() -> queue.Queue[Any]:
    return queue.Queue()


@pytest.fixture
def recorder(shelf: Shelf, told: queue.Queue[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setattr(recorder_module, "RETRY_S", (0.01, 0.01))
    monkeypatch.setattr(recorder_module, "EMPTY_EVERY_S", 0.01)
    recorder = Recorder(shelf, lambda call, fact, at_ms: told.put((call, fact)))
    yield recorder
    recorder.close()


def record(recorder: Recorder) -> None:
    tape = Tape()
    listen = recorder.of(tape)
    tape.begin(Playback(), lambda: 20.0)
    listen(CALL, Began(), 0)
    tape.hear(CHUNK)
    listen(CALL, Closed(1_000), 1_000)


def test_a_call_that_is_over_is_on_the_shelf_and_the_record_knows(
    recorder: Recorder, shelf: Shelf, told: queue.Queue[Any]
) -> None:
    record(recorder)
    call, fact = told.get(timeout=WAIT_S)
    assert call is CALL
    assert isinstance(fact, Recorded)
    assert fact.seconds == 1.0
    file, size = shelf.open(fact.path)
    with file:
        assert len(file.read()) == size == 58 + 16_000


def test_a_shelf_that_is_away_is_tried_again(
    recorder: Recorder, shelf: FailingShelf, told: queue.Queue[Any]
) -> None:
    shelf.failures = 2
    record(recorder)
    assert isinstance(told.get(timeout=WAIT_S)[1], Recorded)


def test_a_shelf_that_stays_away_costs_this_recording_and_no_other(
    recorder: Recorder, shelf: FailingShelf, told: queue.Queue[Any], caplog: pytest.LogCaptureFixture
) -> None:
    shelf.failures = 3
    record(recorder)
    record(recorder)
    assert isinstance(told.get(timeout=WAIT_S)[1], Recorded)
    assert told.empty()
    assert "could not be written" in caplog.text


def test_closing_writes_what_is_finished(recorder: Recorder, told: queue.Queue[Any]) -> None:
    record(recorder)
    recorder.close(WAIT_S)
    assert isinstance(told.get_nowait()[1], Recorded)


def test_a_long_call_does_not_fill_the_memory(recorder: Recorder) -> None:
    tape = Tape()
    listen = recorder.of(tape)
    tape.begin(Playback(), lambda: 20.0)
    listen(CALL, Began(), 0)
    for number in range(50):
        tape.hear(CallerAudio(CHUNK.payload, number * 20))
    for _ in range(1_000):
        if not tape.caller:
            break
        recorder._closed.wait(0.01)
    assert tape.caller == []
    listen(CALL, Closed(1_000), 1_000)


def test_recordings_go_wherever_fsspec_reaches(told: queue.Queue[Any]) -> None:
    shelf = Shelf("memory://bucket/recordings")
    recorder = Recorder(shelf, lambda call, fact, at_ms: told.put((call, fact)))
    record(recorder)
    _, fact = told.get(timeout=WAIT_S)
    recorder.close()
    file, size = shelf.open(fact.path)
    file.close()
    assert size == 58 + 16_000
    shelf.delete(CALL.call_sid)
    with pytest.raises(FileNotFoundError):
        shelf.open(fact.path)
    shelf.delete(CALL.call_sid)


def test_a_place_that_nothing_here_can_reach_refuses_the_start() -> None:
    with pytest.raises(ConfigError, match="RECORDINGS_URL: nowhere://"):
        Shelf("nowhere://x/y")
