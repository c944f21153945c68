"""What a demo's call came to: its figures, and everything that was not as it has to be.

All of it is read off the wires: the phone's clock and ears, the model's record, the REST requests, and
one line of the server's log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from callapp.simulators.carrier import Carrier
from callapp.simulators.demo_cost import model_usd, transcription_usd
from callapp.simulators.demo_plays import Play
from callapp.simulators.demo_watch import AgentItem, Watch, cut_words
from callapp.simulators.model import PretendModel
from callapp.simulators.model_faults import Refusal
from callapp.simulators.model_session import Session
from callapp.simulators.phone_record import CallRecord
from callapp.simulators.phone_stream import PhoneStream
from callapp.simulators.sound import FRAME_MS

# Audio reaches the model some frames after the phone has sent it; at the end that many are under way.
_UNDER_WAY_MS = 1000


@dataclass(frozen=True)
class Turn:
    """One answer, in milliseconds from the last voiced frame of what the caller said.

    Args:
        voice_to_voice_ms: until a voice was heard.
        own_ms: of that, from the model's first audio to its first byte at the phone.
    """

    voice_to_voice_ms: float
    own_ms: float


@dataclass(frozen=True)
class BargeIn:
    """From the caller's voice to the phone's empty buffer, in milliseconds."""

    since_recognised_ms: float
    since_voice_ms: float


def turns(watch: Watch, stream: PhoneStream) -> list[Turn]:
    """Measure each answer that was heard after the caller had spoken."""
    found = []
    for spoken in stream.callee.spoken:
        voice_ms = stream.heard_voice_after(spoken.voice_ends_ms)
        item = next((i for i in watch.items if _starts_ms(i) >= spoken.voice_ends_ms), None)
        if voice_ms is not None and item is not None:
            made_ms = item.first_delta_s * 1000 - stream.began_ns / 1e6
            found.append(Turn(voice_ms - spoken.voice_ends_ms, _starts_ms(item) - made_ms))
    return found


def barge_in(stream: PhoneStream, session: Session) -> BargeIn | None:
    """Measure the one interruption; None when there was none."""
    if not stream.playout.clears:
        return None
    cleared_ms = stream.playout.clears[0].at_ns / 1e6
    recognised_ms = [
        recorded.at_s * 1000 - stream.began_ns / 1e6
        for recorded in session.sent
        if recorded.event["type"] == "input_audio_buffer.speech_started"
    ]
    before = [at_ms for at_ms in recognised_ms if at_ms <= cleared_ms]
    voiced = [s.voice_starts_ms for s in stream.callee.spoken if s.voice_starts_ms <= cleared_ms]
    if not before or not voiced:
        return None
    return BargeIn(cleared_ms - before[-1], cleared_ms - voiced[-1])


Figure = tuple[str, str, str]
"""A name, a value, and what it means."""


def figures(
    watch: Watch, stream: PhoneStream, session: Session | None, end_reason: str | None, wav: str
) -> list[Figure]:
    """Put the call's figures into words."""
    assert watch.call is not None
    rows = [("Duration", f"{watch.call.duration_s:.1f} s", "from the answer to the end of the call")]
    if session is not None:
        rows += _figures_of_the_talk(watch, stream, session)
    rows.append(("Ended by", end_reason or "not known", "in the server's own log"))
    rows.append(("Recording", wav, "\nstereo: the caller left, the agent right"))
    return rows


def _figures_of_the_talk(watch: Watch, stream: PhoneStream, session: Session) -> list[Figure]:
    rows = []
    answers = turns(watch, stream)
    if answers:
        voice, own = (
            _in_ms(turn.voice_to_voice_ms for turn in answers),
            _in_ms(turn.own_ms for turn in answers),
        )
        meaning = f"caller's last sound to agent's first\n{own} of it in callapp"
        rows.append(("Voice to voice", voice, meaning))
    measured = barge_in(stream, session)
    if measured is not None:
        since_voice = _in_ms([measured.since_voice_ms])
        meaning = f"speech recognised to the phone silent\n{since_voice} from the caller's first sound"
        rows.append(("Barge-in", _in_ms([measured.since_recognised_ms]), meaning))
    rows += [("Interrupted", cut_words(item), "") for item in watch.items if item.cut]
    return [*rows, cost_figure(cost(session))]


def cost(session: Session) -> float | None:
    """Estimate what OpenAI would charge, in USD; None when a price is not known."""
    usages = [event["response"]["usage"] for event in session.sent_events("response.done")]
    spoken = model_usd(session.config["model"], usages)
    settings = session.config["audio"]["input"]["transcription"]
    if settings is None or spoken is None:
        return spoken
    transcribed = session.sent_events("conversation.item.input_audio_transcription.completed")
    heard = transcription_usd(settings["model"], [event["usage"] for event in transcribed])
    return None if heard is None else spoken + heard


def faults(
    watch: Watch,
    carrier: Carrier,
    model: PretendModel,
    play: Play,
    end_reason: str | None,
) -> list[str]:
    """List what went wrong or is missing, one sentence each; nothing for a call as it has to be."""
    call, session = watch.call, watch.session
    assert call is not None
    found = [f"The phone company reports error {fault.code}: {fault.message}" for fault in call.faults]
    found += [f"Against Twilio's protocol: {violation}" for violation in call.violations]
    if call.callee.failure:
        found.append(f"The caller gave up: {call.callee.failure}")
    found += [
        f"A {request.method} of the phone company to {request.url} was answered {request.answer.status}."
        for request in call.requests
        if request.answer is not None and request.answer.status >= 400
    ]
    found += [
        f"The model refused: {one.code}, {one.message}"
        if isinstance(one, Refusal)
        else f"The model failed: {one}"
        for one in model.refused
    ]
    if session is None:
        found.append("No session with the model was opened.")
    else:
        found += [f"Against OpenAI's protocol: {one.code} {one.message}" for one in session.violations]
    if session is not None and call.streams:
        found += _of_the_call(watch, call.stream, session, play)
    completed = [
        request
        for request in carrier.requests
        if request.path.endswith(f"/{call.sid}.json") and request.form.get("Status") == ["completed"]
    ]
    if [request.status for request in completed] != [200]:
        found.append("The call was not completed by one request to the REST API.")
    if call.status != "completed":
        found.append(f"The call's status is {call.status}, not completed.")
    if end_reason != "agent.ended":
        found.append(f"The server says the call ended by {end_reason or 'nothing'}, not agent.ended.")
    return found


def faults_of_server(status: int | None, log: Sequence[str]) -> list[str]:
    """The same for the server: how it ended, and what it complained of."""
    found = [f"The server's log: {line}" for line in log if " ERROR " in line or " CRITICAL " in line]
    if status != 0:
        how = "did not end" if status is None else f"ended with status {status}"
        found.insert(0, f"The server {how}.")
    return found


def faults_of_phone(name: str, call: CallRecord) -> list[str]:
    """The same for one of several phones, by what anybody can see of it."""
    found = [f"{name}: the phone company reports error {one.code}: {one.message}" for one in call.faults]
    found += [f"{name}: against Twilio's protocol: {violation}" for violation in call.violations]
    if call.callee.failure:
        found.append(f"{name} gave up: {call.callee.failure}")
    if call.status != "completed":
        found.append(f"{name}: the call's status is {call.status}, not completed.")
    return found


def _of_the_call(watch: Watch, stream: PhoneStream, session: Session, play: Play) -> list[str]:
    """List what is wrong with what was said and heard."""
    voice, heard = bytes(stream.voice), session.heard_audio
    spoken = [spoken.clip.text for spoken in stream.callee.spoken]
    transcripts = [line.text for line in watch.lines if line.who == "caller" and line.done]
    cut = [item for item in watch.items if item.cut]
    tools = [item.body["name"] for item in session.items if item.type == "function_call"]
    marked_ns = max((echo.due_ns for echo in stream.playout.echoes if not echo.cleared), default=0)
    ends_ns = max((chunk.ends_ns for chunk in stream.playout.chunks), default=0)
    checks = (
        (not watch.foreign, f"The phone got audio that the model never sent: {watch.foreign}"),
        (voice.startswith(heard), "The caller's audio did not reach the model byte for byte."),
        (
            len(voice) - len(heard) <= _UNDER_WAY_MS * 8,
            f"Of {len(voice)} bytes of the caller's audio only {len(heard)} reached the model.",
        ),
        (spoken == transcripts, f"The caller said {spoken}, the model heard {transcripts}."),
        (
            all(item.sent_bytes == len(item.audio) for item in watch.items if not item.cut),
            "Something the agent said was not sent to the phone.",
        ),
        (0 < ends_ns <= marked_ns, "The goodbye was not heard to its end: its mark did not come back."),
        (
            len(stream.playout.clears) == play.interruptions == len(cut),
            f"There were {len(stream.playout.clears)} clears and {len(cut)} interrupted lines, "
            f"not {play.interruptions} of each.",
        ),
        (
            tools == list(play.tools),
            f"The model called {tools}, not {list(play.tools)}.",
        ),
        (not session.conversation.unanswered, "A tool call was left without its output."),
    )
    found = [sentence for right, sentence in checks if not right]
    delivery_ms = max((turn.own_ms for turn in turns(watch, stream)), default=0)
    return found + [fault for item in cut for fault in _of_the_cut(item, stream, session, delivery_ms)]


def _of_the_cut(item: AgentItem, stream: PhoneStream, session: Session, delivery_ms: float) -> list[str]:
    measured = barge_in(stream, session)
    if item.truncated_ms is None or measured is None:
        return ["The interrupted line was not truncated."]
    # The server knows what was heard to a frame, plus what words take to the phone, and what a busy one does.
    allowed_ms = FRAME_MS + measured.since_recognised_ms + delivery_ms + stream.late_ms
    if abs(item.truncated_ms - item.heard_ms) > allowed_ms:
        return [f"The interrupted line was truncated in the wrong place: {cut_words(item)}."]
    return []


def _starts_ms(item: AgentItem) -> float:
    return item.chunks[0].starts_ns / 1e6 if item.chunks else -1


def _in_ms(values_ms: Iterable[float]) -> str:
    return " · ".join(f"{value:.1f}" if value < 10 else f"{value:.0f}" for value in values_ms) + " ms"


def cost_figure(usd: float | None) -> Figure:
    """What a call would have cost at OpenAI."""
    return (
        "Cost",
        "not known" if usd is None else f"${usd:.4f}",
        "an estimate from OpenAI's list prices\nthe phone company's charge is not included",
    )


def write_recording(call: CallRecord, wav: Path) -> list[str]:
    """Write what one phone said and heard; return what went wrong with that, if anything did."""
    try:
        wav.parent.mkdir(parents=True, exist_ok=True)
        call.write_wav(wav)
    except OSError as error:
        return [f"The recording could not be written: {error}"]
    return []


def shown_path(path: Path) -> str:
    """Return a path as short as it can be written from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
