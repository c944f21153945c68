"""A server of this machine under load: started for it, on cores of its own, and ended after it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from callapp.simulators.load.world import ACCOUNT_SID, API_KEY, AUTH_TOKEN, FROM_NUMBER
from callapp.simulators.shelter import HIDDEN, bare

ROOT = Path(__file__).parents[3]
_START_S = 30.0
_STOP_S = 10.0
# Beyond the calls of the load: those that are about to be over when their successors come.
_SPARE_CALLS = 10


class ServerFailed(Exception):
    """The server did not start; what it said is in the message."""


@dataclass(frozen=True)
class Recipe:
    """How to start a server.

    Args:
        command: the program and its arguments.
        environ: on top of ours, of which what is meant for the operator's own server is hidden.
        stream_path, converses: as in `Target`.
    """

    command: Sequence[str]
    environ: Mapping[str, str]
    stream_path: str | None = None
    converses: bool = True


@dataclass(frozen=True)
class Surroundings:
    """What a server finds.

    Args:
        twilio_url: origin of the pretend REST API.
        realtime_url: of the pretend model.
        calls: how many there will be at once, at most.
        trust: certificates to trust, in a file, if the model is spoken to by TLS.
    """

    twilio_url: str
    realtime_url: str
    calls: int
    trust: Path | None = None


MakeRecipe = Callable[[Surroundings, int], Recipe]
"""From what it finds and a free port."""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def callapp_settings(twilio_url: str, realtime_url: str) -> dict[str, str]:
    """Return the settings by which callapp finds the load's Twilio and OpenAI."""
    return {
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_API_URL": twilio_url,
        "FROM_PHONE_NUMBER": FROM_NUMBER,
        "OPENAI_API_KEY": API_KEY,
        "OPENAI_REALTIME_URL": realtime_url,
        "ANALYSIS_MODEL": "off",
    }


def callapp_recipe(folder: Path, workers: int = 1, cap: int | None = None) -> MakeRecipe:
    """Return how to start callapp as in production, with its database in ``folder``.

    Args:
        cap: calls that a worker takes; by default all that will come, and some.
    """

    def recipe(around: Surroundings, port: int) -> Recipe:
        return Recipe(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "wsgi:app"],
            {
                **HIDDEN,
                **callapp_settings(around.twilio_url, around.realtime_url),
                **({"SSL_CERT_FILE": str(around.trust)} if around.trust else {}),
                "PUBLIC_URL": f"http://127.0.0.1:{port}",
                "PORT": str(port),
                "DATABASE_URL": f"sqlite:///{folder / 'load.db'}",
                "WEB_CONCURRENCY": str(workers),
                "MAX_CONCURRENT_CALLS": str(cap or around.calls + _SPARE_CALLS),
                "MAX_CALL_SECONDS": "7200",
                "DRAIN_SECONDS": "1",
                "LOG_LEVEL": "info",
            },
        )

    return recipe


class Server:
    """A running server; ends with the ``with`` block.

    Raises:
        ServerFailed: nobody listens in time.
    """

    def __init__(self, make: MakeRecipe, around: Surroundings, cores: set[int]) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.recipe = make(around, port)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the server runs
        mine = pin(cores)
        try:
            self._process = subprocess.Popen(  # noqa: S603  ours
                self.recipe.command,
                cwd=ROOT,
                env={**bare(), **self.recipe.environ},
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is ours to handle
            )
        finally:
            pin(mine)
        self.pid = self._process.pid
        try:
            self._await_listening(port)
        except BaseException:
            self.__exit__()  # whoever is stopped while it starts must not leave it behind
            raise

    def _await_listening(self, port: int) -> None:
        deadline = time.monotonic() + _START_S
        while not _listens(port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerFailed(f"the server did not start:\n{self.log()}")
            time.sleep(0.05)  # nothing tells when somebody begins to listen

    def log(self) -> str:
        """Return what it has written."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


def split_cores(workers: int) -> tuple[set[int], set[int]]:
    """Divide the cores we may use: for the server, and for the load. Both get all if there are too few."""
    cores = _allowed_cores()
    if len(cores) <= workers:
        return set(cores), set(cores)
    return set(cores[:workers]), {cores[-1]}


@cache
def _allowed_cores() -> list[int]:
    """Those we had when this was first asked for; a load keeps to one of them, while others are begun."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(cores: set[int]) -> set[int]:
    """Run on these cores from here on, children too; return those of before."""
    if not hasattr(os, "sched_getaffinity"):
        return set()
    before = os.sched_getaffinity(0)
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(0, cores)
    return before


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
