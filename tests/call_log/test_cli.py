"""``flask db upgrade``, as an operator types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from callapp.call_log import schema
from tests.postgres import Cluster

PROJECT = Path(__file__).parents[2]


def flask(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flask", *arguments],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_upgrading_a_postgresql_lets_the_app_start(postgres: Cluster) -> None:
    url = postgres.new_database()
    before = flask(url, "routes")
    assert before.returncode != 0
    assert "flask db upgrade" in before.stdout + before.stderr
    upgraded = flask(url, "db", "upgrade")
    assert (upgraded.returncode, upgraded.stdout) == (0, f"The database is at {schema.head()}.\n"), (
        upgraded.stderr
    )
    assert flask(url, "routes").returncode == 0


def test_a_database_that_is_not_there_is_one_line() -> None:
    done = flask("postgresql://me:hunter2@/x?host=/nonexistent", "db", "upgrade")
    assert done.returncode != 0
    assert "DATABASE_URL" in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr
