from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, NoReturn, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator
from werkzeug.test import TestResponse

from callapp.building import build_services
from callapp.call.registry import Registry
from callapp.call_log import StoreUnavailable
from callapp.errors import CarrierRefused
from callapp.services import Services
from callapp.settings import Settings
from callapp.telephony.rest import Placed
from callapp.web import (
    calls,
    captions,
    forwarding,
    health,
    metrics,
    openapi,
    outgoing,
    problems,
    transfers,
    voice,
)
from callapp.web.urls import apply_proxy_fix
from tests.databases import sqlite_at

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
API_KEY = "an-api-key"
ORIGIN = "https://voice.example.com"
CALL_SID = "CA" + "1" * 32
FROM = "+14155550100"
TO = "+819012345678"

SHOP = """---
language: ja-JP
opening: "{{ customerName }}様、こんにちは。"
---
お客様番号は{{ customerId }}、お名前は{{ customerName }}様です。
"""
PLAIN = """---
language: en-GB
---
You answer the phone.
"""


STAFFED = """---
language: en-GB
transfer_to: {sales: "+819011112222"}
tools: [transfer_call]
---
You answer the phone.
"""


HEARD = """---
kind: captions
language: en-GB
forward_to: +442079460000
opening: This call is transcribed.
closing: That was all.
---
A call between two.
"""


BRANCH = """---
language: en-GB
opening: This is {{ shop }}.
parameters: {customerId: , shop: Shibuya}
---
You answer the phone.
"""


class FakeCarrier:
    """Takes every dial, or raises what it is told to raise."""

    def __init__(self) -> None:
        self.dialled: list[dict[str, str]] = []
        self.redirected: list[tuple[str, str]] = []
        self.completed: list[str] = []
        self.canceled: list[str] = []
        self.recordings: dict[str, bytes] = {}
        self.error: Exception | None = None
        self.before_answer: Callable[[dict[str, str]], object] = lambda dial: None

    def place_call(self, **dial: str) -> Placed:
        self.dialled.append(dial)
        self.before_answer(dial)
        if self.error is not None:
            raise self.error
        return Placed(f"CA{len(self.dialled):032d}", "queued")

    def redirect(self, call_sid: str, document: str) -> None:
        if self.error is not None:
            raise self.error
        self.redirected.append((call_sid, document))

    def fetch_recording(self, recording_sid: str) -> bytes | None:
        return self.recordings.get(recording_sid)

    def delete_recording(self, recording_sid: str) -> None:
        if self.recordings.pop(recording_sid, None) is None:
            raise CarrierRefused(404, 20404, "not found", None)

    def complete_call(self, call_sid: str) -> None:
        if self.error is not None:
            raise self.error
        self.completed.append(call_sid)

    def cancel_call(self, call_sid: str) -> None:
        if self.error is not None:
            raise self.error
        self.canceled.append(call_sid)


class Live:
    """A call of this process."""

    def __init__(self) -> None:
        self.cuts: list[str] = []

    def cut(self, reason: str) -> None:
        self.cuts.append(reason)


def unavailable(*_: Any) -> NoReturn:
    """What the database is asked while it is away."""
    raise StoreUnavailable("connection refused")


@dataclass
class World:
    """An app, and what stands around it."""

    app: Flask
    services: Services
    carrier: FakeCarrier
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def call(self, body: Any = None, **request: Any) -> TestResponse:
        """POST /outgoing-call as curl on this machine does."""
        request.setdefault("json", {"phoneNumber": TO} if body is None else body)
        return self.client.post("/outgoing-call", **request)

    def webhook(
        self, path: str, fields: dict[str, str] | None = None, *, origin: str = ORIGIN, **request: Any
    ) -> TestResponse:
        """A POST of Twilio's, signed with its own code."""
        fields = {"CallSid": CALL_SID, "From": FROM, "To": TO} if fields is None else fields
        signature = RequestValidator(AUTH_TOKEN).compute_signature(origin + path, fields)
        headers = {"X-Twilio-Signature": signature, **request.pop("headers", {})}
        return self.client.post(path, data=fields, headers=headers, **request)

    @property
    def slots(self) -> int:
        """How many calls the registry holds a slot for."""
        return self.services.registry._count()


MakeWorld = Callable[..., World]


def slots_after(seconds: float, registry: Registry) -> int:
    """How many slots are taken so much later, if nothing comes until then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callapp.call.registry.monotonic", lambda: monotonic() + seconds)
        registry._give_back_expired()
    return registry.taken


@pytest.fixture
def database(tmp_path: Path) -> str:
    """SQLite alone: most doors have little to do with the database. Tests of those that do ask for both."""
    return sqlite_at(tmp_path / "calls.sqlite")


@pytest.fixture
def make_world(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorld]:
    """Makes an app of the real parts but for Twilio; a setting that is given replaces ours."""
    monkeypatch.setattr("callapp.call_log.writer.GATHER_S", 0.0)
    with ExitStack() as stack:

        def make(**changes: Any) -> World:
            agents_dir = tmp_path / "agents"
            agents_dir.mkdir(exist_ok=True)
            settings = Settings(
                **{
                    "twilio_account_sid": "AC" + "0" * 32,
                    "twilio_auth_token": AUTH_TOKEN,
                    "from_phone_number": FROM,
                    "public_url": ORIGIN,
                    "rate_limit_per_callee": "1000/minute",
                    "database_url": database,
                    "agents_dir": agents_dir,
                    **changes,
                }
            )
            (agents_dir / "shop.md").write_text(SHOP)
            (agents_dir / "plain.md").write_text(PLAIN)
            (agents_dir / "staffed.md").write_text(STAFFED)
            (agents_dir / "heard.md").write_text(HEARD)
            (agents_dir / "branch.md").write_text(BRANCH)
            carrier = FakeCarrier()
            services = build_services(settings, tmp_path, in_development=False, database_needed=False)
            stack.callback(services.store.close)
            board = replace(services.switchboard, carrier=cast(Any, carrier))
            services = replace(services, carrier=cast(Any, carrier), switchboard=board)
            app = Flask("callapp")
            app.extensions["callapp"] = services
            for module in (health, metrics, outgoing, calls, captions, openapi, voice, transfers, forwarding):
                app.register_blueprint(module.blueprint)
            problems.register(app)
            apply_proxy_fix(app, settings)
            return World(app, services, carrier)

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()
