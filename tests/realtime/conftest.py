"""A leg on a connection that only takes notes; and what comes from legs on real ones."""

from __future__ import annotations

import json
import logging
from typing import Any, cast

import pytest

from callapp.agents.fields import McpServer
from callapp.conversation.events import ModelLost
from callapp.errors import LegLost
from callapp.realtime.dialling import Endpoint
from callapp.realtime.leg import ModelLeg
from callapp.realtime.session import RemoteTools, SessionConfig
from callapp.websocket.connection import Connection

SERVER = McpServer(server_label="crm", server_url="https://crm.example.com/mcp", approve=("find",))
CONFIG = SessionConfig("Be kind.", "coral", "en-US", remote_tools=[RemoteTools(SERVER)])


class FakeConnection:
    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.sent: list[dict[str, Any]] = []

    def receive(self) -> list[bytes]:
        messages, self.messages = self.messages, []
        return messages

    def send_text(self, data: bytes) -> None:
        self.sent.append(json.loads(data))


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection()


@pytest.fixture
def leg(connection: FakeConnection) -> ModelLeg:
    leg = ModelLeg(Endpoint("wss://x", "m", "k"), CONFIG, logging.getLogger("test"))
    leg._connection = cast(Connection, connection)
    return leg


def until(leg: Any, kind: type) -> list[Any]:
    """All that comes up to the first event of a kind."""
    events: list[Any] = []
    while not any(isinstance(one, kind) for one in events):
        events += leg.receive()
    return events


def loss_of(leg: Any, before: type, match: str | None = None) -> ModelLost:
    """What it stands for that a session is lost, before an event of a kind has come."""
    with pytest.raises(LegLost, match=match) as lost:
        until(leg, before)
    meaning: ModelLost = leg.meaning_of(lost.value)
    return meaning
