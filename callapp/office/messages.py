"""Messages that callers leave for people."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from callapp.call_log import Store
from callapp.office.models import MessageRow
from callapp.tools.declare import Provided


@dataclass(frozen=True)
class Message:
    """What somebody called for, and how to reach them. ``for_whom`` may be empty: for anybody."""

    caller_name: str
    phone: str
    text: str
    for_whom: str = ""


class Messages(Provided):
    """The pad beside the phone. Safe from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, message: Message, *, call_sid: str, agent: str) -> None:
        """Write a message down."""
        row = MessageRow(
            id=uuid.uuid4().hex,
            for_whom=message.for_whom,
            caller_name=message.caller_name,
            phone=message.phone,
            text=message.text,
            agent=agent,
            call_sid=call_sid,
            created_at=datetime.now(UTC),
        )
        with self._store.transaction() as session:
            session.add(row)
