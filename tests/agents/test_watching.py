"""In development an edited agent file counts from the next call on."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from callapp import create_app
from callapp.agents import Agents, WatchedAgents, load_agents
from callapp.settings import Settings
from tests.databases import sqlite_at


def write(folder: Path, voice: str) -> None:
    (folder / "shop.md").write_text(f"---\nvoice: {voice}\n---\nBe kind.\n")


@pytest.fixture
def agents(tmp_path: Path) -> WatchedAgents:
    write(tmp_path, "coral")
    return WatchedAgents(lambda: load_agents(tmp_path, "shop"), (tmp_path,), look_every_s=0)


def test_a_file_that_changed_is_read_again(agents: WatchedAgents, tmp_path: Path) -> None:
    assert agents["shop"].voice == "coral"
    write(tmp_path, "sage")
    assert agents["shop"].voice == agents.default.voice == "sage"
    (tmp_path / "new.md").write_text("---\nnumbers: [+815012345678]\n---\nBe kind.\n")
    assert "new" in agents
    assert agents.of_number("+815012345678") == agents["new"]
    (tmp_path / "new.md").unlink()
    assert len(agents) == len(list(agents)) == 5


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path, "coral")
    loads = []

    def load():
        loads.append(1)
        return load_agents(tmp_path, "shop")

    agents = WatchedAgents(load, (tmp_path,), look_every_s=0)
    assert [agents["shop"], agents["shop"]]
    assert loads == [1]


def test_faulty_files_leave_the_agents_as_they_were(
    agents: WatchedAgents, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a b")
    assert agents["shop"].voice == "coral"
    assert "shop.md:2: field 'voice': 'a b' does not fit" in caplog.text
    told = len(caplog.records)
    assert agents["shop"].voice == "coral"
    assert len(caplog.records) == told, "once is enough"
    write(tmp_path, "sage")
    assert agents["shop"].voice == "sage"


def test_only_the_development_server_watches(tmp_path: Path) -> None:
    settings = Settings(database_url=sqlite_at(tmp_path / "calls.sqlite"))

    def kind() -> type[Agents]:
        services = create_app(settings).extensions["callapp"]
        services.close()
        return type(services.agents)

    assert kind() is Agents
    with click.Context(click.Command("run"), info_name="run"):
        assert kind() is WatchedAgents
