"""A demo from beginning to end: who takes part, the call they make, and what is told of it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from rich.console import Console

from callapp.simulators.carrier import Carrier
from callapp.simulators.demo_plays import OPERATOR, Outcome, Play
from callapp.simulators.demo_report import faults, faults_of_server, figures, shown_path, write_recording
from callapp.simulators.demo_screen import Screen, print_figures, print_heading, print_verdict
from callapp.simulators.demo_server import MODEL_KEY, OUR_NUMBER, Server, ServerFailed, ended_by, pretended
from callapp.simulators.demo_watch import Watch
from callapp.simulators.model import PretendModel
from callapp.simulators.model_script import Pace
from callapp.simulators.speech import Speech

_PERSON = "+819012345678"
_LONGEST_S = 60
_LOOK_S = 0.08


def pretend_model(play: Play = OPERATOR, *, credit: bool = True) -> PretendModel:
    """The model and what it answers; without credit it refuses every session."""
    return PretendModel(
        play.script(),
        api_key=MODEL_KEY,
        credit=credit,
        speech=Speech.bundled(),
        pace=Pace(speed=6, first_delta_after_ms=80),
        transcript_after_ms=30,
    )


def perform(
    console: Console, wav: Path, model: PretendModel, play: Play = OPERATOR, *, shows_log: bool = False
) -> int:
    """Make the call and tell of it; return the exit status. Leaves no process and no thread."""
    print_heading(
        console,
        "A whole call on this machine",
        "Real: the server, its sockets, the audio. Pretended: Twilio, a phone, OpenAI.",
        "The agent's lines are what the phone heard, the caller's what the model heard.",
    )
    watch, failures = Watch(), []
    with (
        tempfile.TemporaryDirectory(prefix="callapp-demo-") as folder,
        model,
        Carrier(say_ms_per_char=50, on_note=watch.note) as carrier,
        Server(Path(folder), pretended(carrier, model)) as server,
    ):
        with Screen(console, server if shows_log else None) as screen:
            try:
                _make_the_call(play, server, watch, carrier, model, screen)
            except ServerFailed as error:
                failures.append(str(error))
            status = server.stop()
            watch.look(carrier, model)
            screen.show_rest(watch.lines)
        log = server.log()
        outcome = play.outcome(server.database) if play.outcome is not None else Outcome()
    end_reason = ended_by(log)
    failures += faults_of_server(status, log)
    if watch.call is not None:
        failures += faults(watch, carrier, model, play, end_reason)
        failures += outcome.faults
        if watch.call.streams:
            failures += write_recording(watch.call, wav)
            rows = figures(watch, watch.call.stream, watch.session, end_reason, shown_path(wav))
            if outcome.shown:
                rows.insert(-1, ("Booked", outcome.shown, "\nread from the server's database"))
            print_figures(console, rows)
    return print_verdict(console, failures, log)


def _make_the_call(
    play: Play, server: Server, watch: Watch, carrier: Carrier, model: PretendModel, screen: Screen
) -> None:
    """Dial or ring, and look on until the call is over.

    Raises:
        ServerFailed: the server did not do its part, or not in time.
    """
    screen.say(f"{server.wait_ready()} serves {server.url}")
    screen.began_s = time.monotonic()
    if play.incoming:
        webhook = f"/incoming-call?agent={play.agent}"
        watch.tell("Twilio", f"{_PERSON} calls the number whose webhook is {webhook}", screen.began_s)
        carrier.incoming_call(
            server.url + webhook, callee=play.person(), from_number=_PERSON, to_number=OUR_NUMBER
        )
    else:
        carrier.next_callee(play.person())
        _dial(play, server, watch, screen)
    call = carrier.wait_for_call(_LOOK_S)
    ends_s = time.monotonic() + _LONGEST_S
    over = False
    while not over:
        with call.changed:
            over = call.changed.wait_for(lambda: call.over, _LOOK_S)
        watch.look(carrier, model)
        screen.show(watch.lines)
        if time.monotonic() > ends_s:
            raise ServerFailed(f"The call was not over after {_LONGEST_S} s.")


def _dial(play: Play, server: Server, watch: Watch, screen: Screen) -> None:
    placed = server.dial({"phoneNumber": _PERSON, "agent": play.agent})
    watch.tell("callapp", f"POST /outgoing-call → 201, calls {placed['to']}", screen.began_s)
