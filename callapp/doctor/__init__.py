"""``flask doctor``: can a call work here, and if not, what has to be done?

Each check is a function of what it looks at, and returns findings: what is so, and what to do about it.
``cli`` runs them, those that look at this machine first.
"""

from __future__ import annotations

from flask import Flask

from callapp.command_line import asked_command


def called() -> bool:
    """Whether this process is a ``flask doctor``."""
    return asked_command() == "doctor"


def waiting_room() -> Flask:
    """An app that does nothing but carry the command: the real one may be what is ill."""
    from callapp.doctor.cli import doctor

    app = Flask("callapp")
    app.cli.add_command(doctor)
    return app
