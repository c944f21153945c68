"""From a call's tape to a file on the shelf, and word of it to the record."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from errno import ENOSPC
from io import BytesIO
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from callapp.call_log import StoreUnavailable
from callapp.conversation.facts import Began, Closed, Recorded
from callapp.conversation.playback import Playback
from callapp.errors import ConfigError
from callapp.recording import recorder as recorder_module
from callapp.recording.bench import Bench, Work
from callapp.recording.recorder import Recorder
from callapp.recording.reel import Reel
from callapp.recording.shelf import Shelf, ShelfUnavailable
from callapp.recording.tape import Tape
from callapp.telephony.media_streams import CallerAudio
from tests.call.test_journal import CALL
from tests.stage import no_thread_left

WAIT_S = 10.0
ROOT = Path(__file__).parents[2]
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
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bench")


@pytest.fixture
def make(shelf: Shelf, bench: Bench, told: queue.Queue[Any]) -> Callable[..., Recorder]:
    def recorder(shelf: Shelf = shelf, note: Any = lambda call_sid, recorded: True) -> Recorder:
        return Recorder(shelf, bench, lambda call, fact, at_ms: told.put((call, fact)), note)

    return recorder


@pytest.fixture
def recorder(make: Callable[..., Recorder], monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setattr(recorder_module, "RETRY_S", (0.01, 0.01))
    monkeypatch.setattr(recorder_module, "EMPTY_EVERY_S", 0.01)
    recorder = make()
    yield recorder
    recorder.close()


def record(recorder: Recorder, from_ms: int = 0) -> None:
    tape = Tape()
    listen = recorder.of(tape)
    tape.begin(Playback(), lambda: 20.0)
    listen(CALL, Began(from_ms), from_ms)
    tape.hear(CHUNK)
    end_ms = from_ms + 999.97  # the call's clock knows no whole milliseconds
    listen(CALL, Closed(end_ms), end_ms)


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


def test_without_threads_a_call_is_recorded_once_there_are_some(
    make: Callable[..., Recorder], told: queue.Queue[Any]
) -> None:
    """The system may have none left for a moment; no call was recorded any more after that."""

    recorder, stopped = make(), make()
    with no_thread_left():
        record(recorder)
        stopped.save_what_was_left_behind()
    stopped.close()  # what is closed after it at a stop is closed, too
    record(recorder, from_ms=20_000)
    assert {told.get(timeout=WAIT_S)[1].from_ms for _ in range(2)} == {0, 20_000}
    recorder.close()


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


def test_closing_writes_what_is_finished(recorder: Recorder, bench: Bench, told: queue.Queue[Any]) -> None:
    record(recorder)
    recorder.close(WAIT_S)
    assert isinstance(told.get_nowait()[1], Recorded)
    assert list(bench.left_behind()) == [], "nobody would ever delete what is left there"


ENDS = """
import sys, threading
from pathlib import Path
from callapp.conversation.facts import Began, Closed
from callapp.recording.bench import Bench
from callapp.recording.recorder import Recorder
from callapp.recording.shelf import Shelf
from callapp.recording.tape import Tape
from tests.call.test_journal import CALL

class FarAway(Shelf):
    def write(self, path, content):
        threading.main_thread().join()
        super().write(path, content)

folder = Path(sys.argv[1])
tell = lambda call, recorded, at_ms: print(recorded.path)
listen = Recorder(FarAway(str(folder / "recordings")), Bench(folder / "bench"), tell, None).of(Tape())
listen(CALL, Began(), 0)
listen(CALL, Closed(1_000), 1_000)
"""


def test_a_process_that_ends_writes_what_is_finished(tmp_path: Path, shelf: Shelf) -> None:
    """Also one that closes nothing, as the development server."""
    command = [sys.executable, "-c", ENDS, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert ended.stdout.split() == [shelf.path_of(CALL.call_sid)], ended.stderr
    assert list((tmp_path / "bench").iterdir()) == []


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


def test_a_full_disk_is_complained_of_once_and_recording_goes_on_when_it_has_room(
    recorder: Recorder,
    told: queue.Queue[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    take_from, tries, again = Reel.take_from, count(), Event()

    def fails_at_first(reel: Reel, tape: Tape) -> None:
        if next(tries) < 2:
            raise OSError(ENOSPC, "No space left on device")
        take_from(reel, tape)
        again.set()

    monkeypatch.setattr(Reel, "take_from", fails_at_first)
    tape = Tape()
    listen = recorder.of(tape)
    tape.begin(Playback(), lambda: 20.0)
    listen(CALL, Began(), 0)
    tape.hear(CHUNK)
    assert again.wait(WAIT_S)
    assert tape.caller == []
    listen(CALL, Closed(1_000), 1_000)
    assert isinstance(told.get(timeout=WAIT_S)[1], Recorded)
    complaints = [line.getMessage() for line in caplog.records if line.levelname == "ERROR"]
    assert complaints == ["! the recording has gaps: [Errno 28] No space left on device"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it is Linux's")
def test_a_disk_that_is_full_when_a_call_ends_costs_this_recording_and_no_other(
    recorder: Recorder,
    bench: Bench,
    told: queue.Queue[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What waits to be written cannot be when the file is closed, either."""
    begin = bench.begin

    def on_a_full_disk(call_sid: str, from_ms: int) -> Work:
        work = begin(call_sid, from_ms)
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, work.caller.fileno())
        os.close(full)
        return work

    with monkeypatch.context() as disk:
        disk.setattr(bench, "begin", on_a_full_disk)
        record(recorder)
    record(recorder)
    assert isinstance(told.get(timeout=WAIT_S)[1], Recorded)
    assert told.empty()
    assert "No space left on device" in caplog.text
    assert "Traceback" not in caplog.text


def test_what_another_process_goes_on_with_is_a_part_of_its_own(
    recorder: Recorder, shelf: Shelf, told: queue.Queue[Any]
) -> None:
    """It says where in the call it belongs, and is no longer than it lasted."""
    record(recorder)
    record(recorder, from_ms=41_230)
    first, second = (told.get(timeout=WAIT_S)[1] for _ in range(2))
    assert (first.from_ms, first.seconds) == (0, 1.0)
    assert (second.from_ms, second.seconds) == (41_230, 1.0)
    assert first.path != second.path


# -- what was left behind -----------------------------------------------------------------------

KILLED = """
import sys, threading
from base64 import b64encode
from pathlib import Path
from callapp.conversation.facts import Began
from callapp.conversation.playback import Playback
from callapp.recording import recorder as module
from callapp.recording.bench import Bench, Work
from callapp.recording.recorder import Recorder
from callapp.recording.shelf import Shelf
from callapp.recording.tape import Tape
from callapp.telephony.media_streams import CallerAudio
from tests.call.test_journal import CALL

module.EMPTY_EVERY_S = 0.01
folder = Path(sys.argv[1])
tape = Tape()
Recorder(Shelf(str(folder / "recordings")), Bench(folder / "bench"), None, None).of(tape)(CALL, Began(), 0)
tape.begin(Playback(), lambda: 20.0)
tape.hear(CallerAudio(b64encode(b"\\x20" * 160), 0))
while [one.stat().st_size for one in (folder / "bench").glob("*.caller")] != [160]:
    threading.Event().wait(0.01)
print("written", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which is recording a call."""
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        yield process
        process.kill()


def test_what_a_process_had_recorded_that_was_killed_is_saved_by_the_next_one(
    make: Callable[..., Recorder],
    bench: Bench,
    shelf: Shelf,
    other_process: subprocess.Popen[str],
    told: queue.Queue[Any],
) -> None:
    noted: queue.Queue[Any] = queue.Queue()
    other_process.kill()
    other_process.wait(WAIT_S)
    recorder = make(note=lambda call_sid, recorded: noted.put((call_sid, recorded)) or True)
    recorder.save_what_was_left_behind()
    call_sid, recorded = noted.get(timeout=WAIT_S)
    record(recorder, from_ms=5_000)  # which records as ever
    assert told.get(timeout=WAIT_S)[1].from_ms == 5_000
    recorder.close(WAIT_S)
    assert (call_sid, recorded.from_ms, recorded.seconds) == (CALL.call_sid, 0, 0.02)
    file, _ = shelf.open(recorded.path)
    with file:
        assert file.read()[58::2] == b"\x20" * 160
    assert list(bench.left_behind()) == []


def test_what_a_process_is_recording_that_lives_is_left_alone(
    make: Callable[..., Recorder], bench: Bench, shelf: Shelf, other_process: subprocess.Popen[str]
) -> None:
    recorder = make(note=None)
    recorder.save_what_was_left_behind()
    recorder.close(WAIT_S)
    assert not Path(shelf.path_of(CALL.call_sid)).exists()
    other_process.kill()
    other_process.wait(WAIT_S)
    (work,) = bench.left_behind()
    work.remove()


def test_what_two_processes_save_at_once_leaves_nothing_behind(tmp_path: Path, bench: Bench) -> None:
    """Each has seen what the other one then takes."""
    for call_sid in ("CA1", "CA2"):
        bench.begin(call_sid, 0).leave()
    one = bench.left_behind()
    first = next(one)
    (second,) = bench.left_behind()
    assert (first.call_sid, second.call_sid) == ("CA1", "CA2")
    second.remove()
    first.remove()
    assert list(one) == []
    assert list((tmp_path / "bench").iterdir()) == []


def test_what_a_process_that_died_as_it_began_has_left_is_found(tmp_path: Path, bench: Bench) -> None:
    bench.begin("CA1", 5).leave()
    next((tmp_path / "bench").glob("*.agent")).unlink()
    (work,) = bench.left_behind()
    assert (work.call_sid, work.from_ms, work.agent.read()) == ("CA1", 5, b"")
    work.remove()
    assert list((tmp_path / "bench").iterdir()) == []


def test_of_a_call_that_was_deleted_meanwhile_nothing_is_saved(
    make: Callable[..., Recorder], bench: Bench, shelf: Shelf
) -> None:
    work = bench.begin(CALL.call_sid, 0)
    work.caller.write(b"\x20" * 160)
    work.leave()
    recorder = make(note=lambda call_sid, recorded: False)
    recorder.save_what_was_left_behind()
    recorder.close(WAIT_S)
    assert not Path(shelf.path_of(CALL.call_sid)).exists()
    assert list(bench.left_behind()) == []


def test_what_a_full_disk_has_taken_of_a_recording_is_deleted_with_it(tmp_path: Path) -> None:
    class Voice(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(ENOSPC, "No space left on device")
            return super().read(3)

    shelf = Shelf(str(tmp_path))
    with pytest.raises(ShelfUnavailable):
        shelf.write(shelf.path_of("CA1"), Voice(b"RIFF..."))
    shelf.delete("CA1")
    assert list(tmp_path.iterdir()) == []


def test_what_the_shelf_or_the_database_will_not_take_now_stays_for_the_next_start(
    make: Callable[..., Recorder], bench: Bench, shelf: FailingShelf, recorder: Recorder
) -> None:
    def note(call_sid: str, recorded: Recorded) -> bool:
        raise StoreUnavailable("away")

    shelf.failures = 3
    record(recorder)  # its shelf is away for all that it tries
    recorder.close(WAIT_S)
    second = make(note=note)
    second.save_what_was_left_behind()
    second.close(WAIT_S)
    (work,) = bench.left_behind()
    assert work.call_sid == CALL.call_sid
    work.remove()


def test_recordings_go_wherever_fsspec_reaches(make: Callable[..., Recorder], told: queue.Queue[Any]) -> None:
    shelf = Shelf("memory://bucket/recordings")
    recorder = make(shelf)
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


@pytest.mark.parametrize("name", ["calls [old]", "calls*", "{calls}"])
def test_a_folder_may_be_called_as_no_pattern_could(tmp_path: Path, name: str) -> None:
    """What looked for nothing there would tell that all is deleted."""
    for folder in (name, "calls other"):
        shelf = Shelf(str(tmp_path / folder))
        shelf.write(shelf.path_of("CA1"), BytesIO(b"RIFF"))
    Shelf(str(tmp_path / name)).delete("CA1")
    assert [path.parent.name for path in tmp_path.glob("*/CA1.wav")] == ["calls other"]


def test_a_folder_of_this_machine_is_known_for_one(tmp_path: Path) -> None:
    assert Shelf(str(tmp_path)).folder_here == Shelf(f"file://{tmp_path}").folder_here == tmp_path
    assert Shelf("memory://bucket/recordings").folder_here is None


def test_a_place_that_nothing_here_can_reach_refuses_the_start() -> None:
    with pytest.raises(ConfigError, match="RECORDINGS_URL: nowhere://"):
        Shelf("nowhere://x/y")
    with pytest.raises(ConfigError, match=r"RECORDINGS_URL: ftp://.*refused"):  # fsspec connects at once
        Shelf("ftp://127.0.0.1:1/x")
