"""A call's own connection to the switchboard, while the database is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from callapp.agents import Agent
from callapp.call.switchboard import Extension, Switchboard
from callapp.call_log import Admission, StoreUnavailable
from callapp.conversation.commands import LeaveStream
from callapp.conversation.wishes import SendDigits

CALL_SID = "CA" + "1" * 32


def test_a_database_that_is_away_while_a_call_is_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked twice a second, for as long as a colleague may take."""
    down = True

    def find(_call_sid: str) -> object:
        if down:
            raise StoreUnavailable("connection refused")
        return SimpleNamespace(outcome=None)

    board = SimpleNamespace(
        away=SimpleNamespace(find=find), store=SimpleNamespace(find_status=lambda _call_sid: None)
    )
    admission = Admission(CALL_SID, CALL_SID, "operator", {}, "incoming", "", "")
    extension = Extension(cast(Any, board), admission, cast(Any, None), "https://example.com", 0.0)
    for _ in range(3):
        assert extension.whereabouts() is None
    assert caplog.text.count("connection refused") == 1
    down = False
    assert extension.whereabouts() is None
    down = True
    assert extension.whereabouts() is None
    assert caplog.text.count("connection refused") == 2


def test_a_call_that_ends_here_has_moved_once_another_process_has_its_stream() -> None:
    """It lives there: what is told of its end here would close it for all. Before it has left, it is here."""
    board = Switchboard(
        agents=cast(Any, {}),
        away=cast(Any, SimpleNamespace(find=lambda _call_sid: None, add=lambda _call, _lives_s: None)),
        store=cast(Any, SimpleNamespace(issue_token=lambda _admission, _lives_s: "token")),
        carrier=cast(Any, SimpleNamespace(redirect=lambda _call_sid, _document: None)),
    )
    admission = Admission(CALL_SID, CALL_SID, "walker", {}, "incoming", "", "")
    agent = Agent(name="walker", instructions="Be kind.")
    extension = Extension(board, admission, agent, "https://example.com", 0.0)
    assert extension.whereabouts(last=True) is None
    extension.leave(LeaveStream(SendDigits("1"), (), 0.0), 0)
    assert extension.whereabouts(last=True) == "server.moved"
    extension.leave(LeaveStream(SendDigits("2"), (), 0.0), 0)
    assert extension.whereabouts() is None  # it may be on its way to us
    assert extension.whereabouts() == "server.moved"
