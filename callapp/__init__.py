"""callapp puts an AI on the phone: Twilio on one side, OpenAI's speech-to-speech models on the other."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click
from flask import Flask
from flask import cli as flask_cli  # `cli` is a module of ours
from flask.json.provider import DefaultJSONProvider

from callapp.settings import Settings, load_settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> Flask:
    """Make the app.

    Args:
        settings: read from the environment and ``.env`` when not given.

    Raises:
        ConfigError: a setting, an agent file or a tool file is wrong, or the database cannot be used.
    """
    # Imported here so that `import callapp` alone, as tool files do it, costs next to nothing.
    from callapp.building import build_services
    from callapp.call_log.cli import database_needed
    from callapp.cli import register_commands
    from callapp.logs import configure_logging
    from callapp.web import (
        call_request,
        calls,
        captions,
        desk,
        forwarding,
        health,
        media,
        metrics,
        openapi,
        outgoing,
        patience,
        problems,
        transfers,
        voice,
    )
    from callapp.web.urls import apply_proxy_fix

    settings = settings or load_settings()
    configure_logging(settings)
    if settings.log_format == "json" and _in_development():
        flask_cli.show_server_banner = _no_banner
    app = Flask(__name__, static_folder="web/static", template_folder="web/templates")
    assert isinstance(app.json, DefaultJSONProvider)
    app.json.sort_keys = False  # answers read in the order that they were made in
    app.config["SOCK_SERVER_OPTIONS"] = media.SOCK_SERVER_OPTIONS
    app.config["MAX_CONTENT_LENGTH"] = call_request.MAX_FORM_BYTES

    instance = _instance(app)
    parts = build_services(
        settings, instance, in_development=_in_development(), database_needed=database_needed()
    )
    app.extensions["callapp"] = parts
    parts.start(settling=database_needed(), background=_serving())

    for room in (health, metrics, outgoing, calls, captions, openapi, voice, media, transfers, forwarding):
        app.register_blueprint(room.blueprint)
    desk.register(app, settings, instance)
    problems.register(app)
    patience.register(app)
    register_commands(app)
    apply_proxy_fix(app, settings)
    return app


def _in_development() -> bool:
    """Whether this is ``flask run``, where agents are edited between two calls."""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name == "run"


def _no_banner(debug: bool, app_import_path: str | None) -> None:
    """In place of Flask's, which is printed past all logging."""


def _serving() -> bool:
    """Whether this is a server, and no other ``flask`` command."""
    return click.get_current_context(silent=True) is None or _in_development()


def _instance(app: Flask) -> Path:
    folder = Path(app.instance_path)
    # Who cannot do without it, the database if it is to be there, says so in one line; others can.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder
