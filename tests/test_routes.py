"""No route is open by accident: Twilio's want its signature, the JSON API's want the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from callapp import create_app
from callapp.settings import Settings
from tests.databases import sqlite_at

TWILIO = {
    "/recording-status",
    "/incoming-call",
    "/call-status",
    "/answered-by",
    "/ws",
    "/captions/over",
    "/transfer/answered",
    "/transfer/over",
    "/transfer/fallback",
    "/transfer/colleague",
    "/transfer/take",
    "/transfer/colleague-status",
}
OPEN = {"/", "/healthz", "/readyz", "/openapi.json", "/static/<path:filename>"}
FAR_AWAY = {"REMOTE_ADDR": "203.0.113.5"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    settings = Settings(
        twilio_auth_token="0" * 32,
        public_url="https://voice.example.com",
        database_url=sqlite_at(tmp_path / "calls.sqlite"),
    )
    app = create_app(settings)
    yield app
    app.extensions["callapp"].close()


def test_every_route_is_guarded(app: Flask) -> None:
    seen = set()
    for rule in app.url_map.iter_rules():
        seen.add(rule.rule)
        if rule.rule in OPEN:
            continue
        expected = 403 if rule.rule in TWILIO else 401
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"} if rule.websocket else {}
        url = rule.rule.replace("<", "").replace(">", "")
        for method in sorted(rule.methods or ()):
            answer = app.test_client().open(
                url,
                method=method,
                headers=upgrade,
                environ_base=FAR_AWAY,
                base_url=f"{'ws' if rule.websocket else 'http'}://voice.example.com",
            )
            assert answer.status_code == expected, f"{method} {rule.rule}"
    assert seen >= TWILIO | OPEN
