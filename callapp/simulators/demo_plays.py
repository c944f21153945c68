"""The plays that a demo can show: who calls whom, what they say, and what has to have come of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from callapp.simulators.callee import Callee, Hear, HearPause, Say, WaitForEnd
from callapp.simulators.clips import Clip, clip
from callapp.simulators.model_script import Ask, Call, Script
from callapp.simulators.model_script import Say as Speak
from callapp.simulators.ulaw import BYTES_PER_MS

_TOKYO = timezone(timedelta(hours=9))
_EDGE_BYTES = 60 * BYTES_PER_MS
"""Of the silence around a recording, what is left out between two digits."""


@dataclass(frozen=True)
class Outcome:
    """What was found once the call was over: words for the figures, and what is wrong."""

    shown: str = ""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Play:
    """One call.

    Args:
        agent: of callapp, by name.
        incoming: whether the person rings us; else we dial.
        person: whoever is on the phone.
        script: what the model answers.
        tools: the function calls that the model makes, in order.
        interruptions: how often the agent is cut short.
        outcome: looks into the server's database, an SQLite file, once the call is over.
    """

    agent: str
    incoming: bool
    person: Callable[[], Callee]
    script: Callable[[], Script]
    tools: tuple[str, ...]
    interruptions: int = 0
    outcome: Callable[[Path], Outcome] | None = None


# -- the operator -------------------------------------------------------------------------------


def _customer() -> Callee:
    """Asks, interrupts the answer once, says goodbye."""
    return Callee(
        [
            HearPause(350),
            Say(clip("caller-question")),
            Hear(2600),
            Say(clip("caller-correction")),
            HearPause(350),
            Say(clip("caller-goodbye")),
            WaitForEnd(),
        ],
        rings_ms=600,
    )


def _customer_service() -> Script:
    return Script(
        Speak("agent-greeting"),
        [Speak("agent-preamble", phase="commentary"), Speak("agent-answer", phase="final_answer")],
        Speak("agent-change"),
        [Speak("agent-goodbye"), Call("end_call", {"reason": "用件が済んだ"})],
    )


# -- the reservation ----------------------------------------------------------------------------

_GUEST = "田中"
_TABLES_READ = (
    "SELECT code, day, starts_at, party_size, name, phone FROM reservations WHERE status = 'booked'"
)


def _guest() -> Callee:
    """Wants a table for two tomorrow at seven, gives a name, says goodbye."""
    return Callee(
        [
            HearPause(350),
            Say(clip("caller-table")),
            HearPause(350),
            Say(clip("caller-name")),
            HearPause(350),
            Say(clip("caller-goodbye")),
            WaitForEnd(),
        ],
        rings_ms=600,
    )


def _booking() -> Script:
    wish = {"date": _tomorrow(), "time": "19:00", "party_size": 2}
    return Script(
        Speak("agent-table-greeting"),
        [Speak("agent-table-check", phase="commentary"), Call("check_availability", wish)],
        Speak("agent-table-free"),
        Call("book_table", {**wish, "name": _GUEST}),
        _confirmation,
        [Speak("agent-goodbye"), Call("end_call", {"reason": "予約が済んだ"})],
    )


def _confirmation(ask: Ask) -> Speak:
    """Say the code that the tool gave back, digit by digit."""
    code = _code_in(ask.tool_outputs)
    digits = [clip(f"agent-digit-{digit}") for digit in code]
    before, after = clip("agent-table-booked"), clip("agent-table-other")
    spoken = b"".join(digit.audio[_EDGE_BYTES:-_EDGE_BYTES] for digit in digits)
    return Speak(
        Clip(
            name="agent-table-code",
            audio=before.audio + spoken + after.audio,
            text=before.text + code + after.text,
            speaker="agent",
        )
    )


def _code_in(outputs: Mapping[str, str]) -> str:
    """The reservation's code; nothing if the tool did not give one."""
    for output in outputs.values():
        code = json.loads(output).get("code")
        if isinstance(code, str) and code.isdecimal():
            return code
    return ""


def _reservation_in(database: Path) -> Outcome:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(_TABLES_READ).fetchall()
    if len(rows) != 1:
        return Outcome(faults=(f"There are {len(rows)} reservations in the database, not one.",))
    code, day, at, party_size, name, phone = rows[0]
    shown = f"{day} {at[:5]}, {party_size} people, {name}, code {code}"
    if (day, at[:5], party_size, name) != (_tomorrow(), "19:00", 2, _GUEST) or not phone:
        return Outcome(shown, (f"The reservation in the database is another one: {shown}.",))
    return Outcome(shown)


def _tomorrow() -> str:
    """As the restaurant's calendar has it."""
    return f"{datetime.now(_TOKYO) + timedelta(days=1):%Y-%m-%d}"


OPERATOR = Play(
    agent="operator",
    incoming=False,
    person=_customer,
    script=_customer_service,
    tools=("end_call",),
    interruptions=1,
)
RESERVATION = Play(
    agent="reservation",
    incoming=True,
    person=_guest,
    script=_booking,
    tools=("check_availability", "book_table", "end_call"),
    outcome=_reservation_in,
)
PLAYS = {play.agent: play for play in (OPERATOR, RESERVATION)}
