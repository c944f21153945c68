"""``flask load``: how many calls this machine, or a server elsewhere, carries."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from callapp.values import is_loopback

_MOST_CALLS = 1000
_STEP_SECONDS = 8.0
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
    # Imported here: every server knows this command, and none has a use for the simulators.
    from callapp.simulators.load.performing import perform
    from callapp.simulators.load.run import Plan

    if find_capacity:
        seconds = min(seconds, _STEP_SECONDS)
    perform(
        Plan(calls, seconds, call_seconds, delta_ms, speed, workers, tls),
        capacity_within=(_MOST_CALLS, limit_ms) if find_capacity else None,
        cap=cap,
        url=url,
        listen=listen,
        json_file=json_file,
        svg_file=svg_file,
    )
