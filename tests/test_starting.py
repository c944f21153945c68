"""The app starts, or says in one line for each fault why it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from callapp import create_app
from callapp.errors import ConfigError
from callapp.settings import Settings

ROOT = Path(__file__).parent.parent


@pytest.fixture
def no_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instance folder that nobody can make, whoever runs the tests: a file is in its place."""
    path = tmp_path / "instance"
    path.write_text("")
    monkeypatch.setattr(Flask, "auto_find_instance_path", lambda _: str(path))
    return path


def test_a_folder_that_cannot_be_made_refuses_the_start_with_what_to_do(no_instance: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        create_app(Settings())
    (fault,) = refused.value.faults
    assert fault.startswith(f"DATABASE_URL: cannot write {no_instance}/callapp.db: ")
    assert fault.endswith("; make its folder writable, or give another DATABASE_URL")
    assert "\n" not in fault


@pytest.mark.usefixtures("no_instance")
def test_with_the_database_elsewhere_no_folder_is_needed(tmp_path: Path) -> None:
    """As in a container that cannot be written."""
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/calls.sqlite"))
    app.extensions["callapp"].close()


def test_flask_run_writes_json_alone_when_json_is_asked_for(tmp_path: Path) -> None:
    """Flask's banner is printed, past every formatter."""
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/calls.sqlite", "LOG_FORMAT": "json"}
    messages: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "flask", "run", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            while not any("Running on" in message for message in messages):
                messages.append(json.loads(process.stdout.readline())["message"])
        finally:
            process.kill()
