"""``flask load``: how many calls this machine, or a server elsewhere, carries."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from callapp.simulators.load.capacity import find_capacity
from callapp.simulators.load.certificate import NoCertificate
from callapp.simulators.load.plot import plot
from callapp.simulators.load.report import Report, make_report, print_report
from callapp.simulators.load.run import LoadFailed, Plan, Tell, open_load
from callapp.simulators.load.server import ServerFailed, callapp_recipe, callapp_settings
from callapp.values import is_loopback

_MOST_CALLS = 1000
_STEP_SECONDS = 8.0
_REDRAW_S = 0.5
_LISTEN = "127.0.0.1:3990"


def _origin(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or url.path.strip("/") or url.query:
        raise click.BadParameter("expected an origin without a path, e.g. http://127.0.0.1:3000")
    return value.rstrip("/")


def _here(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    # The settings that we print have to be ones that callapp starts with: ws:// on its own machine only.
    if not is_loopback(host) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise click.BadParameter(
            f"expected HOST:PORT of this machine, e.g. {_LISTEN}; a server elsewhere gets there by "
            "`ssh -R 3990:127.0.0.1:3990 THAT_MACHINE`"
        )
    return host, int(port)


@click.command("load")
@click.option("--calls", default=100, show_default=True, type=click.IntRange(1, 5000), help="Calls at once.")
@click.option("--seconds", default=20.0, show_default=True, type=click.FloatRange(1), help="Measured.")
@click.option(
    "--find-capacity",
    is_flag=True,
    help=f"Search for the most calls within --limit-ms, up to {_MOST_CALLS}; {_STEP_SECONDS:g} s a step.",
)
@click.option(
    "--limit-ms",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Highest p99 of the delay, each way, that --find-capacity takes.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="WEB_CONCURRENCY.")
@click.option("--cap", type=click.IntRange(1), help="MAX_CONCURRENT_CALLS; by default enough for --calls.")
@click.option("--tls", is_flag=True, help="Speak TLS between the server and the pretend model.")
@click.option(
    "--call-seconds",
    default=180.0,
    show_default=True,
    type=click.FloatRange(1),
    help="How long calls last, on average.",
)
@click.option(
    "--delta-ms",
    default=20,
    show_default=True,
    type=click.IntRange(20, 1000),
    help="Audio in each of the model's deltas; a real model's are longer, which costs less.",
)
@click.option(
    "--speed",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Of the model's voice; 1 is real time.",
)
@click.option(
    "--url", callback=_origin, help="A server that runs already, anywhere; the settings it needs are printed."
)
@click.option(
    "--listen",
    default=_LISTEN,
    show_default=True,
    callback=_here,
    help="With --url: where that server finds the pretend Twilio and OpenAI, on its own machine; from "
    "another one a tunnel leads here.",
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there."
)
@click.option("--svg", "svg_file", type=click.Path(dir_okay=False, path_type=Path), help="Draw a plot there.")
def load(
    calls: int,
    seconds: float,
    find_capacity: bool,
    limit_ms: float,
    workers: int,
    cap: int | None,
    tls: bool,
    call_seconds: float,
    delta_ms: int,
    speed: float,
    url: str | None,
    listen: tuple[str, int],
    json_file: Path | None,
    svg_file: Path | None,
) -> None:
    """Put a server under load with pretend phones and a pretend model, and say how it does.

    Starts callapp as in production, on a core of its own where there are two, and talks to it from another.
    Needs no account and no key.
    """
    if url is not None and (tls or cap is not None or workers != 1):
        raise click.UsageError(
            "--tls, --workers and --cap are for a server that is started here, not with --url."
        )
    _make_room(json_file, svg_file)
    if find_capacity:
        seconds = min(seconds, _STEP_SECONDS)
    plan = Plan(calls, seconds, call_seconds, delta_ms, speed, workers, tls)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a dash that a locale does not have is no reason to end
    console = Console()
    with TemporaryDirectory() as folder:
        where: dict[str, Any] = {}
        if url is not None:
            where = {"url": url, "desk_at": listen}
            _say_settings("{}:{}".format(*listen), console)
        make = callapp_recipe(Path(folder), workers, cap) if url is None else None
        _end_in_order()
        try:
            report = _run(plan, make, where, limit_ms if find_capacity else None, console)
        except (LoadFailed, ServerFailed, NoCertificate, OSError) as error:
            raise click.ClickException(str(error)) from error
    print_report(report, console)
    if json_file is not None:
        _write(json_file, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if svg_file is not None:
        _write(svg_file, plot(report))


def _end_in_order() -> None:
    """Let SIGTERM and a closed terminal end the server, too: it would be left behind by this process."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # by nohup
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))


def _make_room(*files: Path | None) -> None:
    """Make the folders of what is to be written, before it is measured."""
    for file in files:
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.FileError(str(file), str(error)) from error


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(file), str(error)) from error


def _run(plan: Plan, make: Any, where: dict[str, Any], limit_ms: float | None, console: Console) -> Report:
    most = _MOST_CALLS if limit_ms is not None else plan.calls
    with _progress(console) as tell, open_load(plan, tell, make, most_calls=most, **where) as load:
        capacity = None
        if limit_ms is not None:
            capacity = find_capacity(load, limit_ms, most)
            held = [step for step in capacity.steps if step.holds(limit_ms)]
            measured = max(held or capacity.steps, key=lambda step: step.calls)
        else:
            load.grow(plan.calls)
            measured = load.measure(plan.seconds)
        load.end()
        return make_report(plan, measured, load.world.tally, load.idle, capacity)


def _say_settings(listen: str, console: Console) -> None:
    console.print("The server has to run with these settings, and PUBLIC_URL as given by --url:")
    settings = callapp_settings(f"http://{listen}", f"ws://{listen}/v1/realtime")
    for name, value in settings.items():
        console.print(f"  {name}={value}", soft_wrap=True, highlight=False)


@contextmanager
def _progress(console: Console) -> Iterator[Tell]:
    """Draw a bar; by ourselves and seldom, since a thread that draws would make the load late."""
    columns = (TextColumn("{task.description:<24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("starting the server", total=1.0)
        progress.refresh()
        drawn_at = 0.0

        def tell(what: str, share: float) -> None:
            nonlocal drawn_at
            if time.monotonic() - drawn_at >= _REDRAW_S:
                drawn_at = time.monotonic()
                progress.update(task, description=what, completed=share)
                progress.refresh()

        yield tell
