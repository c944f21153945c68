"""Recordings that Twilio makes."""

from __future__ import annotations

import pytest

from callapp.conversation.facts import Began
from callapp.recording.at_twilio import orders
from tests.call.test_journal import CALL
from tests.stage import no_thread_left


def test_where_no_thread_is_left_to_order_it_the_log_says_that_a_call_is_not_recorded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was told as a bug, with a traceback that said nothing of a recording."""
    with no_thread_left():
        orders(lambda _call_sid, _callback: None, "https://example.com/recording-status")(CALL, Began(), 0.0)
    assert "! Twilio does not record the call: the system has no thread left" in caplog.text
