"""A call's own connection to the switchboard, while the database is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from callapp.call.switchboard import Extension
from callapp.call_log import Admission, StoreUnavailable

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
    extension = Extension(cast(Any, board), admission, cast(Any, None), "https://example.com")
    for _ in range(3):
        assert extension.whereabouts() is None
    assert caplog.text.count("connection refused") == 1
    down = False
    assert extension.whereabouts() is None
    down = True
    assert extension.whereabouts() is None
    assert caplog.text.count("connection refused") == 2
