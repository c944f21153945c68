"""What webhooks tell: the call as the HTTP API shows it, by the type of the message."""

from __future__ import annotations

from typing import Any

from callapp.call_log.documents import Call
from callapp.call_log.follow_ups import STARTED
from callapp.call_log.reading import find_call
from callapp.call_log.store import Store


def message_data(store: Store, kind: str, call_sid: str) -> dict[str, Any] | None:
    """The ``data`` of a message; ``None`` when the call is no longer in the log.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    call = find_call(store, call_sid)
    if call is None:
        return None
    if kind == STARTED:  # there is nothing to list yet
        return Call(**{name: getattr(call, name) for name in Call.model_fields}).as_json()
    return call.as_json()
