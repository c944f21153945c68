"""The ``flask`` commands."""

from __future__ import annotations

from flask import Flask

from callapp.call.cli import call
from callapp.call_log.cli import db
from callapp.call_log.forgetting_cli import export_caller, forget_caller, purge
from callapp.doctor.cli import doctor
from callapp.simulators.demo import demo
from callapp.simulators.load.cli import load


def register_commands(app: Flask) -> None:
    """Add callapp's commands to the app's command line."""
    app.cli.add_command(call)
    app.cli.add_command(db)
    app.cli.add_command(purge)
    app.cli.add_command(export_caller)
    app.cli.add_command(forget_caller)
    app.cli.add_command(demo)
    app.cli.add_command(load)
    app.cli.add_command(doctor)
