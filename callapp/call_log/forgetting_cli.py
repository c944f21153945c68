"""``flask purge``, ``flask export-caller`` and ``flask forget-caller``: how long data is kept, and whose."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import click
from flask.cli import with_appcontext

from callapp.call_log import erasure
from callapp.call_log.reading import find_call, find_unplaced
from callapp.errors import CallappError
from callapp.office import of_caller
from callapp.phone_numbers import e164
from callapp.recording.deletion import delete_recordings
from callapp.services import Services, services

_AGE = re.compile(r"(\d{1,5})([dhw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def _age(_context: click.Context, _parameter: click.Parameter, value: str) -> timedelta:
    found = _AGE.fullmatch(value)
    if found is None:
        raise click.BadParameter("expected a number of hours, days or weeks, e.g. 90d")
    return int(found[1]) * _UNITS[found[2]]


def _number(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    number = e164(value)
    if number is None:
        raise click.BadParameter("expected a number in E.164, e.g. +819012345678")
    return number


@click.command("purge")
@click.option("--older-than", required=True, callback=_age, metavar="AGE", help="E.g. 90d, 12w or 36h.")
@with_appcontext
def purge(older_than: timedelta) -> None:
    """Delete the calls that began longer ago, with everything of them. For a nightly job.

    Messages and reservations that were made in them stay.
    """
    app, before = services(), datetime.now(UTC) - older_than
    try:
        old = erasure.calls_before(app.store, before)
        live = _going_on(app, old)
        gone = _delete(app, [call_sid for call_sid in old if call_sid not in live])
        erasure.delete_unplaced(app.store, before)
    except CallappError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{gone} calls deleted.")


@click.command("export-caller")
@click.argument("number", callback=_number)
@with_appcontext
def export_caller(number: str) -> None:
    """Print all that is known of one person as JSON, by their phone number in E.164."""
    app = services()
    try:
        call_sids = erasure.calls_of(app.store, number)
        calls = [find_call(app.store, call_sid) for call_sid in call_sids]
        known = {
            "number": number,
            "calls": [call.as_json() for call in (*calls, *find_unplaced(app.store, number)) if call],
            **of_caller.export(app.store, number, call_sids),
        }
    except CallappError as error:
        raise click.ClickException(str(error)) from error
    click.echo(json.dumps(known, ensure_ascii=False, indent=2))


@click.command("forget-caller")
@click.argument("number", callback=_number)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def forget_caller(number: str, yes: bool) -> None:
    """Delete all that is known of one person: calls, recordings, messages; reservations lose their name."""
    app = services()
    try:
        calls = erasure.calls_of(app.store, number)
        if live := _going_on(app, calls):
            raise click.ClickException(
                f"Nothing was deleted: {number} is on the phone, and what is said from now on would stay. "
                f"Try again when the call is over, or hang up first: POST /calls/{live[0]}/hangup"
            )
        if not yes:
            click.confirm(f"Delete {len(calls)} calls and all else of {number}?", abort=True)
        of_caller.forget(app.store, number, calls)  # first: what is theirs is found by their calls
        gone = _delete(app, calls)
        erasure.delete_unplaced_to(app.store, number)
        erasure.delete_from_parameters(app.store, number)
    except CallappError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{gone} calls deleted.")


def _going_on(app: Services, call_sids: list[str]) -> list[str]:
    return erasure.going_on(app.store, call_sids, app.settings.max_call_seconds)


def _delete(app: Services, call_sids: list[str]) -> int:
    """Delete calls, their recordings first: what is left after a fault is found again."""
    for call_sid in call_sids:
        delete_recordings(call_sid, app.store, app.shelf, app.bench, app.carrier)
    erasure.delete_calls(app.store, call_sids)
    return len(call_sids)
