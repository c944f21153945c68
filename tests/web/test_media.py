"""A stream that has come in: whatever goes wrong before its call is under way, its line is free again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callapp.call.bridge import Bridge
from callapp.telephony.media_streams import Started
from callapp.web import media
from tests.web.conftest import CALL_SID, ORIGIN, World
from tests.web.test_voice import parameters


class SilentBridge(Bridge):
    def __init__(self) -> None:
        """It carries nothing."""

    def run(self) -> str | None:
        return "caller.hung_up"


def test_a_bug_before_a_call_is_under_way_keeps_no_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.call({"agent": "operator", "phoneNumber": "+819012345678"}).status_code == 201
    [dialled] = world.carrier.dialled
    answer = world.webhook(dialled["url"].removeprefix(ORIGIN), {"CallSid": CALL_SID})
    told = cast(dict[str, str], parameters(answer))
    started = Started(CALL_SID, "MZ1", told)
    caller = cast(Any, SimpleNamespace(wait_for_start=lambda _within_s: started))
    parts = replace(world.services, maker=cast(Any, SimpleNamespace(bridge=lambda *_: SilentBridge())))

    def expect(_call_sid: str, _tell: Callable[[str], None], _within_s: float) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(parts.verdicts, "expect", expect)
    monkeypatch.setattr(media, "detection_s", lambda _admission, _agent: 5)
    with world.app.test_request_context("/ws"), pytest.raises(ValueError, match="a bug"):
        media._carry(caller, parts, from_browser=False)
    assert world.slots == 0
