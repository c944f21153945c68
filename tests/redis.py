"""A Redis of the tests' own, if its program is on this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from tempfile import TemporaryDirectory

import pytest
import redis

from tests.stage import eventually, free_port

START_S = 20


class RedisServer:
    """A running server, on a port of this machine."""

    def __init__(self, program: str, folder: str) -> None:
        self._program = program
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {"--port": str(self._port), "--bind": "127.0.0.1", "--save": "", "--dir": self._folder}
        self._process = subprocess.Popen([self._program, *chain(*options.items())], stdout=subprocess.DEVNULL)
        assert eventually(self._answers, START_S)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def stop(self) -> None:
        """Stop it at once: connections break."""
        self._process.kill()
        self._process.wait(START_S)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Start a server, which is gone without a trace afterwards; skip the test where there is no program."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no Redis on this machine: redis-server was not found")
    with TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(program, folder)
        try:
            yield server
        finally:
            server.stop()
