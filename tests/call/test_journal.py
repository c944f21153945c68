"""Who is told what happens on a call."""

from __future__ import annotations

from typing import Any

import pytest

from callapp.call.journal import Journal, Particulars
from callapp.conversation.facts import Began, Ended, Uttered

CALL = Particulars(
    call_sid="CA" + "1" * 32,
    direction="incoming",
    from_number="+819012345678",
    to_number="+14155550100",
    agent="operator",
    parameters={"customerId": "12345"},
    model="gpt-realtime-2.1-mini",
    transcription_model=None,
)


def test_every_listener_is_told_each_fact_in_order() -> None:
    told: list[Any] = []
    journal = Journal(CALL, [lambda *fact: told.append((1, *fact)), lambda *fact: told.append((2, *fact))])
    journal(Began(), 0.5)
    journal(Ended(900, "caller.hung_up"), 901)
    assert told == [
        (1, CALL, Began(), 0.5),
        (2, CALL, Began(), 0.5),
        (1, CALL, Ended(900, "caller.hung_up"), 901),
        (2, CALL, Ended(900, "caller.hung_up"), 901),
    ]


def test_a_call_that_came_from_another_process_goes_on_by_the_clock_it_had() -> None:
    told: list[Any] = []
    journal = Journal(CALL, [lambda *fact: told.append(fact[1:])], before_ms=60_000)
    journal(Uttered(1_800, "agent", "item_1", "Hello.", 480.4, 1_730.2), 1_801)
    assert told == [(Uttered(61_800, "agent", "item_1", "Hello.", 60_480.4, 61_730.2), 61_801)]


def test_a_listener_that_fails_is_left_out_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []

    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    journal = Journal(CALL, [broken, lambda _, fact, at_ms: told.append(fact)])
    journal(Began(), 0)
    journal(Ended(900, "caller.hung_up"), 901)
    assert told == [Began(), Ended(900, "caller.hung_up")]
    assert len(caplog.records) == 1


def test_numbers_and_parameters_stay_out_of_what_a_log_shows() -> None:
    assert "9012345678" not in repr(CALL)
    assert "12345" not in repr(CALL)
