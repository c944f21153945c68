"""What ``flask load`` does: load a server, of its own or one that runs already, and tell how it did."""

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

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from callapp.simulators.load.capacity import find_capacity
from callapp.simulators.load.certificate import NoCertificate
from callapp.simulators.load.plot import plot
from callapp.simulators.load.report import Report, make_report, print_report
from callapp.simulators.load.run import LoadFailed, Plan, Tell, open_load
from callapp.simulators.load.server import ServerFailed, callapp_recipe, callapp_settings

_REDRAW_S = 0.5


def perform(
    plan: Plan,
    *,
    capacity_within: tuple[int, float] | None,
    cap: int | None,
    url: str | None,
    listen: tuple[str, int],
    json_file: Path | None,
    svg_file: Path | None,
) -> None:
    """Load a server, print the figures, and write them where that is wanted.

    Args:
        plan: what the load is to be; its calls, unless the most are searched for.
        capacity_within: the most calls to try, and the highest p99 of the delay, in ms.
        cap: MAX_CONCURRENT_CALLS of the server that is started.
        url: of a server that runs already; it finds the pretend Twilio and OpenAI where ``listen`` says.

    Raises:
        ClickException: that did not work; says why.
    """
    _make_room(json_file, svg_file)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a dash that a locale does not have is no reason to end
    console = Console()
    with TemporaryDirectory() as folder:
        where: dict[str, Any] = {}
        if url is not None:
            where = {"url": url, "desk_at": listen}
            _say_settings("{}:{}".format(*listen), console)
        make = callapp_recipe(Path(folder), plan.workers, cap) if url is None else None
        _end_in_order()
        try:
            report = _run(plan, make, where, capacity_within, console)
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


def _run(
    plan: Plan,
    make: Any,
    where: dict[str, Any],
    capacity_within: tuple[int, float] | None,
    console: Console,
) -> Report:
    most, limit_ms = capacity_within or (plan.calls, None)
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
