"""Every fault, at every moment of a call, on either side, at any byte: it goes on or ends, as specified.

The bytes are drawn from a seed, which a failure prints. To see one case again, or to draw others::

    FAULT_LAB_SEED=1 FAULT_LAB_CASE=57 pytest -s tests/faults/test_fault_lab.py

The table fault x moment -> what the caller heard, how long until it, and the reason in the log, is
written to the file named by ``FAULT_LAB_TABLE``, else to the test's own folder, and printed with ``-s``."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.faults.lab import KINDS, MOMENTS, Case, Lab, Lane, Outcome, cases
from tests.stage import eventually

SEED = int(os.environ.get("FAULT_LAB_SEED", "20261123"))
CASES = int(os.environ.get("FAULT_LAB_CASES", "504"))
ONLY = os.environ.get("FAULT_LAB_CASE")
# Calls begin one after the other at a server, see `Lab.ring`: two servers get through them faster.
LANES = 32
LABORATORIES = 2

MOST_AWAY_MS = 6_000
MOST_SILENCE_MS = 3_500
# A peer that is silent, but whose socket stands: it is asked for a sign of life first.
MOST_SILENCE_STALLED_MS = 5_500
# What is granted on top for a machine that is busy with everything at once; and so late as the phone was.
SLACK_MS = 900

GOES_ON = {"agent.ended"}
CALLER_GONE = {
    "twilio.disconnected",
    "twilio.completed",
    "caller.hung_up",
    "twilio.no_media",
    "twilio.stalled",
}
NEVER_LIVED = {""}


def allowed_reasons(case: Case) -> set[str]:
    """How a call may end of which this has gone wrong."""
    kind = case.fault.kind
    if case.side == "model":
        return GOES_ON
    if kind in ("delay", "split"):
        # A webhook or an upgrade that takes long is waited for; Twilio gives up after seconds, not after one.
        return GOES_ON
    if case.moment in ("ringing", "before start"):
        return NEVER_LIVED | CALLER_GONE | GOES_ON  # by where the byte lies: not at all, or as any other time
    # A phone that falls silent still hears: the agent may come to its goodbye before it is given up.
    return CALLER_GONE | (GOES_ON if kind in ("duplicate", "stall") or case.moment == "goodbye" else set())


def most_s(outcome: Outcome) -> float:
    """Within how long after its fault a call has to be over."""
    if outcome.reason in GOES_ON or not outcome.reason:
        return 30.0
    if outcome.reason == "twilio.no_media" or outcome.case.fault.kind in ("stall", "duplicate"):
        return 12.0
    return 1.5


def faults_of(outcome: Outcome) -> list[str]:
    """What is not as it should be."""
    case, wrong = outcome.case, list(outcome.wrong)
    reasons = allowed_reasons(case) if outcome.struck else GOES_ON | CALLER_GONE
    if outcome.reason not in reasons:
        wrong.append(f"ended with {outcome.reason or 'nothing'}, expected {sorted(reasons)}")
    slack_ms = SLACK_MS + outcome.late_ms
    if outcome.ended_after_s > most_s(outcome) + slack_ms / 1000:
        wrong.append(f"{outcome.reason} only after {outcome.ended_after_s:.1f} s")
    stalled = "stall" in (case.fault.kind, case.again.kind if case.again else "")
    most_ms = MOST_SILENCE_STALLED_MS if stalled else MOST_SILENCE_MS
    if outcome.silence_ms > most_ms + slack_ms:
        wrong.append(f"{outcome.silence_ms:.0f} ms of silence")
    back_ms = outcome.back_ms
    if (
        case.fault.kind in ("drop", "reset")
        and case.again is None
        and back_ms is not None
        and back_ms > MOST_AWAY_MS + slack_ms
    ):
        wrong.append(f"a new session only after {back_ms:.0f} ms")
    return wrong


def run_all(labs: Sequence[Lab], chosen: Iterable[Case]) -> list[Outcome]:
    free: SimpleQueue[tuple[Lab, Lane]] = SimpleQueue()
    places = [(lab, lane) for lab in labs for lane in lab.lanes.values()]
    for place in places:
        free.put(place)

    def run(case: Case) -> Outcome:
        lab, lane = place = free.get()
        try:
            return lab.run(lane, case)
        finally:
            free.put(place)

    with ThreadPoolExecutor(len(places)) as threads:
        return list(threads.map(run, chosen))


@pytest.mark.alone
@pytest.mark.timeout(400)
def test_a_call_survives_or_ends_as_it_should_whatever_breaks(tmp_path: Path) -> None:
    chosen = [case for case in cases(SEED, CASES) if ONLY is None or case.number == int(ONLY)]
    with ExitStack() as stack:
        labs = [stack.enter_context(Lab(tmp_path / f"lab-{number}", LANES)) for number in range(LABORATORIES)]
        outcomes = run_all(labs, chosen)
        _write_table(outcomes, Path(os.environ.get("FAULT_LAB_TABLE", tmp_path / "fault_table.md")))
        wrong = [f"{one.case}: {'; '.join(faults)}" for one in outcomes if (faults := faults_of(one))]
        assert not wrong, f"seed {SEED}:\n" + "\n".join(wrong)
        for lab in labs:
            _assert_nothing_is_odd(lab.server.lines)
            _assert_nothing_is_held(lab)


def _assert_nothing_is_odd(lines: Sequence[str]) -> None:
    odd = [number for number, line in enumerate(lines) if "! bug" in line or "Traceback" in line]
    assert not odd, "\n".join(line for number in odd for line in lines[max(0, number - 3) : number + 40])


def _assert_nothing_is_held(lab: Lab) -> None:
    """Each slot is free, each thread is one of gunicorn's, and no socket of a call is left open."""
    assert eventually(lambda: all(session.closed for session in lab.scene.model.sessions))
    most = len(lab.lanes) + 4
    assert eventually(lambda: lab.open_sockets() == 0, 10)
    # The first webhook of a call takes its slot: so many fit in as if nothing had happened.
    answers = [lab.webhook(f"CA{number:032}") for number in range(most + 1)]
    assert ["<Stream" in answer for answer in answers] == [True] * most + [False]
    stacks = lab.server.stacks()
    assert len(stacks) > len(lab.lanes)  # gunicorn's own
    assert not [stack for stack in stacks if "callapp/call/bridge.py" in stack]


def _write_table(outcomes: list[Outcome], file: Path) -> None:
    rows = defaultdict(list)
    for one in outcomes:
        if one.struck:
            rows[one.case.side, one.case.fault.kind, one.case.moment].append(one)
    lines = [
        f"{len(outcomes)} calls, {sum(one.struck for one in outcomes)} of them struck, seed {SEED}.",
        "",
        "| side | fault | moment | calls | next heard (the slowest of them) | longest silence, model away "
        "| over after | reason |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for side, moments in MOMENTS.items():
        for kind in KINDS:
            for moment in moments:
                lines += [_row(side, kind, moment, group) for group in [rows[side, kind, moment]] if group]
    text = "\n".join(lines) + "\n"
    file.write_text(text, encoding="utf-8")
    print(f"\n{text}\n{file}")


def _row(side: str, kind: str, moment: str, group: list[Outcome]) -> str:
    heard = [one for one in group if one.first_sound_ms is not None]
    slowest = max(heard, key=lambda one: one.first_sound_ms or 0, default=None)
    first = f"{slowest.first_sound} after {slowest.first_sound_ms:.0f} ms" if slowest else "nothing"
    said = sorted({text for one in group for text in one.said})
    if said:
        first += "; then Twilio's voice: " + " / ".join(f"“{text}”" for text in said)
    silence = f"{max(one.silence_ms for one in group):.0f} ms" if side == "model" else "–"
    over = f"{min(one.ended_after_s for one in group):.1f}–{max(one.ended_after_s for one in group):.1f} s"
    reasons = ", ".join(sorted({one.reason or "(never live)" for one in group}))
    return f"| {side} | {kind} | {moment} | {len(group)} | {first} | {silence} | {over} | {reasons} |"
