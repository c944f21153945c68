"""``flask load`` against the real server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from callapp.simulators.load import performing, server
from callapp.simulators.load.cli import load
from callapp.simulators.load.run import LoadFailed, Plan, open_load
from callapp.simulators.load.server import (
    MakeRecipe,
    Recipe,
    ServerFailed,
    Surroundings,
    callapp_recipe,
)


@pytest.mark.timeout(120)
def test_five_calls_give_sane_figures(tmp_path: Path) -> None:
    json_file, svg_file = tmp_path / "figures" / "load.json", tmp_path / "load.svg"
    arguments = ["--calls", "5", "--seconds", "3", "--json", str(json_file), "--svg", str(svg_file)]

    result = CliRunner().invoke(load, arguments, catch_exceptions=False)

    assert result.exit_code == 0, result.output
    assert "phone to model" in result.output
    report = json.loads(json_file.read_text())
    assert report["calls"] == 5
    assert 700 < report["delayMs"]["toModel"]["count"] < 800
    assert report["delayMs"]["toPhone"]["count"] > 0
    for way in report["delayMs"].values():
        assert 0 < way["p50"] <= way["p95"] <= way["p99"] <= way["max"] < 5000
    assert report["loss"]["callerChunksSent"] > 750
    assert report["loss"]["callerChunksLost"] == report["loss"]["callerChunksRepeated"] == 0
    assert report["loss"]["agentBytesLost"] == report["loss"]["agentDisorder"] == 0
    assert report["clearMs"]["missed"] == report["clearMs"]["staleMessages"] == 0
    assert report["callsSeen"]["failed"] == report["callsSeen"]["sessionsLeftOpen"] == 0
    assert report["server"]["cpuMsPerCallSecond"] > 0
    assert 1 <= report["server"]["threadsPerCall"] <= 3
    assert len(report["series"]) == 3
    ET.fromstring(svg_file.read_text())


@pytest.mark.timeout(120)
def test_calls_interrupt_hang_up_and_are_ended_by_the_agent(tmp_path: Path) -> None:
    """Short calls, so that all kinds of ends come within seconds; by TLS where a certificate can be made."""
    plan = Plan(calls=8, call_s=10, delta_ms=200, tls=shutil.which("openssl") is not None)
    with open_load(plan, lambda *_: None, callapp_recipe(tmp_path)) as running:
        tally = running.world.tally

        def all_happened() -> bool:
            ends = tally.hung_up, tally.ended_by_agent, tally.dropped
            return min(*ends, tally.clears_due, tally.agent_bytes) > 0

        running.grow(plan.calls, settle_s=0)
        assert running.world.loop.run_until(all_happened, 60), tally
        running.end()
    assert tally.failures == {}
    assert tally.lost == tally.clears_missed == tally.stale == tally.sessions_left == 0


@pytest.mark.timeout(120)
def test_calls_beyond_the_cap_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    plan = Plan(calls=6, seconds=1)
    with open_load(plan, lambda *_: None, callapp_recipe(tmp_path, cap=4)) as running:
        running.grow(plan.calls, settle_s=0)
        measured = running.measure(plan.seconds)
        running.end()
        tally = running.world.tally
    assert measured.calls == 4
    assert tally.refused >= 2
    assert tally.failures == {}
    assert tally.lost == 0


def test_a_server_that_does_not_start_is_quoted() -> None:
    def recipe(_around: Surroundings, _port: int) -> Recipe:
        return Recipe(["sh", "-c", "echo no such thing; exit 3"], {})

    make: MakeRecipe = recipe
    with pytest.raises(ServerFailed, match="no such thing"), open_load(Plan(), lambda *_: None, make):
        pass


def test_the_server_gets_none_of_the_operators_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls are pretended: a real webhook must not be told of them, and no real limit ends them."""
    monkeypatch.setenv("WEBHOOK_URL", "https://hooks.example.com/callapp")
    monkeypatch.setenv("MAX_CALL_COST_USD", "0.0001")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--threads 1")

    def recipe(around: Surroundings, port: int) -> Recipe:
        environ = callapp_recipe(Path("folder"))(around, port).environ
        return Recipe(["sh", "-c", "env; exit 3"], environ)

    with pytest.raises(ServerFailed) as failed, open_load(Plan(), lambda *_: None, recipe):
        pass
    found = dict(line.split("=", 1) for line in str(failed.value).splitlines() if "=" in line)
    # Empty, not absent: so it hides the one of a .env, too.
    assert found["WEBHOOK_URL"] == found["MAX_CALL_COST_USD"] == ""
    assert "GUNICORN_CMD_ARGS" not in found
    assert found["OPENAI_REALTIME_URL"].startswith("ws://127.0.0.1:")
    assert "PATH" in found


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("--url localhost:3000", "expected an origin without a path, e.g. http://127.0.0.1:3000"),
        ("--url http://127.0.0.1:9 --listen 3990", "expected HOST:PORT of this machine, e.g. 127.0.0.1:3990"),
        ("--url http://127.0.0.1:9 --listen localhost:99999", "expected HOST:PORT of this machine"),
        # callapp itself would not start with the settings that are printed.
        ("--url http://127.0.0.1:9 --listen 10.0.0.1:3990", "`ssh -R 3990:127.0.0.1:3990 THAT_MACHINE`"),
        ("--url http://127.0.0.1:9 --tls", "are for a server that is started here, not with --url"),
        ("--url http://127.0.0.1:9 --workers 2", "are for a server that is started here, not with --url"),
        ("--url http://127.0.0.1:9 --cap 2", "are for a server that is started here, not with --url"),
        ("--speed 0", "0.0 is not in the range"),
        ("--call-seconds -1", "-1.0 is not in the range"),
        ("--limit-ms 0", "0.0 is not in the range"),
        ("--json .", "is a directory"),
        (f"--json {__file__}/load.json", f"Could not open file '{__file__}/load.json'"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_measured(arguments: str, error: str) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(load, arguments.split(), catch_exceptions=False)
    assert result.exit_code != 0
    assert error in result.output


def test_a_server_that_is_starting_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in a session of its own, so a Ctrl-C does not reach it."""
    pid_file = tmp_path / "pid"

    def recipe(_around: Surroundings, _port: int) -> Recipe:
        return Recipe(
            ["sh", "-c", 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec sleep 60', str(pid_file)], {}
        )

    def stopped(_port: int) -> bool:
        if pid_file.exists():
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(server, "_listens", stopped)
    with pytest.raises(KeyboardInterrupt), open_load(Plan(), lambda *_: None, recipe):
        pass
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that were heard by nobody but the test."""
    heard: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: heard.append(number)) for number in numbers}
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


def signalled(number: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a load that is sent a signal; return its exit status, 1 if it went on."""

    def run(*_: object) -> None:
        os.kill(os.getpid(), number)
        raise LoadFailed("went on")

    monkeypatch.setattr(performing, "_run", run)
    return CliRunner().invoke(load, []).exit_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_a_closed_terminal_end_a_load_in_order(
    number: signal.Signals, heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert signalled(number, monkeypatch) == 128 + number
    assert heard == []


def test_a_load_under_nohup_goes_on_without_its_terminal(
    heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signalled(signal.SIGHUP, monkeypatch) == 1
