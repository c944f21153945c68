"""The demo of captions: two people talk, one in Japanese, one in English, and what they say is written down.

The lines are those of the record, asked for over the API while they grow; when they were whole is told by the
wires.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from callapp.simulators.callee import Callee, HangUp, HearPause, Pause, Say
from callapp.simulators.carrier import Carrier
from callapp.simulators.clips import clip
from callapp.simulators.demo_cost import transcription_usd
from callapp.simulators.demo_report import (
    cost_figure,
    faults_of_phone,
    faults_of_server,
    shown_path,
    write_recording,
)
from callapp.simulators.demo_screen import Screen, print_figures, print_heading, print_verdict
from callapp.simulators.demo_server import MODEL_KEY, OUR_NUMBER, Server, ServerFailed, pretended
from callapp.simulators.demo_watch import Line
from callapp.simulators.model import PretendModel
from callapp.simulators.model_ear import recognise
from callapp.simulators.phone_call import Call
from callapp.simulators.phone_record import CallRecord
from callapp.simulators.speech import Speech

_CALLER, _OTHER = "+819012345678", "+442079460000"
_TRANSCRIBER = "gpt-live-transcribe"
_LONGEST_S = 60
_LOOK_S = 0.2
_AGENT = f"""---
kind: captions
language: ja-JP
opening: この通話は、文字に起こされます。
forward_to: {_OTHER}
transcription: {{model: {_TRANSCRIBER}, language: [ja, en]}}
---
A call between two people.
"""
# What is said, and by whom: the caller, or the other.
_PLAY = (("caller", "ja-order"), ("other", "en-sent"), ("caller", "ja-thanks"))
_DONE = "conversation.item.input_audio_transcription.completed"


def pretend_transcriber() -> PretendModel:
    """The transcription service, which knows the recordings."""
    return PretendModel(api_key=MODEL_KEY, speech=Speech.bundled())


def perform_captioned(console: Console, wav: Path, model: PretendModel, *, shows_log: bool = False) -> int:
    """Make the call and tell of it; return the exit status. Leaves no process and no thread."""
    print_heading(
        console,
        "A call with captions on this machine",
        "Real: the server, its sockets, the audio. Pretended: Twilio, two phones, OpenAI.",
        "Lines are those of the call's record, as they grow.",
    )
    lines: dict[str, Line] = {}
    failures: list[str] = []
    calls: list[Call] = []
    record: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="callapp-demo-") as folder,
        model,
        Carrier(say_ms_per_char=15) as carrier,
        Server(Path(folder), _settings(carrier, model, Path(folder))) as server,
    ):
        with Screen(console, server if shows_log else None) as screen:
            try:
                calls, record = _make_the_call(server, carrier, screen, lines)
            except ServerFailed as error:
                failures.append(str(error))
            status = server.stop()
            screen.show_rest(_in_order(lines))
        log = server.log()
    failures += faults_of_server(status, log)
    if record and calls[0].streams:
        failures += _faults(calls, model, record)
        failures += write_recording(calls[0], wav)
        print_figures(console, _figures(calls, model, record, wav))
    return print_verdict(console, failures, log)


def _make_the_call(
    server: Server, carrier: Carrier, screen: Screen, lines: dict[str, Line]
) -> tuple[list[Call], dict[str, Any]]:
    """Let one call the other, and look on until it is over; return both calls, and the record.

    Raises:
        ServerFailed: the server did not do its part, or not in time.
    """
    screen.say(f"{server.wait_ready()} serves {server.url}")
    screen.began_s = time.monotonic()
    order, sent, thanks = (Say(clip(name)) for _, name in _PLAY)
    caller = Callee([Pause(1200), order, HearPause(500), thanks, Pause(300), HangUp()])
    carrier.phone_at(_OTHER, Callee([HearPause(600), sent], rings_ms=600))
    carrier.incoming_call(
        f"{server.url}/incoming-call?agent=captions",
        callee=caller,
        from_number=_CALLER,
        to_number=OUR_NUMBER,
    )
    words = f"{_CALLER} calls, and is put through to {_OTHER}"
    lines["call"] = Line(screen.began_s, "Twilio", words)
    calls = [carrier.wait_for_call(_LONGEST_S)]
    while True:
        record = dict(server.get(f"/calls/{calls[0].sid}").body)
        for said in calls[0].said:
            lines[said.text] = Line(screen.began_s + said.at_s, "Twilio", f"to the caller: {said.text}")
        if calls[0].streams:
            _write(record, calls[0].stream.began_ns / 1e9, lines)
        screen.show(_in_order(lines))
        if calls[0].over and record.get("status") == "completed":
            return [*calls, carrier.wait_for_call(_LOOK_S)], record
        if time.monotonic() > screen.began_s + _LONGEST_S:
            raise ServerFailed(f"The call was not over after {_LONGEST_S} s.")
        time.sleep(_LOOK_S)


def _write(record: dict[str, Any], began_s: float, lines: dict[str, Line]) -> None:
    """Bring the lines up to what the record has."""
    for said in record.get("utterances", ()):
        line = lines.setdefault(
            said["itemId"], Line(began_s + said["startMs"] / 1000, said["role"], speech=True, done=False)
        )
        line.text, line.done = said["text"] or "", "growing" not in said


def _in_order(lines: dict[str, Line]) -> list[Line]:
    return sorted(lines.values(), key=lambda line: line.at_s)


# -- what came of it ----------------------------------------------------------------------------


def _faults(calls: Sequence[CallRecord], model: PretendModel, record: dict[str, Any]) -> list[str]:
    """List what went wrong or is missing, one sentence each; nothing for a call as it has to be."""
    found: list[str] = []
    for name, call in zip(("The caller", "The other"), calls, strict=True):
        found += faults_of_phone(name, call)
    for speaker, name in _PLAY:
        listener = calls[1] if speaker == "caller" else calls[0]
        if name not in [one.clip.name for one in recognise(Speech.bundled(), bytes(listener.talk))]:
            found.append(f"Not heard at the other end: {clip(name).text}")
    wanted = [(speaker, clip(name).text) for speaker, name in _PLAY]
    written = [(said["role"], said["text"]) for said in record["utterances"]]
    if written != wanted:
        found.append(f"The record has {written}, and not {wanted}.")
    for session in model.transcriptions:
        found += [f"Against OpenAI's protocol: {one.code} {one.message}" for one in session.violations]
    if len(model.transcriptions) != 2:
        found.append(f"There were {len(model.transcriptions)} transcription sessions, not 2.")
    return found


def _figures(
    calls: Sequence[CallRecord], model: PretendModel, record: dict[str, Any], wav: Path
) -> list[tuple[str, str, str]]:
    done = [one for session in model.transcriptions for one in session.sent if one.event["type"] == _DONE]
    usages = [one.event["usage"] for one in done]
    usd = transcription_usd(_TRANSCRIBER, usages)
    heard_s = sum(usage["seconds"] for usage in usages)
    return [
        ("Duration", f"{calls[0].duration_s:.1f} s", "from the answer to the end of the call"),
        ("Sent", f"{heard_s:.1f} s", "of speech, with a breath before and after; silence is not"),
        cost_figure(usd),
        ("Ended by", str(record["endReason"]), ""),
        ("Recording", shown_path(wav), "\nstereo: the caller left, the other right"),
    ]


def _settings(carrier: Carrier, model: PretendModel, folder: Path) -> dict[str, str]:
    agents = folder / "agents"
    agents.mkdir()
    (agents / "captions.md").write_text(_AGENT, encoding="utf-8")
    return {"AGENTS_DIR": str(agents), **pretended(carrier, model)}
