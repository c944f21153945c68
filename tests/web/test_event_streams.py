"""Those who watch are told by one thread, which waits for none of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from threading import enumerate as threads
from typing import Any

import pytest
from flask.testing import FlaskClient

from callapp.call.levels import Levels
from callapp.conversation.facts import Began
from callapp.errors import CallappError
from callapp.web import event_streams
from callapp.web.desk.live import LiveCalls
from callapp.web.event_streams import EventStreams, event
from tests.stage import closes_at_once, eventually, no_thread_left
from tests.web.test_calls import CALL, CALL_SID, tell
from tests.web.test_desk import MakeApp, make_app, signed_in  # noqa: F401 - a fixture

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
WAIT_S = 10.0


class FakeChannel:
    """Says what a test puts into it."""

    def __init__(self) -> None:
        self.next: list[bytes | Exception] = []
        self.all = event("all", "there is")
        self.asked = Event()

    def whole(self) -> bytes:
        return self.all

    def news(self) -> bytes:
        self.asked.set()
        said = self.next.pop(0) if self.next else b""
        if isinstance(said, Exception):
            raise said
        return said


class Stage:
    def __init__(self, stack: ExitStack) -> None:
        self.streams = EventStreams()
        stack.callback(self.streams.close)
        self.stack = stack
        self.channels: dict[str, FakeChannel] = {}

    def watch(self, name: str = "live", room: int | None = None) -> socket.socket:
        mine, theirs = socket.socketpair()
        if room is not None:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        self.stack.enter_context(mine)
        mine.settimeout(WAIT_S)
        self.streams.add(theirs, HEAD, name, lambda: self.channels.setdefault(name, FakeChannel()))
        return mine


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(event_streams, "TICK_S", 0.01)
    with ExitStack() as stack:
        yield Stage(stack)


def read_until(sock: socket.socket, text: bytes) -> bytes:
    data = b""
    while text not in data:
        piece = sock.recv(65_536)
        assert piece, data
        data += piece
    return data


def test_whoever_comes_is_told_all_there_is_and_then_what_is_new(stage: Stage) -> None:
    watcher = stage.watch()
    told = read_until(watcher, stage.channels["live"].all)
    assert told.startswith(HEAD + b"retry: 1000\n\nevent: hello\ndata: null\n\n")
    stage.channels["live"].next.append(event("row", {"words": "はい\n\nevent: x"}))
    assert read_until(watcher, b"\n\n") == 'event: row\ndata: {"words":"はい\\n\\nevent: x"}\n\n'.encode()


def test_all_who_watch_the_same_are_told_the_same_by_one_thread(stage: Stage) -> None:
    watchers = [stage.watch() for _ in range(5)] + [stage.watch("CA1")]
    for one in watchers:
        read_until(one, b"there is")
    assert sum(thread.name == "event-streams" for thread in threads()) == 1
    stage.channels["live"].next.append(event("row", 1))
    for one in watchers[:5]:
        assert read_until(one, b"\n\n") == event("row", 1)
    stage.channels["CA1"].next.append(event("levels", [1, 2]))
    assert read_until(watchers[5], b"\n\n") == event("levels", [1, 2])


def test_without_a_thread_who_watches_waits_for_the_next_who_comes(stage: Stage) -> None:
    """The system may have none left for a moment; nobody was told anything any more after that."""
    with no_thread_left():
        first = stage.watch()
    for one in (first, stage.watch()):
        read_until(one, b"there is")


def test_a_quiet_server_says_that_it_is_there(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page cannot tell silence from a proxy that keeps everything back."""
    monkeypatch.setattr(event_streams, "BEAT_S", 0.05)
    assert read_until(stage.watch(), event("beat"))


def test_a_watcher_that_does_not_read_holds_up_nobody_and_is_told_all_anew(stage: Stage) -> None:
    slow, quick = stage.watch(room=4096), stage.watch()
    channel = stage.channels["live"]
    read_until(quick, b"there is")
    channel.all = event("all", "later")
    for number in range(20):
        channel.next.append(event("row", [number, "." * 20_000]))
    read_until(quick, b"[19,")
    told = read_until(slow, event("all", "later"))  # now it reads
    assert b"[19," not in told
    channel.next.append(event("row", "last"))
    assert event("row", "last") in read_until(slow, event("row", "last"))


def test_one_that_never_reads_is_let_go(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "MOST_UNSENT_BYTES", 50_000)
    stage.watch(room=4096)
    stage.channels["live"].all = event("all", "." * 200_000)
    assert eventually(lambda: not stage.streams._watchers, WAIT_S)


def test_the_thread_is_there_only_while_somebody_watches(stage: Stage) -> None:
    watcher = stage.watch()
    read_until(watcher, b"there is")
    watcher.close()
    assert eventually(lambda: stage.streams._thread is None, WAIT_S)
    assert stage.streams._channels == {}
    read_until(stage.watch(), b"there is")


def test_a_stream_ends_after_a_while_and_the_page_comes_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or whoever signed out would go on watching."""
    monkeypatch.setattr(event_streams, "LONGEST_S", 0.05)
    watcher = stage.watch()
    assert eventually(lambda: not stage.streams._watchers, WAIT_S)
    assert read_until(watcher, b"hello")


@pytest.mark.parametrize("fault", [CallappError("no database"), ZeroDivisionError()])
def test_what_cannot_be_told_ends_the_streams_of_those_who_watch_it_and_no_others(
    stage: Stage, fault: Exception
) -> None:
    one, other = stage.watch(), stage.watch("CA1")
    read_until(one, b"there is")
    read_until(other, b"there is")
    stage.channels["live"].next.append(fault)
    assert one.recv(1000) == b""
    stage.channels["CA1"].next.append(event("levels", [0, 1]))
    assert read_until(other, b"\n\n") == event("levels", [0, 1])


def test_at_the_end_nobody_is_kept(stage: Stage) -> None:
    watcher = stage.watch()
    read_until(watcher, b"there is")
    stage.streams.close()
    assert watcher.recv(1000) == b""
    assert stage.streams.full


def test_a_database_that_hangs_is_not_waited_for_at_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record has its own time then, which nothing may take."""
    asked, answer = Event(), Event()

    def hangs(_: FakeChannel) -> bytes:
        asked.set()
        answer.wait(WAIT_S)
        return b""

    monkeypatch.setattr(FakeChannel, "news", hangs)
    stage.watch()
    assert asked.wait(WAIT_S)
    assert closes_at_once(stage.streams.close, answer)


# -- as the desk answers -----------------------------------------------------------------------------


def test_another_server_than_gunicorn_has_the_page_ask(make_app: MakeApp) -> None:  # noqa: F811
    """`flask run` closes sockets its own way; a browser does not come again after a 204."""
    client = signed_in(make_app())
    answer: Any = client.get("/desk/live/events", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.data) == (204, b"")


def test_nobody_is_told_who_has_not_signed_in(make_app: MakeApp) -> None:  # noqa: F811
    client: FlaskClient = make_app().test_client()
    assert client.get("/desk/live/events", headers={"Accept": "text/event-stream"}).status_code == 401


def test_a_call_that_is_not_measured_any_more_is_told_to_be_silent(
    make_app: MakeApp,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is being put through, or its process was killed; its bars would stand still where they were."""
    parts = make_app().extensions["callapp"]
    tell(parts, [Began()], replace(CALL, began_at=datetime.now(UTC)))
    levels = {CALL_SID: Levels(3, 7), "CA" + "9" * 32: Levels(9, 9)}
    monkeypatch.setattr(parts.liaison, "levels", lambda: levels)
    channel = LiveCalls(parts)
    assert channel.news().endswith(event("levels", {CALL_SID: "37"}))
    levels.clear()
    assert channel.news() == event("levels", {CALL_SID: "00"})
    assert channel.news() == b""
    assert channel.whole().endswith(event("levels", {CALL_SID: "00"}))
