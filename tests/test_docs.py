"""The documentation names all there is, and nothing that is not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from flask import Flask

from callapp import create_app
from callapp.agents.front_matter import FIELDS
from callapp.agents.loader import BUILT_IN_DIR, load_agents
from callapp.settings import SETTINGS, Settings
from callapp.tools import CallContext
from callapp.tools.registry import BUILT_IN, load_tools
from callapp.web.desk.reasons import WORDS
from tests.databases import sqlite_at

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

# An end reason as it stands in the code; `twilio.{status}` is made of a call status.
END_REASON = re.compile(r'"((?:agent|caller|limit|openai|other|server|twilio)\.[a-z_]+)"')


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text(encoding="utf-8")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(Settings(database_url=sqlite_at(tmp_path / "calls.sqlite")))
    yield app
    app.extensions["callapp"].close()


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of all tables below a heading, as cells."""
    section = re.split(r"^#+ ", text.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = re.findall(r"^\|(.*)\|$", section, flags=re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def names(text: str, heading: str) -> list[str]:
    """What stands in code type in the first column of the tables below a heading."""
    found = [name for cells in rows(text, heading) for name in re.findall("`([^`]+)`", cells[0])]
    assert found, f"no table below {heading!r}"
    return found


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS])
def test_every_setting_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README.read_text(encoding="utf-8")


def test_the_table_of_settings_has_them_all_with_their_defaults(readme: str) -> None:
    defaults = {
        name: cells[1] for cells in rows(readme, "## Settings") for name in re.findall("`(.+?)`", cells[0])
    }
    assert sorted(defaults) == sorted(setting.name for setting in SETTINGS)
    for setting in SETTINGS:
        if setting.default not in (None, ()):
            assert defaults[setting.name] == f"`{str(setting.default).replace('True', 'true')}`", setting.name


def test_the_table_of_agent_fields_has_them_all(readme: str) -> None:
    assert sorted(names(readme, "## Agents")) == sorted(FIELDS)


def test_every_built_in_tool_is_in_the_readme(readme: str) -> None:
    documented = [name.partition("(")[0] for name in names(readme, "## Tools")]
    assert sorted(documented) == sorted(tool.__name__ for tool in BUILT_IN)


def test_every_built_in_agent_is_in_the_readme(readme: str) -> None:
    for path in BUILT_IN_DIR.glob("*.md"):
        assert f"(callapp/agents/{path.name})" in readme


def test_every_route_is_in_the_readme(app: Flask, readme: str) -> None:
    for rule in app.url_map.iter_rules():
        if rule.endpoint != "static":  # Flask's own
            methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
            listed = re.findall(rf"`((?:[A-Z]+`, `)*[A-Z]+) {re.escape(rule.rule)}`", readme)
            assert all(method in " ".join(listed) for method in methods), rule.rule


def test_every_flask_command_is_in_the_readme_and_no_other(app: Flask, readme: str) -> None:
    commands = {f"flask {name}" for name in _commands(app.cli)} | {"flask run"}
    documented = set(
        re.findall(r"`(flask [a-z-]+(?: upgrade)?)\b", "\n".join(c[0] for c in rows(readme, "## Commands")))
    )
    assert documented == commands
    used = set(re.findall(r"\bflask ((?!db\b)[a-z-]+|db [a-z]+)", readme)) - {"commands"}
    assert {f"flask {name}" for name in used} <= commands


def _commands(group: click.Group, prefix: str = "") -> Iterator[str]:
    """The commands of ours in a group, also those in groups within."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        elif (command.callback.__module__ or "").startswith("callapp"):
            yield f"{prefix}{name}"


def test_every_end_reason_is_in_the_readme_and_no_other(readme: str) -> None:
    written = set()
    for folder in ("call", "conversation", "realtime", "telephony", "web", "call_log"):
        for path in (ROOT / "callapp" / folder).glob("*.py"):
            written |= set(END_REASON.findall(path.read_text(encoding="utf-8")))
    documented = {name for name in names(readme, "## What ends a call") if not name.startswith("MAX")}
    statuses = {"twilio.failed"}
    assert documented - statuses == written
    assert documented >= statuses
    assert documented <= WORDS.keys()  # what the desk says of it


def test_every_number_for_prometheus_is_in_the_readme_and_no_other(app: Flask, readme: str) -> None:
    text = app.extensions["callapp"].meter.exposition().decode()
    documented = [name.partition("{")[0] for name in names(readme, "### For Prometheus")]
    assert sorted(set(documented) - {"GET /metrics"}) == sorted(
        re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    )


def test_what_the_readme_says_to_run_for_the_tests_is_what_ci_runs(readme: str) -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    # Its pip is that of a virtual environment, quiet, and leaves the compiling for later.
    ci = re.sub(r'^.*/pip" install --quiet --no-compile', "pip install", ci, flags=re.MULTILINE)
    run = [re.split(" -p | >", line)[0] for line in ci.splitlines()]
    block = re.search(r"## Development\n+```sh\n(.*?)```", readme, flags=re.DOTALL)
    assert block
    commands = [command.strip() for line in block[1].splitlines() for command in line.split("&&")]
    assert [shlex.split(command)[0] for command in commands] == [
        "pip",
        "pytest",
        "ruff",
        "ruff",
        "mypy",
        "lint-imports",
    ]
    for command in commands:
        assert command in run, command


def test_what_the_demo_needs_is_installed_for_the_tests(readme: str) -> None:
    assert "pip install -r requirements.txt && flask demo" in readme
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().splitlines()


def test_the_agent_and_the_tool_of_the_readme_work(readme: str, tmp_path: Path) -> None:
    agent = re.search(r"```markdown\n(.*?)```", readme, flags=re.DOTALL)
    source = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert agent
    assert source
    assert len(agent[1].splitlines()) <= 15, "what is easy is short"
    assert len(source[1].splitlines()) <= 15
    (tmp_path / "shop.md").write_text(agent[1], encoding="utf-8")
    (tmp_path / "shop.py").write_text(source[1], encoding="utf-8")
    tools = load_tools(tmp_path)
    shop = load_agents(tmp_path, "shop", tools)["shop"]
    assert shop.missing({}) == ["name"]
    call = CallContext("CA1", "shop", {"name": "Ms Tanaka"}, "+1", "+81", "outgoing")
    assert tools["opening_hours"].run('{"day": "weekday"}', call) == "10:00-19:00"
    assert "Ms Tanaka" in str(tools["opening_hours"].run('{"day": "sunday"}', call))


def test_links_to_files_lead_somewhere(readme: str) -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", readme + contributing):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "path", re.findall(r"`(?:callapp/)?([\w/]+(?:\.py|/))`", (ROOT / "CONTRIBUTING.md").read_text())
)
def test_what_contributing_points_at_is_there(path: str) -> None:
    assert any((ROOT / folder / path).exists() for folder in (".", "callapp")) or list(
        (ROOT / "callapp").rglob(path)
    ), path
