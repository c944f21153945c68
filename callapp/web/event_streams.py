"""Server-sent events that hold no thread: one thread a process tells all who watch.

A response that waits for news would keep a thread of the pool, which a call may need. So the socket is taken
over from gunicorn, as a WebSocket's is, and the request is over as soon as its headers are out. What is told
is a *channel*'s to say: each is asked a few times a second, and what it says goes to all who watch it.

None of this waits for a watcher: what a socket does not take is kept, and while something is kept the watcher
is told nothing else; then all of it anew. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from http import HTTPStatus
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from flask import Response

from callapp.errors import CallappError
from callapp.threads import leave, try_start

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

TICK_S = 0.25
# Something is said at least so often, so that the page can tell a quiet server from a buffer on the way.
BEAT_S = 3.0
# Then the page comes again, and is asked again who it is.
LONGEST_S = 300.0
MOST_WATCHERS = 100
MOST_UNSENT_BYTES = 2**20
# How soon a browser comes again whose stream has ended.
RETRY_MS = 1000

CONTENT_TYPE = "text/event-stream"


class Channel(Protocol):
    """Something that can be watched. Asked by one thread."""

    def whole(self) -> bytes:
        """Events that tell all there is to one who comes new."""

    def news(self) -> bytes:
        """Events that tell what has changed since this was asked last; ``b""`` for nothing.

        Raises:
            CallappError: it cannot be told. Whoever watches has to come again.
        """


def event(name: str, data: Any = None) -> bytes:
    """One event, its data as JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


class EventStreams:
    """All who watch, and the thread that tells them; it is there only while somebody does."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._watchers: list[_Watcher] = []
        self._channels: dict[str, Channel] = {}
        self._thread: Thread | None = None
        self._closed = Event()

    @property
    def full(self) -> bool:
        """Whether there are as many watchers as one thread should have."""
        return self._closed.is_set() or len(self._watchers) >= MOST_WATCHERS

    def add(self, sock: socket.socket, head: bytes, name: str, new_channel: Callable[[], Channel]) -> None:
        """Tell somebody from now on what a channel says.

        Args:
            sock: theirs, and nobody else's from here on.
            head: of the response.
            name: the channel's; ``new_channel`` makes it if nobody watches it yet.
        """
        with self._lock:
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = new_channel()
            opening = head + b"retry: %d\n\n" % RETRY_MS + event("hello")
            self._watchers.append(_Watcher(sock, channel, opening))
            if self._thread is None:
                self._thread = try_start(self._run, "event-streams")

    def close(self) -> None:
        """Let go of all who watch; a look at the database that is under way is not waited for."""
        with self._lock:
            self._closed.set()
            thread = self._thread
        leave(thread)

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while watchers := self._who_watches():
            for channel in dict.fromkeys(one.channel for one in watchers):
                self._tell([one for one in watchers if one.channel is channel], channel)
            self._closed.wait(TICK_S)

    def _who_watches(self) -> list[_Watcher]:
        """All who do; none when this thread is not needed any more."""
        now_s = monotonic()
        with self._lock:
            for one in self._watchers:
                if self._closed.is_set() or now_s > one.until_s:
                    one.leave()
            self._watchers = [one for one in self._watchers if not one.gone]
            watched = [one.channel for one in self._watchers]
            self._channels = {name: one for name, one in self._channels.items() if one in watched}
            if not self._watchers:
                self._thread = None
            return self._watchers[:]

    def _tell(self, watchers: Iterable[_Watcher], channel: Channel) -> None:
        try:
            news = channel.news()
            for one in watchers:
                one.tell(news, channel.whole)
        except Exception as error:
            # They come again, or ask; and are told then what is wrong.
            if isinstance(error, CallappError):
                log.warning("! those who watch cannot be told: %s", str(error).partition("\n")[0])
            else:
                log.exception("! bug in what is watched")
            for one in watchers:
                one.leave()


class _Watcher:
    """A browser's end of a stream."""

    def __init__(self, sock: socket.socket, channel: Channel, opening: bytes) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.channel = channel
        self._unsent = opening
        self._behind = True  # has to be told all there is
        self._told_s = monotonic()
        self.until_s = self._told_s + LONGEST_S
        self.gone = False

    def tell(self, news: bytes, whole: Callable[[], bytes]) -> None:
        if self._has_left():
            self.leave()
            return
        self._write()
        now_s = monotonic()
        if self._unsent:
            self._behind = True
            return
        if self._behind:
            news, self._behind = whole(), False
        elif not news and now_s - self._told_s > BEAT_S:
            news = event("beat")
        if news:
            self._told_s = now_s
            self._unsent = news
            self._write()

    def leave(self) -> None:
        self.gone = True
        self._socket.close()

    def _has_left(self) -> bool:
        try:
            return self._socket.recv(1024) == b""  # nothing that a watcher says means anything
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _write(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            if len(self._unsent) > MOST_UNSENT_BYTES:
                self.leave()
        except OSError:
            self.leave()


class EventStream(Response):
    """Answers with a channel's events, for as long as the browser listens.

    204 where that cannot be, under another server than gunicorn or with too many who watch: a browser then
    gives up, and the page asks from time to time.
    """

    def __init__(self, streams: EventStreams, name: str, new_channel: Callable[[], Channel]) -> None:
        super().__init__(content_type=CONTENT_TYPE)
        self.headers["Cache-Control"] = "no-store"
        self.headers["X-Accel-Buffering"] = "no"  # nginx would keep it until there is more
        self._streams = streams
        self._name = name
        self._new_channel = new_channel

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sock = environ.get("gunicorn.socket")
        plain = isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket)
        if sock is None or not plain or environ["REQUEST_METHOD"] != "GET" or self._streams.full:
            self.status_code = HTTPStatus.NO_CONTENT
            return super().__call__(environ, start_response)
        self._streams.add(_taken_over(sock), self._head(), self._name, self._new_channel)
        # To gunicorn this says that the connection is over, without an answer; Flask-Sock does the same.
        raise StopIteration

    def _head(self) -> bytes:
        headers = [(name, value) for name, value in self.headers.items() if name != "Content-Length"]
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def _taken_over(sock: socket.socket) -> socket.socket:
    """A socket's connection; what is left in its place is at its end, and may be closed as gunicorn likes."""
    mine = sock.dup()
    end, other = socket.socketpair()
    with end, other:
        os.dup2(end.fileno(), sock.fileno(), inheritable=False)
    return mine
