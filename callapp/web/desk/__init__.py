"""The desk: the pages at which people try agents, place calls, and see how things stand.

Server-rendered HTML with small ES modules; nothing is built, and nothing comes from elsewhere. Each module
adds its pages to the one blueprint, in ``sign_in``, that guards them all.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from callapp.settings import Settings
from callapp.web.desk import calls, dial, live, numbers, pages, phone, reasons, setup, sign_in

__all__ = ["calls", "dial", "live", "numbers", "phone", "reasons", "register", "setup"]


def register(app: Flask, settings: Settings, instance: Path) -> None:
    """Add the desk to the app.

    Args:
        instance: the folder of what is this machine's alone.
    """
    sign_in.prepare(app, settings, instance)
    pages.prepare(app)
    app.register_blueprint(sign_in.blueprint)
