"""Which upgrade of ``/ws`` is taken for a browser's at the desk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import Forbidden

from callapp import create_app
from callapp.settings import Settings
from tests.databases import sqlite_at
from tests.web.conftest import slots_after
from tests.web.test_desk import HTML, KEY, csrf_token, sign_in, signed_in

OURS = "http://localhost"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(
        Settings(
            callapp_api_key=KEY,
            twilio_auth_token="0" * 32,
            max_concurrent_calls=2,
            database_url=sqlite_at(tmp_path / "calls.sqlite"),
        )
    )
    yield app
    app.extensions["callapp"].close()


@pytest.fixture
def desk(app: Flask) -> FlaskClient:
    return signed_in(app)


def order(desk: FlaskClient, **body: Any) -> Any:
    token = csrf_token(desk.get("/desk/phone", headers=HTML))
    return desk.post("/desk/phone/calls", json=body, headers={"X-CSRFToken": token})


def offered(desk: FlaskClient) -> str:
    return ", ".join(order(desk).json["subprotocols"])


def taken(app: Flask, client: FlaskClient, protocols: str, origin: str | None = OURS) -> bool:
    """Whether an upgrade with the cookies of a client is let through."""
    cookie = client.get_cookie("callapp_desk")
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",  # RFC 6455's
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": protocols,
    }
    if cookie is not None:
        headers["Cookie"] = f"{cookie.key}={cookie.value}"
    if origin is not None:
        headers["Origin"] = origin
    with app.test_request_context("/ws", base_url="ws://localhost", headers=headers):
        try:
            return app.preprocess_request() is None
        except Forbidden:
            return False


def test_a_page_of_an_earlier_session_is_told_to_be_loaded_again(desk: FlaskClient) -> None:
    """As after a sign-out and a sign-in in another tab; Flask-WTF's own words do not say what to do."""
    headers = {"X-CSRFToken": "of another", "Accept": "application/json", "Accept-Language": "ja"}
    answer = desk.post("/desk/phone/calls", json={}, headers=headers)
    assert answer.status_code == 400
    assert "ページを読み込み直して" in answer.json["detail"]


def test_a_ticket_opens_one_socket_once(app: Flask, desk: FlaskClient) -> None:
    protocols = offered(desk)
    assert taken(app, desk, protocols)
    assert not taken(app, desk, protocols)


def test_a_ticket_is_of_no_use_to_another_session(app: Flask, desk: FlaskClient) -> None:
    protocols = offered(desk)
    other = app.test_client()
    assert not taken(app, other, protocols)
    sign_in(other)
    assert not taken(app, other, protocols)
    assert taken(app, desk, protocols)  # it was not used up by that


@pytest.mark.parametrize(
    "origin", [None, "null", "https://evil.example.com", "http://localhost.evil.example.com"]
)
def test_a_page_of_another_site_cannot_use_it(app: Flask, desk: FlaskClient, origin: str | None) -> None:
    """Browsers let any page open a WebSocket to anywhere, and send the cookies along."""
    assert not taken(app, desk, offered(desk), origin)


@pytest.mark.parametrize(
    "protocols", ["callapp.browser", "ticket.", "ticket.made-up", "callapp.browser, ticket.x"]
)
def test_without_a_ticket_of_ours_only_twilio_gets_in(app: Flask, desk: FlaskClient, protocols: str) -> None:
    assert not taken(app, desk, protocols)


def test_a_ticket_lives_for_seconds(app: Flask, desk: FlaskClient) -> None:
    store = app.extensions["callapp"].store
    with desk.session_transaction() as session:
        session_id = session["id"]
    assert store.redeem_ticket(store.issue_ticket(session_id, 20), session_id)
    assert not store.redeem_ticket(store.issue_ticket(session_id, -1), session_id)


@pytest.mark.parametrize(
    ("body", "status"),
    [({"agent": "nobody"}, 404), ({"parameters": []}, 400), ({"parameters": {"x": "\0"}}, 400)],
)
def test_what_cannot_be_called_is_said(desk: FlaskClient, body: dict[str, Any], status: int) -> None:
    answer = order(desk, **body)
    assert answer.status_code == status
    assert answer.json["detail"]


def test_a_browser_takes_a_line_like_any_call(app: Flask, desk: FlaskClient) -> None:
    assert [order(desk).status_code for _ in range(3)] == [201, 201, 503]
    registry = app.extensions["callapp"].registry
    assert [slots_after(s, registry) for s in (29, 31)] == [2, 0], (
        "a page may be closed before its call begins"
    )
