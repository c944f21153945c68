"""``flask doctor``: runs the checks, tells what they found, and sets the number's webhook if asked to."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from callapp.doctor import house, twilio
from callapp.doctor.examination import examine
from callapp.doctor.finding import Finding, Level, fault
from callapp.errors import ConfigError
from callapp.sentences import N_, Quoted
from callapp.settings import Settings, load_settings

_COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.FAULT: "red"}


@click.command("doctor")
@click.option(
    "--fix-webhook",
    "fixes_webhook",
    is_flag=True,
    help="Let calls to FROM_PHONE_NUMBER come to PUBLIC_URL, without asking.",
)
@with_appcontext
def doctor(fixes_webhook: bool) -> None:
    """Check whether a call could work here, and say what to do if not.

    Looks at the settings, this machine, the database, agents and tools; asks Twilio and OpenAI; knocks at
    PUBLIC_URL as Twilio does, so the server has to be running. Nobody is called, and nothing is changed but
    the webhook of the number, if you say so. Exit status: 0 if a call could work, 1 if not.
    """
    levels: Counter[Level] = Counter()
    for finding in _examine(fixes_webhook):
        levels[finding.level] += 1
        advice = f": {finding.to_do}" if finding.to_do else ""
        click.echo(f"{click.style(f'{finding.level:<8}', fg=_COLOURS[finding.level])} {finding.what}{advice}")
    faults, warnings = levels[Level.FAULT], levels[Level.WARNING]
    verdict = "a call could not work here" if faults else "a call can work here"
    click.echo(f"\n{faults} fault(s), {warnings} warning(s): {verdict}.")
    sys.exit(1 if faults else 0)


def _examine(fixes_webhook: bool) -> Iterator[Finding]:
    """Yield what there is to say, as it is found: some of it takes seconds."""
    yield house.check_dotenv(Path(".env"))
    try:
        settings = load_settings()
    except ConfigError as error:
        for line in error.faults:
            yield fault(Quoted(line), N_("correct it, then ask again: all else depends on it"))
        return
    findings, agents = house.check_agents_and_tools(settings)
    yield from findings
    instance = Path(current_app.instance_path)
    yield from examine(
        settings, agents, instance, lambda found: fixes_webhook or _wants_it_set(found, settings)
    )


def _wants_it_set(webhook: Finding, settings: Settings) -> bool:
    """Ask, where there is somebody to ask."""
    if not _somebody_there():
        return False
    return click.confirm(f"{webhook.what}. Set it to {twilio.webhook_url(settings)}?", default=False)


def _somebody_there() -> bool:
    return sys.stdin.isatty()
