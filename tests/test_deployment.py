"""gunicorn as ``gunicorn.conf.py`` sets it up: real processes, a small application in callapp's place."""

from __future__ import annotations

import http.client
import json
import os
import platform
import re
import resource
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.workers.gthread import ThreadWorker

from callapp.web.patience import TAKES_S
from tests.stage import DEADLINE_S, ROOT, Gunicorn, eventually, free_port

CONFIG = ROOT / "gunicorn.conf.py"
# Stands for create_app(): a registry as gunicorn.conf.py knows it, and requests that hold a thread as a
# WebSocket does.
STAND_IN = """
import gc, os, sys, threading, warnings
from types import SimpleNamespace
from flask import Flask, request

changed = threading.Condition()
registry = SimpleNamespace(drain_requested=False, on_drained=None, calls=0)
app = Flask(__name__)
app.extensions["callapp"] = SimpleNamespace(registry=registry, close=lambda: None)

def janitor():
    with changed:
        while not (registry.drain_requested and registry.calls == 0):
            changed.wait(0.05)
    registry.on_drained()

threading.Thread(target=janitor, daemon=True).start()

@app.get("/readyz")
def readyz():
    return ("draining", 503) if registry.drain_requested else "ready"

@app.get("/call")
def call():
    with changed:
        registry.calls += 1
        changed.notify_all()
        changed.wait_for(lambda: registry.calls == 0, 30)
    return "over"

@app.get("/calls/<int:wanted>")
def calls(wanted):
    with changed:
        return str(changed.wait_for(lambda: registry.calls == wanted, 10))

@app.get("/hang-up")
def hang_up():
    with changed:
        registry.calls = 0
        changed.notify_all()
    return "done"

@app.get("/scheme")
def scheme():
    return request.scheme

@app.get("/process")
def process():
    return {
        "pid": os.getpid(),
        "cores": len(os.sched_getaffinity(0)),
        "batch": os.sched_getscheduler(0) == os.SCHED_BATCH,
        "reader": next(
            os.sched_getscheduler(one.native_id) for one in threading.enumerate() if one.name == "reader"
        ),
        "switch_interval": sys.getswitchinterval(),
        "frozen": gc.get_freeze_count(),
        "malloc": os.environ.get("GLIBC_TUNABLES"),
    }

@app.get("/large/<float:within_s>")
def large(within_s):
    from flask import Response
    from tempfile import TemporaryFile
    from werkzeug.wsgi import wrap_file
    request.environ["gunicorn.socket"].settimeout(within_s)  # in place of what it was set to
    file = TemporaryFile()
    file.truncate(50_000_000)
    return Response(wrap_file(request.environ, file), content_type="audio/wav", direct_passthrough=True)

@app.get("/patience")
def patience():
    return str(request.environ["gunicorn.socket"].gettimeout())

@app.get("/noise")
def noise():
    warnings.warn("an old way", DeprecationWarning)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    raise RuntimeError("nobody at +819012345678")
"""

REFUSING = """
import sys
from callapp.errors import ConfigError
from callapp.logs import refuse_to_start

faults = ["operator.md:3: unknown field 'voise'", "operator.md:9: no such tool 'x'"]
sys.exit(refuse_to_start(ConfigError(faults)))
"""


class StandIn(Gunicorn):
    """A gunicorn with our configuration, and an application in callapp's place."""

    def __init__(
        self,
        folder: Path,
        application: str,
        target: str = "stand_in:app",
        config: Path = CONFIG,
        **environ: str,
    ) -> None:
        (folder / "stand_in.py").write_text(application)
        super().__init__(folder, "-c", str(config), target, PYTHONPATH=str(ROOT), **environ)


class Server(StandIn):
    """A gunicorn process that serves the stand-in."""

    def __init__(self, folder: Path, config: Path = CONFIG, **environ: str) -> None:
        self.port = free_port()
        super().__init__(folder, STAND_IN, config=config, PORT=str(self.port), **environ)
        self.wait_for_line("Listening at")

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Ask on a connection of its own; connections stay in the kernel's queue until a worker is up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path, headers=headers | {"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def call(self, already: int = 0) -> Thread:
        """Begin a call; return the thread that waits for its end."""
        thread = Thread(target=self._hold, daemon=True)
        thread.start()
        assert self.get(f"/calls/{already + 1}") == (200, "True")
        return thread

    def _hold(self) -> None:
        with suppress(OSError):  # some tests cut it off on purpose
            self.get("/call")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def begin(config: Path = CONFIG, **environ: str) -> Server:
        servers.append(Server(tmp_path, config, **environ))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Return what gunicorn.conf.py says under a given environment."""
    monkeypatch.chdir(tmp_path)

    def read(**environ: str) -> SimpleNamespace:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return SimpleNamespace(**runpy.run_path(str(CONFIG)))

    return read


def refused(folder: Path, application: str = STAND_IN, **options: str) -> tuple[int, list[str]]:
    """Start one that does not serve; return its exit status and all that it wrote."""
    gunicorn = StandIn(folder, application, **options)
    try:
        return gunicorn.wait(), gunicorn.lines
    finally:
        gunicorn.close()


def test_there_are_threads_for_all_calls_and_for_http_besides(config: Callable[..., SimpleNamespace]) -> None:
    for calls in (1, 100, 400):
        conf = config(MAX_CONCURRENT_CALLS=str(calls))
        assert issubclass(conf.worker_class, ThreadWorker)
        assert conf.threads >= calls + 8
        assert conf.worker_connections > conf.threads + 100


def test_nothing_ends_a_live_call_before_its_time(config: Callable[..., SimpleNamespace]) -> None:
    conf = config(DRAIN_SECONDS="25")
    assert conf.max_requests == 0
    assert 25 < conf.graceful_timeout < 30  # Heroku kills at 30 s
    assert conf.timeout >= 30


def test_nothing_of_the_platform_is_taken_for_granted(config: Callable[..., SimpleNamespace]) -> None:
    conf = config(PORT="8080", WEB_CONCURRENCY="3", FORWARDED_ALLOW_IPS="*")
    assert conf.control_socket_disable is True
    assert conf.bind == "0.0.0.0:8080"
    assert conf.workers == 3
    assert (conf.forwarded_allow_ips, conf.secure_scheme_headers, conf.forwarder_headers) == ("", {}, "")
    assert "%(q)s" not in conf.access_log_format
    assert "%(r)s" not in conf.access_log_format


def test_a_worker_takes_the_core_with_the_fewest_siblings(config: Callable[..., SimpleNamespace]) -> None:
    conf = config()
    cores = conf.CORES
    if len(cores) < 2:
        pytest.skip("one core: nothing to choose")
    assert sorted(cores) == sorted(os.sched_getaffinity(0))
    siblings: dict[int, Any] = {}
    for pid in range(2 * len(cores)):
        worker = SimpleNamespace()
        conf.pre_fork(SimpleNamespace(WORKERS=siblings), worker)
        siblings[pid] = worker
    assert sorted(worker.core for worker in siblings.values()) == sorted(2 * cores)
    # The successor of a worker takes its core, whatever its own age.
    freed = siblings.pop(1).core
    successor = SimpleNamespace()
    conf.pre_fork(SimpleNamespace(WORKERS=siblings), successor)
    assert successor.core == freed


def test_scheduling_that_is_forbidden_does_no_harm(
    config: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: object) -> None:
        raise PermissionError

    conf = config()
    interval = sys.getswitchinterval()
    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    try:
        conf.post_fork(SimpleNamespace(), SimpleNamespace(core=0))
        monkeypatch.delattr(os, "SCHED_BATCH")
        monkeypatch.delattr(os, "sched_setscheduler")  # macOS has names of policies, but not this
        conf.post_fork(SimpleNamespace(), SimpleNamespace(core=None))
    finally:
        sys.setswitchinterval(interval)


def test_at_its_end_a_worker_closes_what_it_has(config: Callable[..., SimpleNamespace]) -> None:
    """What waits to be written or sent would otherwise be lost at each deployment."""
    conf = config()
    closed: list[str] = []
    parts = SimpleNamespace(close=lambda: closed.append("all"))
    conf.worker_exit(None, SimpleNamespace(wsgi=SimpleNamespace(extensions={"callapp": parts})))
    assert closed == ["all"]
    conf.worker_exit(None, SimpleNamespace())  # it refused to start


def test_procfile_and_python_version_are_what_the_platforms_read() -> None:
    assert (ROOT / "Procfile").read_text() == "web: gunicorn wsgi:app\n"
    # Only major and minor: the newest patch is taken. Google's default builder knows 3.13 and later only.
    assert (ROOT / ".python-version").read_text() == "3.13\n"


def test_every_requirement_is_pinned() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
        assert [
            line for line in lines if not re.fullmatch(r"[\w\[\]-]+==[\w.!]+|-r requirements\.txt", line)
        ] == []


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_wrong_settings_end_gunicorn_with_one_line_each(tmp_path: Path, log_format: str) -> None:
    status, lines = refused(tmp_path, PORT="99999", MAX_CONCURRENT_CALLS="none", LOG_FORMAT=log_format)
    if log_format == "json":
        lines = [json.loads(line)["message"] for line in lines]
    assert lines == [
        "PORT: read '99999', expected a whole number from 1 to 65535",
        "MAX_CONCURRENT_CALLS: read 'none', expected a whole number from 1 to 5000",
    ]
    assert status not in (0, None)


def test_an_application_that_is_loaded_before_its_workers_are_is_refused(tmp_path: Path) -> None:
    """Its threads would stay behind in the master: no line would be given back, nor a SIGTERM heeded."""
    status, lines = refused(tmp_path, PORT=str(free_port()), GUNICORN_CMD_ARGS="--preload")
    assert lines[-1] == (
        "gunicorn: read --preload, expected none: callapp's threads have to start in its workers"
    )
    assert not any("Listening" in line for line in lines)
    assert status not in (0, None)


def test_faults_found_by_the_application_end_gunicorn_without_another_try(tmp_path: Path) -> None:
    status, lines = refused(tmp_path, REFUSING, PORT=str(free_port()), LOG_FORMAT="json")
    messages = [json.loads(line)["message"] for line in lines]
    assert messages.count("operator.md:3: unknown field 'voise'") == 1
    assert messages.count("operator.md:9: no such tool 'x'") == 1
    assert not any("Traceback" in line for line in lines)
    assert sum("Booting worker" in message for message in messages) == 1
    assert status not in (0, None)


def test_an_unknown_agent_ends_the_real_application_the_same_way(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/calls.db"
    status, lines = refused(
        tmp_path, target="wsgi:app", PORT=str(free_port()), DEFAULT_AGENT="nobody", DATABASE_URL=database
    )
    assert sum("nobody" in line for line in lines) == 1
    assert not any("Traceback" in line for line in lines)
    assert sum("Booting worker" in line for line in lines) == 1
    assert status not in (0, None)


def test_every_line_is_json_when_json_is_asked_for(start: Callable[..., Server]) -> None:
    server = start(LOG_FORMAT="json", LOG_LEVEL="debug")
    assert server.get("/readyz?who=%2B819012345678") == (200, "ready")
    assert server.get("/noise")[0] == 500
    assert server.get("/nothing%0Ahere")[0] == 404
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as peer:
        peer.sendall(b"no HTTP at all\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 400")
    server.terminate()
    assert server.wait() == 0
    lines = [json.loads(line) for line in server.lines]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    assert lines[0]["logger"] == "gunicorn.error"
    messages = "\n".join(line["message"] for line in lines)
    for text in (
        "Starting gunicorn",
        '"GET /readyz" 200',
        "DeprecationWarning: an old way",
        "Invalid request",
    ):
        assert text in messages
    assert any("ZeroDivisionError" in line.get("exception", "") for line in lines)
    assert any("nobody at +81********78" in line.get("exception", "") for line in lines)
    assert "9012345678" not in "\n".join(server.lines)


def test_text_lines_of_gunicorn_look_like_ours(start: Callable[..., Server]) -> None:
    server = start()
    server.get("/readyz")
    server.terminate()
    assert server.wait() == 0
    line = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Z]+ gunicorn\.(error|access): .+"
    assert [text for text in server.lines if not re.fullmatch(line, text)] == []


def real_time_is_allowed() -> bool:
    def ask() -> bool:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            return True
        return False

    with ThreadPoolExecutor(1) as pool:  # on Linux it is a matter of the one thread
        return pool.submit(ask).result()


def test_in_a_worker_the_reader_of_all_sockets_has_the_right_of_way(start: Callable[..., Server]) -> None:
    """All calls wait for it; without that, for each other call's thread as well."""
    process = json.loads(start().get("/process")[1])
    assert process["reader"] == (os.SCHED_RR if real_time_is_allowed() else os.SCHED_OTHER)
    assert process["switch_interval"] == pytest.approx(0.0005)
    assert process["frozen"] > 1000
    # Both are allowed here, or nothing could be said about them.
    assert process["cores"] == 1
    assert process["batch"]


def test_glibc_keeps_no_memory_back_for_each_thread(start: Callable[..., Server]) -> None:
    """It would be a fifth of what a call takes. Who has an opinion on it keeps theirs."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library")
    malloc = json.loads(start().get("/process")[1])["malloc"]
    assert malloc == "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0"
    theirs = "glibc.malloc.arena_max=2"
    assert json.loads(start(GLIBC_TUNABLES=theirs).get("/process")[1])["malloc"] == theirs


def test_nobody_s_word_on_the_scheme_is_believed(start: Callable[..., Server]) -> None:
    server = start(FORWARDED_ALLOW_IPS="*")
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off", "X-Forwarded-Protocol": "ssl"}
    assert server.get("/scheme", **headers) == (200, "http")


def test_a_full_server_still_answers(start: Callable[..., Server]) -> None:
    server = start(MAX_CONCURRENT_CALLS="3")
    held = [server.call(already) for already in range(3)]
    assert server.get("/readyz") == (200, "ready")
    server.get("/hang-up")
    for thread in held:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_a_server_without_descriptors_keeps_its_calls_and_goes_on(start: Callable[..., Server]) -> None:
    """Nobody has to mean harm: where few are allowed, connections that are kept alive are enough."""
    server = start()
    held = server.call()
    worker = json.loads(server.get("/process")[1])["pid"]
    most = len(list(Path(f"/proc/{worker}/fd").iterdir())) + 10
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as idle:
        for _ in range(20):
            idle.enter_context(socket.create_connection(("127.0.0.1", server.port), DEADLINE_S))
        server.wait_for_line(
            "no connection can be taken, which is tried again in a moment: Too many open files"
        )
    assert held.is_alive()
    assert server.get("/hang-up") == (200, "done")
    held.join(DEADLINE_S)
    server.terminate()
    assert server.wait() == 0
    tries = sum("no connection can be taken" in line for line in server.lines)
    assert tries < 10, "it does nothing else"


def test_who_does_not_take_an_answer_holds_no_thread(start: Callable[..., Server]) -> None:
    server = start()
    assert float(server.get("/patience")[1]) == TAKES_S
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as peer:
        peer.sendall(b"GET /large/0.5 HTTP/1.1\r\nHost: callapp\r\n\r\n")
        server.wait_for_line("! an answer was not taken: GET /large/0.5")
    assert len(server.get("/large/20.0")[1]) == 50_000_000
    assert not any("Traceback" in line for line in server.lines)


def test_without_calls_sigterm_ends_at_once(start: Callable[..., Server]) -> None:
    server = start(WEB_CONCURRENCY="2")
    server.get("/readyz")
    began = time.monotonic()
    server.terminate()
    assert server.wait() == 0
    assert time.monotonic() - began < 5


SLOW_TO_BOOT = f"""
exec(open({str(CONFIG)!r}).read())
import time
schedule = post_fork

def post_fork(server, worker):
    print("a worker is forked", flush=True)
    time.sleep(0.5)
    schedule(server, worker)
"""


def test_a_worker_that_has_just_been_forked_hears_sigterm(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    """It has the master's handlers then, which would keep it to themselves."""
    config = tmp_path / "slow_to_boot.py"
    config.write_text(SLOW_TO_BOOT)
    server = start(config)
    server.wait_for_line("a worker is forked")
    server.terminate()
    assert server.wait() == 0


def test_while_draining_requests_are_answered_and_the_call_goes_on(start: Callable[..., Server]) -> None:
    server = start()
    held = server.call()
    worker = json.loads(server.get("/process")[1])["pid"]
    server.terminate()
    server.wait_for_line("Handling signal: term")
    os.kill(worker, signal.SIGTERM)  # as Heroku does, which signals every process
    deadline = time.monotonic() + DEADLINE_S
    while server.get("/readyz") != (503, "draining"):
        assert time.monotonic() < deadline
    assert held.is_alive()
    assert server.get("/hang-up") == (200, "done")
    held.join(DEADLINE_S)
    began = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - began < 5
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), 1)


@contextmanager
def hanging_up(server: Server) -> Iterator[None]:
    """Whatever becomes of the door, end the call in the end: by a request that was half made before."""
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as peer:
        peer.sendall(b"GET /hang-up HTTP/1.1\r\n")
        yield
        peer.sendall(b"Host: callapp\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["reload", "its-terminal-is-closed"])
def test_after_sighup_calls_go_on_and_who_comes_is_served_by_new_workers(
    start: Callable[..., Server], send: Callable[[int, int], None]
) -> None:
    """Else they would hear for as long as the old calls last that the lines are busy."""
    server = start()
    held = server.call()
    before = json.loads(server.get("/process")[1])["pid"]
    with (
        socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as kept_alive,
        kept_alive.makefile("rb") as answer,
        hanging_up(server),
    ):
        kept_alive.sendall(b"GET /readyz HTTP/1.1\r\nHost: callapp\r\n\r\n")
        assert b"Connection: keep-alive\r\n" in list(iter(answer.readline, b"\r\n"))
        send(server.process.pid, signal.SIGHUP)
        server.wait_for_line("Hang up: Master")
        assert eventually(lambda: json.loads(server.get("/process")[1])["pid"] != before, DEADLINE_S)
        for _ in range(5):
            assert server.get("/readyz") == (200, "ready")
            assert json.loads(server.get("/process")[1])["pid"] != before
        assert answer.read() == b"ready"  # and the end: it is kept no longer
        assert held.is_alive()
    held.join(DEADLINE_S)
    assert not held.is_alive()
    server.terminate()
    assert server.wait() == 0


A_GUEST_AT_THE_LAST_MOMENT = f"""
exec(open({str(CONFIG)!r}).read())
import select
call_in = post_worker_init

def post_worker_init(worker):
    call_in(worker)
    hand_over = signal.getsignal(signal.SIGHUP)

    def and_somebody_comes(number, frame):
        hand_over(number, frame)
        if worker.sockets:
            print("the door is still open", flush=True)
            select.select(worker.sockets, [], [], {DEADLINE_S})

    signal.signal(signal.SIGHUP, and_somebody_comes)
"""
"""Told of both at once, a worker first leaves the door and then finds somebody there."""


def test_who_comes_in_the_moment_of_a_sighup_is_served_and_calls_go_on(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    config = tmp_path / "a_guest.py"
    config.write_text(A_GUEST_AT_THE_LAST_MOMENT)
    server = start(config)
    held = server.call()
    with hanging_up(server):
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_line("the door is still open")
        assert server.get("/readyz") == (200, "ready")
        assert held.is_alive()
    held.join(DEADLINE_S)
    server.terminate()
    assert server.wait() == 0
    assert not any("Traceback" in line for line in server.lines)


def test_after_sigttou_calls_go_on_and_who_comes_is_served_by_the_workers_that_stay(
    start: Callable[..., Server],
) -> None:
    """Else they would hear that the lines are busy, though those of the others are free."""
    server = start()
    held = server.call()
    leaves = json.loads(server.get("/process")[1])["pid"]
    with hanging_up(server):
        server.process.send_signal(signal.SIGTTIN)
        stays = leaves
        while stays == leaves:
            stays = json.loads(server.get("/process")[1])["pid"]
        server.process.send_signal(signal.SIGTTOU)
        server.wait_for_line("Handling signal: ttou")
        os.kill(stays, signal.SIGSTOP)  # so that the other one answers, if it still does
        assert eventually(lambda: waits_at_the_door(server), DEADLINE_S)
        os.kill(stays, signal.SIGCONT)
        assert server.get("/readyz") == (200, "ready")
        assert held.is_alive()
    held.join(DEADLINE_S)
    assert not held.is_alive()


def waits_at_the_door(server: Server) -> bool:
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as peer:
        peer.sendall(b"GET /readyz HTTP/1.1\r\nHost: callapp\r\nConnection: close\r\n\r\n")
        peer.settimeout(0.5)
        try:
            peer.recv(100)
        except TimeoutError:
            return True
    return False


def test_calls_outlive_the_master_and_nobody_waits_for_it(start: Callable[..., Server]) -> None:
    """A new one can have the port at once, and calls have the time that they would have at a stop."""
    server = start()
    held = server.call()
    worker = json.loads(server.get("/process")[1])["pid"]
    with ExitStack() as stack:
        stack.callback(end_for_sure, worker)
        with hanging_up(server):
            server.process.kill()
            server.wait_for_line("Parent changed")
            assert eventually(lambda: refuses(server), DEADLINE_S)
            assert held.is_alive()
        held.join(DEADLINE_S)
        server.wait()
        assert "Worker exiting" in server.lines[-1]


def refuses(server: Server) -> bool:
    try:
        server.get("/readyz")
    except ConnectionRefusedError:
        return True
    except ConnectionError:  # it waited at the door that was just being closed
        return False
    return False


def end_for_sure(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_ctrl_c_ends_at_once_whatever_is_going_on(
    start: Callable[..., Server], number: signal.Signals
) -> None:
    server = start()
    server.call()
    began = time.monotonic()
    os.killpg(server.process.pid, number)  # a terminal signals every process in the foreground
    server.wait()
    assert time.monotonic() - began < 5
    assert not any("out of memory" in line for line in server.lines)


def test_a_call_that_never_ends_is_cut_when_the_drain_is_over(start: Callable[..., Server]) -> None:
    server = start(DRAIN_SECONDS="0")
    server.call()
    began = time.monotonic()
    server.terminate()
    server.wait()
    assert time.monotonic() - began < 10
