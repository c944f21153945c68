"""How gunicorn serves callapp: ``gunicorn wsgi:app``.

A WebSocket keeps one thread of its worker for the whole call, so the threads follow from the calls allowed.
Where the platform ends a process by force some time after SIGTERM, DRAIN_SECONDS stays below that: Heroku
kills after 30 s, Cloud Run after 10 s.

What happens at SIGTERM: gunicorn's own way is to stop answering at once, while the kernel still accepts new
connections, which hang. Here the worker is told to drain and goes on serving (``/readyz`` and new calls get a
503) until the registry says that the last call is over; only then gunicorn's own way is taken.
"""

import gc
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from functools import partial

MALLOC = "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"
"""One place for all threads to take memory from, and none of it kept back for each."""


def _is_glibc():
    with suppress(AttributeError, OSError, ValueError):
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    return False


if __name__ == "__config__" and "GLIBC_TUNABLES" not in os.environ and _is_glibc():
    # What glibc keeps back is for threads that run at once, and ours hold the interpreter when they ask for
    # memory: it is 24 KiB a call for nothing. It can be told only where a program starts, so we start over.
    # Before all that takes long to import.
    os.environ["GLIBC_TUNABLES"] = MALLOC
    with suppress(OSError):
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  (the same program)

import gunicorn.http.parser
from gunicorn.glogging import Logger

from callapp.errors import ConfigError
from callapp.logs import configure_logging, formatter_for, refuse_to_start
from callapp.settings import load_settings
from callapp.web import patience
from callapp.web.worker import Worker
from callapp.websocket.reader import shared_reader

HTTP_THREADS = 16
"""Threads beyond the calls, so that webhooks and health checks find one when the server is full."""

DRAIN_MARGIN_S = 4
"""From the last goodbye to the end of the process: kept-alive connections linger for 2 s (gunicorn 27)."""

FILES_PER_CALL = 4
"""Two sockets, and room for database connections, REST requests and whatever else happens with a call."""

try:
    settings = load_settings()
except ConfigError as error:
    sys.exit(refuse_to_start(error))


class CallappLogger(Logger):
    """gunicorn's logger, whose lines look like ours from the first one on."""

    def setup(self, cfg):
        super().setup(cfg)
        configure_logging(settings)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.setFormatter(formatter_for(settings))


bind = f"0.0.0.0:{settings.port}"
worker_class = Worker  # gthread
workers = settings.web_concurrency
threads = settings.max_concurrent_calls + HTTP_THREADS
worker_connections = threads + 1000  # Idle kept-alive connections hold no thread; they may be many.
keepalive = 65  # Longer than a proxy keeps its connections: 60 s is common.
timeout = 60  # Of the main thread's heartbeat, however old a call is.
graceful_timeout = settings.drain_seconds + DRAIN_MARGIN_S
max_requests = 0  # A worker is never replaced for its age: that would cut its calls.
control_socket_disable = True  # It wants a writable home folder, and nobody here talks to it.

# gunicorn believes X-Forwarded-Proto of loopback peers by itself, and Heroku sets FORWARDED_ALLOW_IPS=*.
# Whom to believe is TRUSTED_PROXIES' business alone; werkzeug's ProxyFix does it inside the application.
forwarded_allow_ips = ""
secure_scheme_headers = {}
forwarder_headers = ""

logger_class = CallappLogger
loglevel = settings.log_level
accesslog = "-"
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'  # No query string: it may name people.


def _allow_files(wanted):
    """Raise the soft limit of open files towards ``wanted``; it is often 1,024, the hard one far more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _allowed_cores():
    """Return the cores this process may use, starting anywhere: several of us can share a machine."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    start = random.randrange(len(cores))  # noqa: S311  (nothing to guess)
    return cores[start:] + cores[:start]


# gunicorn has no setting for how long a request may take to arrive.
gunicorn.http.parser.SocketUnreader = patience.Unreader

_allow_files(worker_connections + FILES_PER_CALL * settings.max_concurrent_calls)
CORES = _allowed_cores()


def on_starting(server):
    """Give the workers a folder in which they add up their numbers, for GET /metrics. Runs in the master.

    Threads do not come along when a worker is forked: of an application that was loaded before, no worker
    would give back the line of a stream that never comes, nor heed a SIGTERM.
    """
    if server.cfg.preload_app:
        fault = "gunicorn: read --preload, expected none: callapp's threads have to start in its workers"
        sys.exit(refuse_to_start(ConfigError([fault])))
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        server.metrics_folder = tempfile.mkdtemp(prefix="callapp-metrics-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = server.metrics_folder


def on_reload(server):
    """Have those who serve leave the door to those who are about to come. Runs in the master, at SIGHUP.

    They get a SIGTERM as well then, by which alone they would tell all who ring until their own calls are
    over that the lines are busy.
    """
    for pid in server.WORKERS:
        os.kill(pid, signal.SIGHUP)


def nworkers_changed(server, new_value, old_value):
    """Have those who are one too many, after a SIGTTOU, leave the door to the others. Runs in the master.

    As at a reload: the oldest of them get a SIGTERM as well then.
    """
    by_age = sorted(server.WORKERS, key=lambda pid: server.WORKERS[pid].age)
    for pid in by_age[: max(0, len(by_age) - new_value)]:
        os.kill(pid, signal.SIGHUP)


def child_exit(server, worker):
    """Forget how things stood in a worker that is gone; what it has counted stays. Runs in the master."""
    from prometheus_client.multiprocess import mark_process_dead  # looks for the folder when imported

    mark_process_dead(worker.pid)


def on_exit(server):
    """Remove the folder of numbers, if it is ours. Runs in the master."""
    if hasattr(server, "metrics_folder"):
        shutil.rmtree(server.metrics_folder, ignore_errors=True)


def _let_sigterm(how):
    signal.pthread_sigmask(how, {signal.SIGTERM})


# Until it has handlers of its own, a worker has the master's, which would swallow a SIGTERM.
os.register_at_fork(after_in_parent=partial(_let_sigterm, signal.SIG_UNBLOCK))


def pre_fork(server, worker):
    """Choose the worker's core: one with the fewest of its siblings. Runs in the master."""
    taken = Counter(sibling.core for sibling in server.WORKERS.values())
    worker.core = min(CORES, key=taken.__getitem__, default=None)
    worker.stopped_early = False
    _let_sigterm(signal.SIG_BLOCK)


def _schedule(policy, priority):
    """Schedule this thread, and those it will start, in one of Linux's ways, if that is allowed."""
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, getattr(os, policy), os.sched_param(priority))


def post_fork(server, worker):
    """Give the reader of all sockets the right of way over the worker's other threads.

    One core, because only one thread runs Python at a time: hopping between caches costs, and gains nothing.
    The reader works in short strokes, and all calls wait for it. So it is a real-time thread where that is
    allowed (to root with CAP_SYS_NICE, mostly); the others are batch threads, which do not interrupt it nor
    each other, and they yield the interpreter in a tenth of the usual time. A platform may forbid all of it;
    we run without.
    """

    def stop_early(signum, frame):
        worker.stopped_early = True

    signal.signal(signal.SIGTERM, stop_early)  # gunicorn puts its own in place a moment later
    _let_sigterm(signal.SIG_UNBLOCK)
    # At 0.0001 frames would be a little earlier, but of two hundred calls that end at once each would hold up
    # all others. When many threads are busy at once the reader sees to it that it is longer.
    sys.setswitchinterval(0.0005)
    if worker.core is not None:
        with suppress(OSError):
            os.sched_setaffinity(0, {worker.core})
    _schedule("SCHED_RR", 1)  # a thread has the scheduling of the one that starts it
    shared_reader()
    _schedule("SCHED_BATCH", 0)


def post_worker_init(worker):
    """Let SIGTERM and SIGHUP wait for the calls, Ctrl-C for nothing, and the collector look at little."""
    registry = worker.wsgi.extensions["callapp"].registry

    def drain(signum, frame):
        # Interrupts any code of the main thread, so it takes no lock and does no I/O: the registry's own
        # thread looks at this. A second SIGTERM changes nothing (Heroku sends one to every process, and so
        # does the master).
        registry.drain_requested = True

    def leave():
        # Runs in the main thread.
        worker.stop_listening()
        worker.handle_exit(signal.SIGTERM, None)

    def end_now(signum, frame):
        # By the kernel's hand: gunicorn's handler waits for a lock of its thread pool, which the code that
        # was interrupted may hold, and the interpreter for the threads of live calls. Those have a moment to
        # be written down as over.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(2)
        worker.handle_quit(signum, frame)

    def hand_over(signum, frame):
        worker.method_queue.defer(worker.hand_over)  # which takes no lock

    registry.on_drained = partial(worker.method_queue.defer, leave)
    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGHUP, hand_over)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.siginterrupt(number, False)
    if worker.stopped_early:
        registry.drain_requested = True
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, end_now)

    # What was loaded stays for ever; looking through it at each collection would pause every call. A call
    # leaves some 300 objects of Flask-Sock's and SQLAlchemy's that only the collector frees. So it comes by
    # every thirty calls or so; those of live calls, which it looks at too, take it a millisecond.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 5, 5)


def pre_request(worker, req):
    """A head is there: its body has a time of its own. Runs in the thread of the request."""
    req.unreader.next_part(body=True)


def post_request(worker, req, environ, resp):
    """A request was answered; the connection may bring another one."""
    req.unreader.next_part(body=False)


def worker_exit(server, worker):
    """Write and send what is left, each with its deadline. Runs in the worker, last."""
    app = getattr(worker, "wsgi", None)  # there is none if it could not be made
    if app is not None:
        app.extensions["callapp"].close()
