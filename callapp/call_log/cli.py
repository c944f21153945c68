"""``flask db``: the schema of a PostgreSQL database."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from callapp.call_log import schema
from callapp.command_line import asked_command
from callapp.errors import ConfigError
from callapp.services import services


@click.group("db")
def db() -> None:
    """Look after the database's schema."""


@db.command("upgrade")
@with_appcontext
def upgrade() -> None:
    """Bring the database to the schema this version needs.

    Needed on PostgreSQL, once after each update of callapp; SQLite is upgraded at every start.
    """
    try:
        schema.upgrade(services().store.database_url)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"The database is at {schema.head()}.")


def database_needed() -> bool:
    """False inside a ``flask`` command that uses no database, or starts on a schema that is out of date."""
    return asked_command() not in ("db", "demo", "load")
