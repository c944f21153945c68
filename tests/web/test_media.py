"""A stream that has come in: whatever goes wrong before its call is under way, its line is free again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from callapp.call.bridge import Bridge
from callapp.call_log.records import Admission, AwayCall
from callapp.call_log.settling import Settler
from callapp.services import Services
from callapp.telephony.media_streams import Started
from callapp.telephony.rest import CallState
from callapp.web import media
from tests.web.conftest import CALL_SID, ORIGIN, World
from tests.web.test_voice import parameters


class SilentBridge(Bridge):
    def __init__(self) -> None:
        """It carries nothing."""

    def run(self) -> str | None:
        return "caller.hung_up"


def stream_of_a_dialled_call(world: World) -> Any:
    """What Twilio opens once a call that we placed was picked up."""
    assert world.call({"agent": "operator", "phoneNumber": "+819012345678"}).status_code == 201
    [dialled] = world.carrier.dialled
    answer = world.webhook(dialled["url"].removeprefix(ORIGIN), {"CallSid": CALL_SID})
    started = Started(CALL_SID, "MZ1", cast(dict[str, str], parameters(answer)))
    return SimpleNamespace(wait_for_start=lambda _within_s: started)


def silent(parts: Services) -> Services:
    return replace(parts, maker=cast(Any, SimpleNamespace(bridge=lambda *_: SilentBridge())))


def test_a_bug_before_a_call_is_under_way_keeps_no_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, parts = stream_of_a_dialled_call(world), silent(world.services)

    def expect(_call_sid: str, _tell: Callable[[str], None], _within_s: float) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(parts.verdicts, "expect", expect)
    monkeypatch.setattr(media, "detection_s", lambda _admission, _agent: 5)
    with world.app.test_request_context("/ws"), pytest.raises(ValueError, match="a bug"):
        media._carry(caller, parts, from_browser=False)
    assert world.slots == 0


def test_a_call_that_comes_from_another_process_waits_for_who_answered_as_long_as_twilio_listens(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process may not have been told before the call left; a person is not asked about for ever."""
    caller, parts = stream_of_a_dialled_call(world), silent(world.services)
    admission = Admission(CALL_SID, CALL_SID, "operator", {}, "outgoing", "+1", "+81")
    parts.switchboard.away.add(AwayCall(admission, {"digits": "1"}, [], elapsed_ms=4_000), 60)
    expected: list[tuple[str, float]] = []
    monkeypatch.setattr(
        parts.verdicts, "expect", lambda call_sid, _tell, within_s: expected.append((call_sid, within_s))
    )
    monkeypatch.setattr(media, "detection_s", lambda _admission, _agent: 30)
    with world.app.test_request_context("/ws"):
        media._carry(caller, parts, from_browser=False)
    assert expected == [(CALL_SID, 26.0)]


def test_a_call_that_is_refused_for_want_of_a_line_is_soon_over_in_the_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process had answered it, and kept a line for it; of one that rang us nobody tells the end."""
    parts = silent(world.services)
    answer = world.webhook("/incoming-call?agent=operator")
    started = Started(CALL_SID, "MZ1", cast(dict[str, str], parameters(answer)))
    parts.registry.give_back(CALL_SID)  # it is the other's, and here
    while parts.registry.take_slot(uuid4().hex):
        pass
    closed: list[object] = []
    caller = SimpleNamespace(
        wait_for_start=lambda _within_s: started, close=lambda *told: closed.append(told)
    )
    cast(Any, parts.maker).apology = lambda *_: None
    monkeypatch.setattr("callapp.call_log.store.ASK_SOON_AFTER", timedelta(0))
    with world.app.test_request_context("/ws"):
        media._carry(cast(Any, caller), parts, from_browser=False)
    assert closed == [(media.TRY_AGAIN_LATER, "at capacity")]
    Settler(parts.store, lambda _sid: CallState("completed", 3)).settle_due()
    assert parts.store.no_longer_awaited([CALL_SID]) == [CALL_SID]
