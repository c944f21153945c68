"""gunicorn's gthread worker, as calls need it (27.0.1).

Its main thread takes connections and deals out requests, and all calls of the process end with it. So it
waits for nobody, and stays when the system can give it nothing more: no descriptor, no thread. Where others
serve in its place, or nobody does, it leaves the door to them at once, and its calls have their time.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from socket import socket
from time import monotonic

from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

from callapp.web.patience import LEAVES_S, see_off

log = logging.getLogger(__name__)

# What the system lacks to take a connection; whoever waits for one does so in the kernel's queue.
_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE_S = 1.0


class _Pool(ThreadPoolExecutor):
    """Threads for requests. Where the system has no more of them, requests wait for those that there are."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError as error:
            if not self._threads:
                raise
            log.error("! no thread could be started for a request, which waits for another to end: %s", error)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A worker that stays for its calls. All but ``handle`` and its like is for the main thread."""

    sockets: list[socket]  # listened on
    _paused_until_s = 0.0

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return what requests run in."""
        return _Pool(max_workers=self.cfg.threads)

    def handle(self, conn: TConn) -> object:
        """Serve a request; return what says whether its connection goes on. Runs in a thread of the pool."""
        goes_on = super().handle(conn)
        if not goes_on:
            see_off(conn.sock)
        return goes_on

    def handle_request(self, req: Request, conn: TConn) -> object:
        """Answer one; return whether its connection goes on. Runs in a thread of the pool, too."""
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            log.warning("! an answer was not taken: %s %s", req.method, req.path)
            return False

    def accept(self, listener: socket) -> None:
        """Take a connection, or none for a while if the system cannot give one."""
        if listener not in self.sockets:  # the door was left in the same breath; others see to who came
            return
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in _LACKS:
                raise
            log.error("! no connection can be taken, which is tried again in a moment: %s", error.strerror)
            self._paused_until_s = monotonic() + PAUSE_S
            self.set_accept_enabled(False)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections from now on, or none. gunicorn asks for it again and again."""
        super().set_accept_enabled(enabled and monotonic() >= self._paused_until_s)

    def is_parent_alive(self) -> bool:
        """Whether to go on: without a master, too, for as long as calls may at a stop."""
        if not super().is_parent_alive():
            self.ppid = os.getppid()  # it is said once
            self.hand_over()
        return True

    def hand_over(self) -> None:
        """Leave all who come to others that may listen there, and go when the calls are over."""
        self.stop_listening()
        self.cfg.set("keepalive", 0)  # by a connection that is kept alive somebody would come here, too
        self._cap_keepalive(monotonic() + LEAVES_S)
        os.kill(os.getpid(), signal.SIGTERM)

    def stop_listening(self) -> None:
        """Let nobody wait in the kernel's queue for us: a connection that comes is another's, or refused."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        self.sockets = []
