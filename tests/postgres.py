"""A PostgreSQL of the tests' own, if its programs are on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

START_S = 30


class Cluster:
    """A running server, reached through a socket file in its own folder.

    Args:
        control: runs ``pg_ctl`` with these arguments.
    """

    def __init__(self, folder: Path, control: Callable[..., None]) -> None:
        self.folder = folder
        self._control = control

    def stop(self) -> None:
        """Stop the server at once: connections break."""
        self._control("-m", "immediate", "-w", "stop")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = (
            f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off "
            "-c max_connections=50"
        )
        self._control("-l", str(self.folder / "log"), "-w", "-t", str(START_S), "-o", options, "start")

    def new_database(self, name: str | None = None, *, template: str = "template1") -> str:
        """Create a database that is as its template, or empty; return its URL."""
        name = name or f"test_{uuid.uuid4().hex}"
        with psycopg.connect(
            f"host={self.folder} user=postgres dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"


def _programs() -> Path | None:
    """The folder of the newest ``initdb`` and ``pg_ctl``."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a server, which is gone without a trace afterwards; skip the test where there are no programs."""
    bin_folder = _programs()
    if bin_folder is None:
        pytest.skip("no PostgreSQL on this machine: initdb was not found")
    # In /tmp, since the path of a socket file may not be longer than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        as_postgres: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
            as_postgres = ["runuser", "-u", "postgres", "--"]
        data = folder / "data"

        def run(*command: str) -> None:
            done = subprocess.run(
                [*as_postgres, *command],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=START_S * 2,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

        options = "--username=postgres --auth=trust --no-sync --no-locale --encoding=UTF8"
        run(str(bin_folder / "initdb"), "-D", str(data), *options.split())
        server = Cluster(folder, partial(run, str(bin_folder / "pg_ctl"), "-D", str(data)))
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
