"""Whatever a client sends, the pretend model answers with an event it may send, and lives on."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from callapp.simulators.model_errors import ClientError, check
from callapp.simulators.model_schema import CLIENT_EVENTS
from callapp.simulators.model_script import INSTANT, Call, Say, Script
from callapp.simulators.model_service import Behaviour
from callapp.simulators.model_session import Session
from tests.simulators.realtime_client import check_event
from tests.simulators.test_model_session import ACCEPTED

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


class DeafWire:
    """Takes what a session sends, and holds each event against the SDK's types."""

    def __init__(self) -> None:
        self.request_headers: dict[str, str] = {}
        self.open = True
        self.closing = False

    def send_event(self, event: dict[str, Any]) -> None:
        check_event(json.loads(json.dumps(event)))


def quiet_session() -> Session:
    behaviour = Behaviour(script=Script(otherwise=[Say("Yes.", duration_ms=200), Call("f")]), pace=INSTANT)
    session = Session(DeafWire(), "gpt-realtime-2.1", behaviour, lambda event_type: None)  # type: ignore[arg-type]
    session._begin()
    return session


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A documented event with one value replaced by any other, or one field added."""
    event = copy.deepcopy(draw(st.sampled_from(ACCEPTED)))
    path = draw(st.sampled_from([place for place in places(event) if place]))
    here: Any = event
    for step in path[:-1]:
        here = here[step]
    if isinstance(here, dict) and draw(st.booleans()):
        here[draw(st.text(max_size=8))] = draw(JSON)
    else:
        here[path[-1]] = draw(JSON)
    return event


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4), st.sampled_from([*CLIENT_EVENTS, "x", ""]))
def test_any_object_is_an_event_or_an_error(fields: dict[str, Any], kind: str) -> None:
    with suppress(ClientError):
        check({**fields, "type": kind})


@settings(max_examples=150, deadline=None)
@given(st.lists(damaged() | st.sampled_from(ACCEPTED), min_size=1, max_size=6))
def test_damaged_events_never_end_a_session(events: list[dict[str, Any]]) -> None:
    session = quiet_session()
    for event in events:
        session._inbox.append(json.dumps(event))
        session._turn()
    assert len(session.received) == len(events)


@settings(deadline=None)
@given(st.text() | st.binary())
def test_any_frame_is_an_event_or_an_error(frame: str | bytes) -> None:
    session = quiet_session()
    session._inbox.append(frame)
    session._turn()
    assert len(session.sent_events("error")) == 1
