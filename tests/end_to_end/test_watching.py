"""Those who watch at the desk hold no thread that a call may need."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from callapp.simulators.model_script import Say, Script
from tests.end_to_end.desk import cookie_of
from tests.stage import DEADLINE_S, HTTP_THREADS, Server, eventually, words

ANSWER = words("I am listening.", 3_000)


class Watcher:
    """A browser's end of a stream of events."""

    def __init__(self, server: Server, path: str, cookie: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: text/event-stream\r\n"
            f"Cookie: {cookie}\r\n\r\n".encode()
        )
        self.lines = self.socket.makefile("rb")
        self.status = self.lines.readline().split()[1]
        self.headers = {}
        while line := self.lines.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name] = value

    def event(self, wanted: str) -> Any:
        """The data of the next event of a name."""
        while True:
            line = self.lines.readline()
            assert line, f"no {wanted} came"
            if line == f"event: {wanted}\n".encode():
                return json.loads(self.lines.readline().removeprefix(b"data: "))

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@contextmanager
def watching(server: Server, path: str, number: int = 1) -> Iterator[list[Watcher]]:
    cookie = cookie_of(server)
    with ExitStack() as stack:
        watchers = []
        for _ in range(number):
            watchers.append(Watcher(server, path, cookie))
            stack.callback(watchers[-1].close)
        yield watchers


def test_more_may_watch_than_there_are_threads(one_line: Server) -> None:
    """There are 17, one for the call and those for webhooks; and all are free while thirty watch."""
    assert eventually(one_line.is_at_rest)
    assert eventually(lambda: not one_line.get("/calls?status=in-progress").json["calls"])  # of tests before
    at_rest = one_line.counts()
    with one_line.scene() as scene, watching(one_line, "/desk/live/events", 30) as watchers:
        for watcher in watchers:
            assert watcher.status == b"200"
            assert watcher.headers["Content-Type"] == "text/event-stream"
            assert watcher.headers["X-Accel-Buffering"] == "no"
            assert watcher.event("calls") == {"whole": True, "calls": [], "gone": []}

        def costs_little() -> bool:
            now = one_line.counts()
            few = now.descriptors <= at_rest.descriptors + len(watchers)
            return few and now.threads <= at_rest.threads + 1

        assert eventually(costs_little), (at_rest, one_line.counts())  # once their requests are over
        assert len(watchers) > HTTP_THREADS + 1
        call, _ = scene.live()
        for watcher in watchers:
            (row,) = watcher.event("calls")["calls"]
            assert row["sid"] == call.sid
        call.hang_up()
        scene.ending(call)
        assert watchers[0].event("calls")["gone"] == [call.sid]
    assert eventually(one_line.is_at_rest)


@pytest.mark.parametrize("path", ["/desk/live/events", "/desk/calls/{}/events"])
def test_both_sides_are_seen_to_speak_while_they_do(one_line: Server, path: str) -> None:
    with one_line.scene(Script(otherwise=Say(ANSWER))) as scene:
        call, session = scene.live()
        assert eventually(lambda: one_line.get(f"/calls/{call.sid}").status == 200)
        with watching(one_line, path.format(call.sid)) as (watcher,):

            def levels() -> tuple[int, int]:
                told = watcher.event("levels")
                both = told.get(call.sid, "00") if isinstance(told, dict) else told
                return int(both[0]), int(both[1])

            watcher.event("hello")
            call.speak(words("Is anybody there?", 1_500))
            while levels()[0] < 3:
                pass
            while levels()[1] < 3:  # the answer, as it is heard
                pass
            assert session.received_events("input_audio_buffer.append")
            call.hang_up()
            scene.ending(call)
